/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

/* Days since the epoch, counted year by year: slow, and with nothing of timegm() in it. */
static int64_t days_before_year(int year) {
        int64_t days = 0;

        for (int y = 1970; y < year; y++)
                days += (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 366 : 365;
        for (int y = year; y < 1970; y++)
                days -= (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 366 : 365;
        return days;
}

static void test_every_year_has_its_stamps_and_no_others(void **state) {
        static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

        (void) state;
        for (int year = 1; year <= 9999; year += year < 1890 || year > 2110 ? 53 : 1) {
                bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
                int64_t day = days_before_year(year);

                for (int month = 1; month <= 12; month++) {
                        int length = lengths[month - 1] + (month == 2 && leap);
                        for (int mday = 1; mday <= 31; mday++) {
                                char text[64], back[STAMP_SIZE], stamp[RFC3339_SIZE];
                                int64_t seconds = -1, rfc = -1;

                                (void) snprintf(text, sizeof text, "%04d%02d%02dT235958Z", year,
                                        month, mday);
                                if (mday > length) {
                                        assert_int_equal(stamp_parse(text, &seconds), -EINVAL);
                                        assert_int_equal(seconds, -1);
                                        continue;
                                }
                                assert_int_equal(stamp_parse(text, &seconds), 0);
                                assert_int_equal(seconds, day * 86400 + 86398);
                                stamp_format(seconds, back);
                                assert_string_equal(back, text);
                                rfc3339_format(seconds, stamp);
                                assert_int_equal(rfc3339_parse(stamp, &rfc), 0);
                                assert_int_equal(rfc, seconds);
                                day++;
                        }
                }
                assert_int_equal(day, days_before_year(year + 1));
        }
}

static void test_nothing_but_a_stamp_is_a_stamp(void **state) {
        static const char *const texts[] = {
                "", "20260407T060000z", "20260407t060000Z", "20260407T060000", "20260407T060000Z ",
                " 20260407T060000Z", "20260407T060000ZZ", "2026-04-07T06:00:00Z", "20260407T06000Z",
                "20260407T0600000Z", "20260407 060000Z", "+2026407T060000Z", "-0260407T060000Z",
                "2026 407T060000Z", "202604 7T060000Z", "00000407T060000Z", "20260007T060000Z",
                "20261307T060000Z", "20260400T060000Z", "20260231T000000Z", "20250229T000000Z",
                "19000229T000000Z", "20260407T240000Z", "20260407T236000Z", "20260630T235960Z",
                "../../etc", "20260407T060000Z/..", "20260407T060000Z\n",
                "\331\242\331\240\331\242\331\2460407T060000Z", /* Arabic-Indic digits */
        };

        (void) state;
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                int64_t seconds = 42;
                if (stamp_parse(texts[i], &seconds) != -EINVAL || stamp_is_valid(texts[i]))
                        fail_msg("'%s' was taken for a stamp", texts[i]);
                assert_int_equal(seconds, 42);
        }
        assert_true(stamp_is_valid("20240229T235959Z"));
        assert_true(stamp_is_valid("20000229T000000Z"));
}

static void test_times_that_no_stamp_can_express_are_clamped(void **state) {
        char stamp[STAMP_SIZE], text[RFC3339_SIZE];

        (void) state;
        stamp_format(STAMP_TIME_MIN, stamp);
        assert_string_equal(stamp, "00010101T000000Z");
        stamp_format(INT64_MIN, stamp);
        assert_string_equal(stamp, "00010101T000000Z");
        stamp_format(STAMP_TIME_MAX, stamp);
        assert_string_equal(stamp, "99991231T235959Z");
        stamp_format(INT64_MAX, stamp);
        assert_string_equal(stamp, "99991231T235959Z");
        rfc3339_format(INT64_MAX, text);
        assert_string_equal(text, "9999-12-31T23:59:59Z");
}

static void test_local_time_zone_changes_nothing(void **state) {
        static const char *const zones[] = { "UTC", "America/St_Johns", "Pacific/Kiritimati",
                "Europe/Berlin" };
        const char *before = getenv("TZ");
        char *saved = before ? strdup(before) : NULL;

        (void) state;
        for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
                char stamp[STAMP_SIZE];
                int64_t seconds = 0;

                assert_int_equal(setenv("TZ", zones[i], 1), 0);
                tzset();
                /* An hour that Berlin does not have in local time. */
                assert_int_equal(stamp_parse("20260329T023000Z", &seconds), 0);
                assert_int_equal(seconds, INT64_C(1774751400));
                stamp_format(seconds, stamp);
                assert_string_equal(stamp, "20260329T023000Z");
        }
        if (saved)
                assert_int_equal(setenv("TZ", saved, 1), 0);
        else
                assert_int_equal(unsetenv("TZ"), 0);
        tzset();
        free(saved);
}

static void test_stamps_sort_like_their_times(void **state) {
        static const int64_t times[] = { STAMP_TIME_MIN, -1, 0, 1, 951782400, 1774751400,
                1774751401, INT64_C(4102444800), STAMP_TIME_MAX };
        char earlier[STAMP_SIZE], later[STAMP_SIZE];

        (void) state;
        for (size_t i = 1; i < sizeof times / sizeof times[0]; i++) {
                stamp_format(times[i - 1], earlier);
                stamp_format(times[i], later);
                assert_true(strcmp(earlier, later) < 0);
        }
}

