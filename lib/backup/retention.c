/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/retention.h"

#include <errno.h>
#include <string.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

#define DAY_SECONDS 86400

#define SAFETY_NEWEST 3
#define SAFETY_RECENT (30 * DAY_SECONDS)

/* A snapshot that the rules count. */
struct Candidate {
        int64_t time;
        const struct RetentionInput *input;
        struct RetentionEntry *entry;
};

/* A day that has one. */
struct Day {
        int64_t number; /* since 1970-01-01 */
        struct Candidate *winner;
};

static int64_t floor_divide(int64_t a, int64_t b) {
        return a / b - (a % b < 0);
}

static int64_t day_of(int64_t time) {
        return floor_divide(time, DAY_SECONDS);
}

/* 1970-01-01 was a Thursday, so day -3 was the Monday of its ISO week. Weeks are counted, not
 * numbered within years: week 53 and week 1 need no care. */
static int64_t week_of(int64_t day) {
        return floor_divide(day + 3, 7);
}

static bool is_sunday(int64_t day) {
        return week_of(day + 1) != week_of(day);
}

/* Months counted from March of the year 0. The algorithm is civil_from_days of Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms"
 * (https://howardhinnant.github.io/date_algorithms.html): eras of 400 years, years that begin in
 * March, so that the leap day is a year's last. */
static int64_t month_of(int64_t day) {
        int64_t shifted = day + 719468; /* since 0000-03-01 */
        int64_t era = floor_divide(shifted, 146097);
        int64_t day_of_era = shifted - era * 146097;
        int64_t year_of_era =
                (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
        int64_t day_of_year =
                day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);

        return (era * 400 + year_of_era) * 12 + (5 * day_of_year + 2) / 153;
}

/* Does `a`, not older than `b`, win against it? */
static bool beats(const struct RetentionInput *a, const struct RetentionInput *b) {
        if (a->valid != b->valid)
                return a->valid;
        if (a->has_vector_store != b->has_vector_store)
                return a->has_vector_store;
        return true;
}

/* Both oldest first; `ret_days` has room for as many. Returns the number of days. */
static size_t find_days(struct Candidate *candidates, size_t n, struct Day *ret_days) {
        size_t n_days = 0;

        for (size_t i = 0; i < n; i++) {
                int64_t number = day_of(candidates[i].time);

                if (n_days == 0 || ret_days[n_days - 1].number != number)
                        ret_days[n_days++] =
                                (struct Day){ .number = number, .winner = &candidates[i] };
                else if (beats(candidates[i].input, ret_days[n_days - 1].winner->input))
                        ret_days[n_days - 1].winner = &candidates[i];
        }
        return n_days;
}

static void keep(struct Candidate *candidate, enum RetentionReason reason) {
        candidate->entry->verdict = RETENTION_KEEP;
        candidate->entry->reasons |= reason;
}

static void keep_daily(struct Day *days, size_t n, uint64_t wanted) {
        while (n > 0 && wanted > 0) {
                keep(days[--n].winner, REASON_DAILY);
                wanted--;
        }
}

/* A week's last day that has one is its Sunday if that has one. */
static void keep_weekly(struct Day *days, size_t n, uint64_t wanted, int64_t today) {
        for (size_t i = n; i > 0 && wanted > 0; i--) {
                int64_t day = days[i - 1].number, week = week_of(day);
                bool is_last = i == n || week_of(days[i].number) != week;

                if (is_last && (is_sunday(day) || week < week_of(today))) {
                        keep(days[i - 1].winner, REASON_WEEKLY);
                        wanted--;
                }
        }
}

/* A month's first day that has one is its 1st if that has one. */
static void keep_monthly(struct Day *days, size_t n, uint64_t wanted) {
        for (size_t i = n; i > 0 && wanted > 0; i--)
                if (i == 1 || month_of(days[i - 2].number) != month_of(days[i - 1].number)) {
                        keep(days[i - 1].winner, REASON_MONTHLY);
                        wanted--;
                }
}

/* False: there is no valid one. */
static bool keep_newest_valid(struct Candidate *candidates, size_t n) {
        for (size_t i = n; i > 0; i--)
                if (candidates[i - 1].input->valid) {
                        keep(&candidates[i - 1], REASON_NEWEST_VALID);
                        return true;
                }
        return false;
}

