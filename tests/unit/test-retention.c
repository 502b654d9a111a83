/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The cases in retention/ are written by hand: the clock, the policy, whether it is refused, then
 * each entry with what it is, a colon, and what is to become of it and why.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/backup/retention.h"
#include "lib/base/json-document.h"

#define ENTRIES_MAX 64
#define DAY         INT64_C(86400)

static const struct RetentionPolicy contract_policy = { .daily = 7, .weekly = 4, .monthly = 6 };

struct Case {
        const char *path;
        int64_t now;
        struct RetentionPolicy policy;
        bool refused;
        struct RetentionInput inputs[ENTRIES_MAX];
        struct RetentionEntry expected[ENTRIES_MAX];
        size_t n;
};

static struct RetentionPlan *plan_of(const struct RetentionInput *inputs, size_t n,
        const struct RetentionPolicy *policy, int64_t now) {
        struct RetentionPlan *plan = NULL;

        assert_int_equal(retention_plan(inputs, n, policy, now, &plan), 0);
        assert_int_equal(plan->n_entries, n);
        return plan;
}

static const char *verdict_name(enum RetentionVerdict verdict) {
        static const char *const names[] = { [RETENTION_KEEP] = "keep",
                [RETENTION_DELETE] = "delete",
                [RETENTION_QUARANTINED] = "quarantined",
                [RETENTION_IGNORED] = "ignored" };

        return names[verdict];
}

static void describe(const struct RetentionEntry *entry, char *text, size_t size) {
        size_t n =
                (size_t) snprintf(text, size, "%s : %s", entry->name, verdict_name(entry->verdict));

        for (unsigned r = 1; r < REASON_END; r <<= 1)
                if (entry->reasons & r)
                        n += (size_t) snprintf(text + n, size - n, " %s", retention_reason_name(r));
}

static void parse_input(const char *path, char *words, struct RetentionInput *input) {
        char *name = strtok(words, " ");

        assert_non_null(name);
        assert_true(strlen(name) < sizeof input->name);
        (void) strcpy(input->name, name);
        input->readable = true;
        for (const char *word; (word = strtok(NULL, " "));)
                if (strcmp(word, "valid") == 0)
                        input->valid = true;
                else if (strcmp(word, "vector") == 0)
                        input->has_vector_store = true;
                else if (strcmp(word, "pinned") == 0)
                        input->pinned = true;
                else if (strcmp(word, "unreadable") == 0)
                        input->readable = false;
                else if (strcmp(word, "foreign") == 0)
                        input->foreign = true;
                else if (strcmp(word, "invalid") != 0)
                        fail_msg("%s: what is \"%s\"?", path, word);
}

static unsigned parse_reason(const char *path, const char *word) {
        for (unsigned r = 1; r < REASON_END; r <<= 1)
                if (strcmp(retention_reason_name(r), word) == 0)
                        return r;
        fail_msg("%s: there is no reason \"%s\"", path, word);
        return 0;
}

static void parse_expected(const char *path, char *words, struct RetentionEntry *expected) {
        const char *verdict = strtok(words, " \n");

        assert_non_null(verdict);
        while (strcmp(verdict_name(expected->verdict), verdict) != 0)
                if (expected->verdict++ == RETENTION_IGNORED)
                        fail_msg("%s: there is no verdict \"%s\"", path, verdict);
        for (const char *word; (word = strtok(NULL, " \n"));)
                expected->reasons |= parse_reason(path, word);
}

static void parse_entry(struct Case *c, char *line) {
        char *colon = strstr(line, " : ");

        if (!colon || c->n == ENTRIES_MAX)
                fail_msg("%s: %s", c->path, line);
        *colon = '\0';
        parse_input(c->path, line, &c->inputs[c->n]);
        memcpy(c->expected[c->n].name, c->inputs[c->n].name, sizeof c->expected[c->n].name);
        parse_expected(c->path, colon + strlen(" : "), &c->expected[c->n]);
        c->n++;
}

static void read_case(const char *path, struct Case *c) {
        _cleanup_fclose_ FILE *file = fopen(path, "re");
        char line[512], word[32];
        int head = 0;

        assert_non_null(file);
        *c = (struct Case){ .path = path };
        while (fgets(line, sizeof line, file))
                if (line[0] == '#')
                        continue;
                else if (sscanf(line, "now %31s", word) == 1) {
                        assert_int_equal(stamp_parse(word, &c->now), 0);
                        head |= 1;
                } else if (sscanf(line, "policy %lu %lu %lu", &c->policy.daily, &c->policy.weekly,
                                   &c->policy.monthly) == 3)
                        head |= 2;
                else if (sscanf(line, "refused %31s", word) == 1) {
                        c->refused = strcmp(word, "yes") == 0;
                        head |= 4;
                } else
                        parse_entry(c, line);
        assert_int_equal(head, 7);
}