static void test_rfc3339_is_read_in_all_its_forms(void **state) {
        static const struct {
                const char *text;
                int64_t seconds;
        } rows[] = {
                { "1970-01-01T00:00:00Z", 0 },
                { "1970-01-01t00:00:00z", 0 },
                { "1970-01-01 00:00:00Z", 0 },
                { "1970-01-01T00:00:00.999999999Z", 0 },
                { "1970-01-01T00:00:00.5+00:00", 0 },
                { "1970-01-01T00:00:00-00:00", 0 },
                { "1970-01-01T01:30:00+01:30", 0 },
                { "1969-12-31T16:00:00-08:00", 0 },
                { "2026-04-07T06:00:00+23:59", 1775541600 - 86340 },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                int64_t seconds = -1;
                assert_int_equal(rfc3339_parse(rows[i].text, &seconds), 0);
                assert_int_equal(seconds, rows[i].seconds);
        }
}

static void test_what_is_no_rfc3339_is_refused(void **state) {
        static const char *const texts[] = {
                "",
                "2026-04-07",
                "2026-04-07T06:00:00",
                "2026-04-07T06:00Z",
                "2026-04-07T06:00:00.Z",
                "2026-04-07T06:00:00.5",
                "2026-04-07T06:00:00+0130",
                "2026-04-07T06:00:00+01",
                "2026-04-07T06:00:00+24:00",
                "2026-04-07T06:00:00+01:60",
                "2026-04-07T06:00:00 Z",
                "2026-04-07T06:00:00Zx",
                "2026-04-07X06:00:00Z",
                "2026-02-30T06:00:00Z",
                "2026-4-7T06:00:00Z",
                "0000-01-01T00:00:00Z",
                "20260407T060000Z",
                "1775541600",
        };

        (void) state;
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                int64_t seconds = 42;
                if (rfc3339_parse(texts[i], &seconds) != -EINVAL)
                        fail_msg("'%s' was taken for a time", texts[i]);
                assert_int_equal(seconds, 42);
        }
}

static void test_environment_freezes_the_clock_or_is_refused(void **state) {
        struct Clock clock = { .frozen = true, .now = 7 };

        (void) state;
        assert_int_equal(setenv("ATOCORE_NOW", "20260407T060000Z", 1), 0);
        assert_int_equal(clock_from_environment(&clock), 0);
        assert_int_equal(clock_now(&clock), 1775541600);
        assert_int_equal(clock_now(&clock), 1775541600);

        assert_int_equal(setenv("ATOCORE_NOW", "20260407T060000z", 1), 0);
        assert_int_equal(clock_from_environment(&clock), -EINVAL);
        assert_int_equal(setenv("ATOCORE_NOW", "", 1), 0);
        assert_int_equal(clock_from_environment(&clock), -EINVAL);
        assert_int_equal(clock.now, 1775541600); /* untouched by what was refused */

        assert_int_equal(unsetenv("ATOCORE_NOW"), 0);
        assert_int_equal(clock_from_environment(&clock), 0);
        assert_false(clock.frozen);
        int64_t before = time(NULL), now = clock_now(&clock), after = time(NULL);
        assert_true(before - 1 <= now && now <= after + 1);
}

static void test_frozen_clock_moves_on_instead_of_waiting(void **state) {
        struct Clock clock = { .frozen = true, .now = 1000 };

        (void) state;
        assert_int_equal(clock_wait_past(&clock, 999), 0);
        assert_int_equal(clock_now(&clock), 1000);
        assert_int_equal(clock_wait_past(&clock, 1000), 0);
        assert_int_equal(clock_now(&clock), 1001);
        assert_int_equal(clock_wait_past(&clock, 1061), 0);
        assert_int_equal(clock_now(&clock), 1062);
}

static void test_clock_set_back_is_not_waited_for(void **state) {
        struct Clock frozen = { .frozen = true, .now = 1000 }, real = { 0 };

        (void) state;
        assert_int_equal(clock_wait_past(&frozen, 1061), -ETIME);
        assert_int_equal(clock_now(&frozen), 1000);
        assert_int_equal(clock_wait_past(&frozen, STAMP_TIME_MAX), -ETIME);
        assert_int_equal(clock_wait_past(&real, clock_now(&real) + 3600), -ETIME);
}

static void test_real_clock_waits_for_the_next_second_and_no_longer(void **state) {
        struct Clock clock = { 0 };
        int64_t now = clock_now(&clock);

        (void) state;
        assert_int_equal(clock_wait_past(&clock, now), 0);
        assert_true(clock_now(&clock) > now);
        now = clock_now(&clock);
        assert_int_equal(clock_wait_past(&clock, now - 1), 0);
}

static void on_alarm(int signal) {
        (void) signal;
}

static void test_signal_ends_the_wait_for_the_clock(void **state) {
        const struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
        /* Again and again: the first may come before the wait begins. */
        const struct itimerval soon = { { 0, 10000 }, { 0, 10000 } }, never = { 0 };
        struct Clock clock = { 0 };
        struct sigaction before;

        (void) state;
        assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
        int r = clock_wait_past(&clock, clock_now(&clock) + 50);
        assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
        assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
        assert_int_equal(r, -EINTR);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_year_has_its_stamps_and_no_others),
                cmocka_unit_test(test_nothing_but_a_stamp_is_a_stamp),
                cmocka_unit_test(test_times_that_no_stamp_can_express_are_clamped),
                cmocka_unit_test(test_local_time_zone_changes_nothing),
                cmocka_unit_test(test_stamps_sort_like_their_times),
                cmocka_unit_test(test_rfc3339_is_read_in_all_its_forms),
                cmocka_unit_test(test_what_is_no_rfc3339_is_refused),
                cmocka_unit_test(test_environment_freezes_the_clock_or_is_refused),
                cmocka_unit_test(test_frozen_clock_moves_on_instead_of_waiting),
                cmocka_unit_test(test_clock_set_back_is_not_waited_for),
                cmocka_unit_test(test_real_clock_waits_for_the_next_second_and_no_longer),
                cmocka_unit_test(test_signal_ends_the_wait_for_the_clock),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
