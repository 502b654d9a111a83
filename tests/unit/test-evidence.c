/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WRITTEN 1700000000

static struct stat status_of(void) {
        return (struct stat){
                .st_size = 10,
                .st_ino = 7,
                .st_mtim = { WRITTEN, 5 },
                .st_ctim = { WRITTEN + 1, 6 },
        };
}

static struct Evidence read_at(time_t seconds) {
        const struct stat status = status_of();
        const struct timespec when = { seconds, 0 };

        return evidence_of(&status, &when);
}

static void test_all_the_same_is_proof(void **state) {
        (void) state;
        const struct Evidence known = read_at(WRITTEN + 100);
        const struct stat status = status_of();

        assert_true(evidence_proves_unchanged(&known, &status));
        assert_true(evidence_agrees(&known, &status));
}

static void test_each_difference_counts(void **state) {
        (void) state;
        const struct Evidence known = read_at(WRITTEN + 100);
        struct stat changed[6];

        for (size_t i = 0; i < 6; i++)
                changed[i] = status_of();
        changed[0].st_size++;
        changed[1].st_ino++;
        changed[2].st_mtim.tv_sec++;
        changed[3].st_mtim.tv_nsec++;
        changed[4].st_ctim.tv_sec++;
        changed[5].st_ctim.tv_nsec++;
        for (size_t i = 0; i < 6; i++) {
                assert_false(evidence_proves_unchanged(&known, &changed[i]));
                assert_false(evidence_agrees(&known, &changed[i]));
        }
}

static void test_what_was_just_written_is_no_proof(void **state) {
        (void) state;
        const struct stat status = status_of();

        for (time_t age = -2; age <= 2; age++) {
                const struct Evidence known = read_at(WRITTEN + age);
                assert_false(evidence_proves_unchanged(&known, &status));
                assert_true(evidence_agrees(&known, &status));
        }
        for (time_t age = 3; age <= 4; age++) {
                const struct Evidence known = read_at(WRITTEN + age);
                assert_true(evidence_proves_unchanged(&known, &status));
        }
}

/* A file from the future would get another time if it were written now. */
static void test_times_of_the_future_are_proof(void **state) {
        (void) state;
        const struct Evidence known = read_at(WRITTEN - 3);
        const struct stat status = status_of();

        assert_true(evidence_proves_unchanged(&known, &status));
}

static void test_times_out_of_range_are_compared_all_the_same(void **state) {
        (void) state;
        const struct timespec now = { WRITTEN, 0 };
        struct stat status = status_of();

        status.st_mtim.tv_sec = INT64_MAX;
        status.st_ctim.tv_sec = INT64_MIN;
        const struct Evidence known = evidence_of(&status, &now);
        assert_true(evidence_proves_unchanged(&known, &status));
        status.st_mtim.tv_sec--;
        assert_false(evidence_proves_unchanged(&known, &status));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_the_same_is_proof),
                cmocka_unit_test(test_each_difference_counts),
                cmocka_unit_test(test_what_was_just_written_is_no_proof),
                cmocka_unit_test(test_times_of_the_future_are_proof),
                cmocka_unit_test(test_times_out_of_range_are_compared_all_the_same),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
