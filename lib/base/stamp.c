/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/stamp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLOCK_SET_BACK_MAX 60 /* seconds that are waited for */

/* Reads exactly `digits` decimal digits; the cursor moves behind them. */
static bool read_digits(const char **cursor, unsigned digits, int *ret) {
        int value = 0;

        for (unsigned i = 0; i < digits; i++) {
                char c = (*cursor)[i];
                if (c < '0' || c > '9')
                        return false;
                value = value * 10 + (c - '0');
        }
        *cursor += digits;
        *ret = value;
        return true;
}

static bool read_literal(const char **cursor, char c) {
        if (**cursor != c)
                return false;
        (*cursor)++;
        return true;
}

/* timegm() normalises: 31 February becomes 3 March. A time exists when it comes back unchanged. */
static int time_from_fields(struct tm *tm, int64_t *ret_seconds) {
        struct tm asked = *tm;
        time_t seconds;

        if (asked.tm_year < 1 - 1900)
                return -EINVAL;
        seconds = timegm(tm);
        if (tm->tm_year != asked.tm_year || tm->tm_mon != asked.tm_mon ||
                tm->tm_mday != asked.tm_mday || tm->tm_hour != asked.tm_hour ||
                tm->tm_min != asked.tm_min || tm->tm_sec != asked.tm_sec)
                return -EINVAL;
        *ret_seconds = seconds;
        return 0;
}

int stamp_parse(const char *text, int64_t *ret_seconds) {
        const char *p = text;
        struct tm tm = { 0 };

        if (!read_digits(&p, 4, &tm.tm_year) || !read_digits(&p, 2, &tm.tm_mon) ||
                !read_digits(&p, 2, &tm.tm_mday) || !read_literal(&p, 'T') ||
                !read_digits(&p, 2, &tm.tm_hour) || !read_digits(&p, 2, &tm.tm_min) ||
                !read_digits(&p, 2, &tm.tm_sec) || !read_literal(&p, 'Z') || *p)
                return -EINVAL;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        return time_from_fields(&tm, ret_seconds);
}

bool stamp_is_valid(const char *text) {
        int64_t seconds;
        return stamp_parse(text, &seconds) == 0;
}

static void fields_from_time(int64_t seconds, struct tm *ret_tm) {
        time_t clamped;

        if (seconds < STAMP_TIME_MIN)
                seconds = STAMP_TIME_MIN;
        if (seconds > STAMP_TIME_MAX)
                seconds = STAMP_TIME_MAX;
        clamped = (time_t) seconds;
        (void) gmtime_r(&clamped, ret_tm);
}

/* The year is 1 to 9999 here, so four digits; the modulo tells the compiler. */
static unsigned year_of(const struct tm *tm) {
        return (unsigned) (tm->tm_year + 1900) % 10000;
}

void stamp_format(int64_t seconds, char ret_stamp[STAMP_SIZE]) {
        struct tm tm;

        fields_from_time(seconds, &tm);
        (void) snprintf(ret_stamp, STAMP_SIZE, "%04u%02u%02uT%02u%02u%02uZ", year_of(&tm),
                (unsigned) (tm.tm_mon + 1) % 100, (unsigned) tm.tm_mday % 100,
                (unsigned) tm.tm_hour % 100, (unsigned) tm.tm_min % 100,
                (unsigned) tm.tm_sec % 100);
}

void rfc3339_format(int64_t seconds, char ret_text[RFC3339_SIZE]) {
        struct tm tm;

        fields_from_time(seconds, &tm);
        (void) snprintf(ret_text, RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02uZ", year_of(&tm),
                (unsigned) (tm.tm_mon + 1) % 100, (unsigned) tm.tm_mday % 100,
                (unsigned) tm.tm_hour % 100, (unsigned) tm.tm_min % 100,
                (unsigned) tm.tm_sec % 100);
}

static bool read_offset(const char **cursor, int64_t *ret_seconds) {
        int hours, minutes, sign;

        if (read_literal(cursor, 'Z') || read_literal(cursor, 'z')) {
                *ret_seconds = 0;
                return true;
        }
        if (read_literal(cursor, '+'))
                sign = 1;
        else if (read_literal(cursor, '-'))
                sign = -1;
        else
                return false;
        if (!read_digits(cursor, 2, &hours) || !read_literal(cursor, ':') ||
                !read_digits(cursor, 2, &minutes) || hours > 23 || minutes > 59)
                return false;
        *ret_seconds = sign * (hours * 3600 + minutes * 60);
        return true;
}

int rfc3339_parse(const char *text, int64_t *ret_seconds) {
        const char *p = text;
        struct tm tm = { 0 };
        int64_t seconds, offset;
        int r;

        if (!read_digits(&p, 4, &tm.tm_year) || !read_literal(&p, '-') ||
                !read_digits(&p, 2, &tm.tm_mon) || !read_literal(&p, '-') ||
                !read_digits(&p, 2, &tm.tm_mday) || (*p != 'T' && *p != 't' && *p != ' '))
                return -EINVAL;
        p++;
        if (!read_digits(&p, 2, &tm.tm_hour) || !read_literal(&p, ':') ||
                !read_digits(&p, 2, &tm.tm_min) || !read_literal(&p, ':') ||
                !read_digits(&p, 2, &tm.tm_sec))
                return -EINVAL;
        if (read_literal(&p, '.')) {
                size_t digits = strspn(p, "0123456789");
                if (digits == 0)
                        return -EINVAL;
                p += digits;
        }
        if (!read_offset(&p, &offset) || *p)
                return -EINVAL;

        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        r = time_from_fields(&tm, &seconds);
        if (r < 0)
                return r;
        *ret_seconds = seconds - offset;
        return 0;
}

int clock_from_environment(struct Clock *ret_clock) {
        const char *stamp = getenv("ATOCORE_NOW");
        struct Clock clock = { 0 };

        if (stamp) {
                int r = stamp_parse(stamp, &clock.now);
                if (r < 0)
                        return r;
                clock.frozen = true;
        }
        *ret_clock = clock;
        return 0;
}

int64_t clock_now(const struct Clock *clock) {
        struct timespec now;

        if (clock->frozen)
                return clock->now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec;
}

int clock_wait_past(struct Clock *clock, int64_t after) {
        int64_t now = clock_now(clock);

        if (now <= after && after - now > CLOCK_SET_BACK_MAX)
                return -ETIME;
        if (clock->frozen) {
                if (now <= after)
                        clock->now = after + 1;
                return 0;
        }
        while (clock_now(clock) <= after) {
                struct timespec until = { .tv_sec = (time_t) after + 1 };
                int r = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
                if (r != 0)
                        return -r;
        }
        return 0;
}

uint64_t monotonic_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}
