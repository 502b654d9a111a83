/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Stamps name snapshots: YYYYMMDDTHHMMSSZ, always UTC, so that names sort in time order.
 * Times are int64_t seconds since the epoch. The clock is passed, never read behind the caller's
 * back, so that tests can set it.
 */

#include <stdbool.h>
#include <stdint.h>

#define STAMP_SIZE   (sizeof "20260407T060000Z")     /* with the terminating NUL */
#define RFC3339_SIZE (sizeof "2026-04-07T06:00:00Z") /* with the terminating NUL */

/* The times a stamp can express: years 0001 to 9999. */
#define STAMP_TIME_MIN INT64_C(-62135596800)
#define STAMP_TIME_MAX INT64_C(253402300799)

struct Clock {
        bool frozen; /* stands at .now; waiting moves it on instead of sleeping */
        int64_t now;
};

/* Strict: upper case, exact length, a date and time that exist (no 31 February, no second 60).
 * Returns -EINVAL for anything else. */
int stamp_parse(const char *text, int64_t *ret_seconds);
bool stamp_is_valid(const char *text);
/* seconds outside STAMP_TIME_MIN..MAX are clamped. */
void stamp_format(int64_t seconds, char ret_stamp[STAMP_SIZE]);

/* RFC 3339 with Z. The parser takes `YYYY-MM-DDTHH:MM:SS`, an optional fraction (cut off), and
 * Z or a numeric offset. Returns -EINVAL for anything else. */
void rfc3339_format(int64_t seconds, char ret_text[RFC3339_SIZE]);
int rfc3339_parse(const char *text, int64_t *ret_seconds);

/* The system's clock, or one frozen at ATOCORE_NOW=<stamp> (for tests and rehearsals).
 * Returns -EINVAL when the variable holds no stamp. */
int clock_from_environment(struct Clock *ret_clock);
int64_t clock_now(const struct Clock *clock);
/* Returns once clock_now() > after. A clock set back by more than a minute is not waited for:
 * -ETIME. -EINTR when a signal came. */
int clock_wait_past(struct Clock *clock, int64_t after);

/* Milliseconds of CLOCK_MONOTONIC, for durations only. */
uint64_t monotonic_ms(void);
