/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/event-ids.h"

#include <ctype.h>
#include <pthread.h>
#include <string.h>

struct EventRow {
        const char *symbol;
        const char *message_id;
        int priority;
        int exit_status;
};

static const struct EventRow rows[EVENT_COUNT] = { [EVENT_NONE] = { "NONE", "", LOG_DEBUG, 0 },
#define X(symbol_, id_, priority_, status_)                                                        \
        [EVENT_##symbol_] = { #symbol_, id_, priority_, status_ },
        ATOCORE_EVENTS(X)
#undef X
};

#define CODE_SIZE 32

#define X(symbol_, id_, priority_, status_)                                                        \
        _Static_assert(sizeof #symbol_ <= CODE_SIZE, "code too long: " #symbol_);                  \
        _Static_assert(sizeof id_ == 33, "not 32 hex digits: " #symbol_);
ATOCORE_EVENTS(X)
#undef X

/* The preprocessor cannot fold case: the codes are made of the symbols once. */
static char codes[EVENT_COUNT][CODE_SIZE];

static void make_codes(void) {
        for (int event = 0; event < EVENT_COUNT; event++)
                for (size_t i = 0; rows[event].symbol[i] != '\0'; i++)
                        codes[event][i] = (char) tolower((unsigned char) rows[event].symbol[i]);
}

static const struct EventRow *find_row(enum EventId event) {
        return (int) event > 0 && (int) event < EVENT_COUNT ? &rows[event] : &rows[EVENT_NONE];
}

const char *event_code(enum EventId event) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void) pthread_once(&once, make_codes);
        return codes[find_row(event) - rows];
}

const char *event_message_id(enum EventId event) {
        return find_row(event)->message_id;
}

int event_priority(enum EventId event) {
        return find_row(event)->priority;
}

int event_exit_status(enum EventId event) {
        return find_row(event)->exit_status;
}