static void check_case(const struct Case *c) {
        _cleanup_retention_plan_ struct RetentionPlan *plan =
                plan_of(c->inputs, c->n, &c->policy, c->now);

        for (size_t i = 0; i < c->n; i++) {
                char found[512], expected[512];

                describe(&plan->entries[i], found, sizeof found);
                describe(&c->expected[i], expected, sizeof expected);
                if (strcmp(found, expected) != 0)
                        fail_msg("%s: %s, expected: %s", c->path, found, expected);
        }
        if (plan->refused != c->refused)
                fail_msg("%s: refused %d", c->path, plan->refused);
}

static void test_cases_written_by_hand_come_out_as_written(void **state) {
        glob_t found;

        (void) state;
        assert_int_equal(glob(TESTS_SOURCE "/unit/retention/*.txt", 0, NULL, &found), 0);
        assert_true(found.gl_pathc >= 30);
        for (size_t i = 0; i < found.gl_pathc; i++) {
                struct Case *c = malloc(sizeof *c);

                assert_non_null(c);
                read_case(found.gl_pathv[i], c);
                check_case(c);
                /* The order in which a directory is read is no order. */
                for (size_t a = 0, b = c->n - 1; a < b; a++, b--) {
                        struct RetentionInput input = c->inputs[a];

                        c->inputs[a] = c->inputs[b];
                        c->inputs[b] = input;
                }
                check_case(c);
                free(c);
        }
        globfree(&found);
}

static void test_nothing_is_no_reason_to_refuse(void **state) {
        _cleanup_retention_plan_ struct RetentionPlan *plan =
                plan_of(NULL, 0, &contract_policy, 1775541600);

        (void) state;
        assert_false(plan->refused);
        assert_int_equal(plan->now, 1775541600);
}

static struct RetentionInput valid_at(int64_t time) {
        struct RetentionInput input = { .readable = true, .valid = true };

        stamp_format(time, input.name);
        return input;
}

static void test_a_clock_beyond_all_stamps_does_not_overflow(void **state) {
        const struct RetentionInput inputs[] = { valid_at(STAMP_TIME_MIN), valid_at(0),
                valid_at(STAMP_TIME_MAX) };
        _cleanup_retention_plan_ struct RetentionPlan *before =
                plan_of(inputs, 3, &contract_policy, INT64_MIN);
        _cleanup_retention_plan_ struct RetentionPlan *after =
                plan_of(inputs, 3, &contract_policy, INT64_MAX);

        (void) state;
        assert_int_equal(before->entries[0].verdict, RETENTION_KEEP);
        assert_int_equal(before->entries[1].verdict, RETENTION_QUARANTINED);
        assert_int_equal(before->entries[2].verdict, RETENTION_QUARANTINED);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(after->entries[i].verdict, RETENTION_KEEP);
}

/* Against the C library's calendar: the first and last second of every month from the year 1590
 * (across 1600, which is a leap year, and 1700, 1800 and 1900, which are none) to 2110. */
static void test_every_month_is_told_from_the_next(void **state) {
        enum {
                FIRST = 1590,
                LAST = 2110,
                N = (LAST - FIRST) * 12 * 2
        };
        const struct RetentionPolicy policy = { .monthly = UINT64_MAX };
        struct RetentionInput *inputs = calloc(N, sizeof *inputs);
        struct RetentionPlan *plan;
        size_t n = 0;

        (void) state;
        assert_non_null(inputs);
        for (int month = 0; month < (LAST - FIRST) * 12; month++) {
                struct tm tm = { .tm_year = FIRST - 1900, .tm_mon = month, .tm_mday = 1 };
                int64_t first = timegm(&tm);

                tm = (struct tm){ .tm_year = FIRST - 1900, .tm_mon = month + 1, .tm_mday = 1 };
                inputs[n++] = valid_at(first);
                inputs[n++] = valid_at((int64_t) timegm(&tm) - 1);
        }
        plan = plan_of(inputs, n, &policy, STAMP_TIME_MAX);
        for (size_t i = 0; i < n; i++)
                if (!!(plan->entries[i].reasons & REASON_MONTHLY) != (i % 2 == 0))
                        fail_msg("%s", plan->entries[i].name);
        retention_plan_free(plan);
        free(inputs);
}