/* What can be said of one by itself. Returns whether the rules count it. */
static bool judge(const struct RetentionInput *input, int64_t now, struct RetentionEntry *entry,
        int64_t *ret_time) {
        int64_t time;

        if (input->foreign || stamp_parse(input->name, &time) < 0) {
                entry->verdict = RETENTION_IGNORED;
                return false;
        }
        if (time > now) {
                entry->verdict = RETENTION_QUARANTINED;
                return false;
        }
        if (now - time < DAY_SECONDS)
                entry->reasons |= REASON_RECENT;
        if (input->pinned)
                entry->reasons |= REASON_PINNED;
        if (!input->readable)
                entry->reasons |= REASON_UNREADABLE;
        entry->verdict = entry->reasons != 0 ? RETENTION_KEEP : RETENTION_DELETE;
        *ret_time = time;
        return input->readable;
}

/* `inputs` is sorted by name; the plan's entries are to be filled. */
static int decide(const struct RetentionInput *const *inputs, struct RetentionPlan *plan) {
        _cleanup_free_ struct Candidate *candidates = NULL;
        _cleanup_free_ struct Day *days = NULL;
        size_t n = 0, n_days;

        candidates = calloc(plan->n_entries, sizeof *candidates);
        days = calloc(plan->n_entries, sizeof *days);
        if (!candidates || !days)
                return -ENOMEM;

        for (size_t i = 0; i < plan->n_entries; i++) {
                struct RetentionEntry *entry = &plan->entries[i];
                int64_t time;

                memcpy(entry->name, inputs[i]->name, sizeof entry->name);
                if (judge(inputs[i], plan->now, entry, &time))
                        candidates[n++] = (struct Candidate){
                                .time = time, .input = inputs[i], .entry = entry
                        };
        }

        n_days = find_days(candidates, n, days);
        keep_daily(days, n_days, plan->policy.daily);
        keep_weekly(days, n_days, plan->policy.weekly, day_of(plan->now));
        keep_monthly(days, n_days, plan->policy.monthly);
        if (!keep_newest_valid(candidates, n))
                retention_plan_refuse(plan);
        return 0;
}

static int compare_names(const void *a, const void *b) {
        const struct RetentionInput *const *left = a, *const *right = b;

        return strcmp((*left)->name, (*right)->name); /* stamps sort in time order */
}

/* A clock beyond what stamps can express must not overflow. */
static int64_t clamp_now(int64_t now) {
        return now < STAMP_TIME_MIN ? STAMP_TIME_MIN : now > STAMP_TIME_MAX ? STAMP_TIME_MAX : now;
}

int retention_plan(const struct RetentionInput *inputs, size_t n_inputs,
        const struct RetentionPolicy *policy, int64_t now, struct RetentionPlan **ret_plan) {
        _cleanup_retention_plan_ struct RetentionPlan *plan = calloc(1, sizeof *plan);
        _cleanup_free_ const struct RetentionInput **sorted = NULL;

        if (!plan)
                return -ENOMEM;
        plan->now = clamp_now(now);
        plan->policy = *policy;
        if (n_inputs > 0) {
                plan->entries = calloc(n_inputs, sizeof *plan->entries);
                sorted = calloc(n_inputs, sizeof(const struct RetentionInput *));
                if (!plan->entries || !sorted)
                        return -ENOMEM;
                plan->n_entries = n_inputs;
                for (size_t i = 0; i < n_inputs; i++)
                        sorted[i] = &inputs[i];
                qsort(sorted, n_inputs, sizeof(const struct RetentionInput *), compare_names);
                if (decide(sorted, plan) < 0)
                        return -ENOMEM;
        }
        *ret_plan = STEAL(plan);
        return 0;
}

int retention_plan_safety(
        const char (*stamps)[STAMP_SIZE], size_t n, int64_t now, struct RetentionPlan **ret_plan) {
        _cleanup_retention_plan_ struct RetentionPlan *plan = calloc(1, sizeof *plan);
        size_t newest = 0;

        if (!plan)
                return -ENOMEM;
        plan->now = clamp_now(now);
        plan->entries = calloc(n > 0 ? n : 1, sizeof *plan->entries);
        if (!plan->entries)
                return -ENOMEM;
        plan->n_entries = n;
        plan->safety = true;
        for (size_t i = n; i > 0; i--) {
                struct RetentionEntry *entry = &plan->entries[i - 1];
                int64_t time = 0;

                memcpy(entry->name, stamps[i - 1], STAMP_SIZE);
                if (stamp_parse(entry->name, &time) < 0)
                        entry->verdict = RETENTION_IGNORED;
                else if (time > plan->now)
                        entry->verdict = RETENTION_QUARANTINED;
                else {
                        if (newest++ < SAFETY_NEWEST)
                                entry->reasons |= REASON_NEWEST;
                        if (plan->now - time < SAFETY_RECENT)
                                entry->reasons |= REASON_RECENT;
                        entry->verdict = entry->reasons != 0 ? RETENTION_KEEP : RETENTION_DELETE;
                }
        }
        *ret_plan = STEAL(plan);
        return 0;
}

struct RetentionPlan *retention_plan_free(struct RetentionPlan *plan) {
        if (plan)
                free(plan->entries);
        free(plan);
        return NULL;
}

void retention_plan_refuse(struct RetentionPlan *plan) {
        for (size_t i = 0; i < plan->n_entries; i++)
                if (plan->entries[i].verdict == RETENTION_DELETE) {
                        plan->entries[i].verdict = RETENTION_KEEP;
                        plan->refused = true;
                }
}

size_t retention_plan_count(const struct RetentionPlan *plan, enum RetentionVerdict verdict) {
        size_t n = 0;

        for (size_t i = 0; i < plan->n_entries; i++)
                if (plan->entries[i].verdict == verdict)
                        n++;
        return n;
}

const char *retention_reason_name(enum RetentionReason reason) {
        switch (reason) {
        case REASON_RECENT:
                return "recent";
        case REASON_PINNED:
                return "pinned";
        case REASON_NEWEST_VALID:
                return "newest-valid";
        case REASON_DAILY:
                return "daily";
        case REASON_WEEKLY:
                return "weekly";
        case REASON_MONTHLY:
                return "monthly";
        case REASON_UNREADABLE:
                return "unreadable";
        case REASON_NEWEST:
                return "newest";
        }
        return "unknown";
}

static struct json_object *name_to_json(const char *name) {
        _cleanup_free_ char *escaped = NULL;

        if (utf8_is_valid(name, strlen(name)))
                return json_object_new_string(name);
        escaped = text_escape(name);
        return escaped ? json_object_new_string(escaped) : NULL;
}

static struct json_object *reasons_to_json(unsigned reasons) {
        _cleanup_json_ struct json_object *array = json_object_new_array();

        for (unsigned r = 1; array && r < REASON_END; r <<= 1)
                if ((reasons & r) &&
                        !json_append(array, json_object_new_string(retention_reason_name(r))))
                        return NULL;
        return STEAL(array);
}

static struct json_object *entry_to_json(const struct RetentionEntry *entry) {
        _cleanup_json_ struct json_object *object = NULL;

        if (entry->verdict == RETENTION_QUARANTINED || entry->verdict == RETENTION_IGNORED)
                return name_to_json(entry->name);
        object = json_object_new_object();
        if (!object || !json_set(object, "stamp", json_object_new_string(entry->name)))
                return NULL;
        if (entry->verdict == RETENTION_KEEP &&
                !json_set(object, "reasons", reasons_to_json(entry->reasons)))
                return NULL;
        return STEAL(object);
}

static struct json_object *entries_to_json(
        const struct RetentionPlan *plan, enum RetentionVerdict verdict) {
        _cleanup_json_ struct json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < plan->n_entries; i++)
                if (plan->entries[i].verdict == verdict &&
                        !json_append(array, entry_to_json(&plan->entries[i])))
                        return NULL;
        return STEAL(array);
}

static struct json_object *safety_policy_to_json(void) {
        _cleanup_json_ struct json_object *object = json_object_new_object();

        if (!object || !json_set(object, "newest", json_object_new_int(SAFETY_NEWEST)) ||
                !json_set(object, "days", json_object_new_int(SAFETY_RECENT / DAY_SECONDS)))
                return NULL;
        return STEAL(object);
}

static struct json_object *policy_to_json(const struct RetentionPolicy *policy) {
        _cleanup_json_ struct json_object *object = json_object_new_object();

        if (!object || !json_set(object, "daily", json_object_new_uint64(policy->daily)) ||
                !json_set(object, "weekly", json_object_new_uint64(policy->weekly)) ||
                !json_set(object, "monthly", json_object_new_uint64(policy->monthly)))
                return NULL;
        return STEAL(object);
}

struct json_object *retention_plan_to_json(const struct RetentionPlan *plan, bool dry_run) {
        _cleanup_json_ struct json_object *object = json_object_new_object();
        char now[RFC3339_SIZE];

        rfc3339_format(plan->now, now);
        if (!object || !json_set(object, "now", json_object_new_string(now)) ||
                !json_set(object, "policy",
                        plan->safety ? safety_policy_to_json() : policy_to_json(&plan->policy)) ||
                !json_set(object, "keep", entries_to_json(plan, RETENTION_KEEP)) ||
                !json_set(object, "delete", entries_to_json(plan, RETENTION_DELETE)) ||
                !json_set(object, "quarantined", entries_to_json(plan, RETENTION_QUARANTINED)) ||
                !json_set(object, "ignored", entries_to_json(plan, RETENTION_IGNORED)) ||
                !json_set(object, "refused", json_object_new_boolean(plan->refused)) ||
                !json_set(object, "dry_run", json_object_new_boolean(dry_run)))
                return NULL;
        return STEAL(object);
}