/* Every day of 40 years around 1970, at midnight and a second before the next. */
static void test_every_sunday_is_told_from_the_other_days(void **state) {
        enum {
                DAYS = 40 * 366
        };
        const struct RetentionPolicy policy = { .weekly = UINT64_MAX };
        struct RetentionInput *inputs = calloc(DAYS * 2, sizeof *inputs);
        int64_t first = -DAYS / 2 * DAY;
        struct RetentionPlan *plan;

        (void) state;
        assert_non_null(inputs);
        for (int i = 0; i < DAYS; i++) {
                inputs[2 * i] = valid_at(first + i * DAY);
                inputs[2 * i + 1] = valid_at(first + (i + 1) * DAY - 1);
        }
        plan = plan_of(inputs, DAYS * 2, &policy, first + DAYS * DAY - 1);
        for (int i = 0; i < DAYS * 2; i++) {
                time_t time = (time_t) (first + i / 2 * DAY);
                struct tm tm;

                assert_non_null(gmtime_r(&time, &tm));
                if (!!(plan->entries[i].reasons & REASON_WEEKLY) != (tm.tm_wday == 0 && i % 2 == 1))
                        fail_msg("%s", plan->entries[i].name);
        }
        retention_plan_free(plan);
        free(inputs);
}

/* n log n: well under a second. A quadratic walk would take minutes. */
static void test_two_hundred_thousand_are_planned_in_moments(void **state) {
        enum {
                N = 200000
        };
        struct RetentionInput *inputs = calloc(N, sizeof *inputs);
        uint64_t start;
        struct RetentionPlan *plan;

        (void) state;
        assert_non_null(inputs);
        for (int64_t i = 0; i < N; i++)
                inputs[i] = valid_at(1000000000 + i * 7919 % N * 3600);
        start = monotonic_ms();
        plan = plan_of(inputs, N, &contract_policy, 1000000000 + INT64_C(3600) * N);
        assert_true(monotonic_ms() - start < 20000);
        /* The days and weeks overlap: never more than the policy and 24 hours of recent ones. */
        assert_in_range(retention_plan_count(plan, RETENTION_KEEP), 24, 24 + 7 + 4 + 6 + 1);
        retention_plan_free(plan);
        free(inputs);
}

static void test_the_plan_reads_as_the_contract_says(void **state) {
        struct RetentionInput inputs[] = { valid_at(1775541600 - 5 * DAY),
                valid_at(1775541600 - 3 * DAY), valid_at(1775541600), valid_at(1775541600 + 1),
                { .name = "notes.txt" }, { .name = "\xff\"\n" } };
        const struct RetentionPolicy policy = { .daily = 1, .monthly = 18446744073709551615u };
        _cleanup_retention_plan_ struct RetentionPlan *plan =
                plan_of(inputs, 6, &policy, 1775541600);
        _cleanup_json_ struct json_object *object = retention_plan_to_json(plan, true);

        (void) state;
        assert_non_null(object);
        assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
                "{\"now\":\"2026-04-07T06:00:00Z\","
                "\"policy\":{\"daily\":1,\"weekly\":0,\"monthly\":18446744073709551615},"
                "\"keep\":[{\"stamp\":\"20260402T060000Z\",\"reasons\":[\"monthly\"]},"
                "{\"stamp\":\"20260407T060000Z\","
                "\"reasons\":[\"recent\",\"newest-valid\",\"daily\"]}],"
                "\"delete\":[{\"stamp\":\"20260404T060000Z\"}],"
                "\"quarantined\":[\"20260407T060001Z\"],"
                "\"ignored\":[\"notes.txt\",\"\\\\xff\\\"\\\\n\"],"
                "\"refused\":false,\"dry_run\":true}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases_written_by_hand_come_out_as_written),
                cmocka_unit_test(test_nothing_is_no_reason_to_refuse),
                cmocka_unit_test(test_a_clock_beyond_all_stamps_does_not_overflow),
                cmocka_unit_test(test_every_month_is_told_from_the_next),
                cmocka_unit_test(test_every_sunday_is_told_from_the_other_days),
                cmocka_unit_test(test_two_hundred_thousand_are_planned_in_moments),
                cmocka_unit_test(test_the_plan_reads_as_the_contract_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
