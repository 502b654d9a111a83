/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Structured events. Where stderr is the journal's own socket (a unit), an event becomes one
 * journal entry with MESSAGE_ID and ATOCORE_* fields; anywhere else the same event is one line on
 * stderr: `atocore-backup: <sentence> [code]`. Only ops/ and daemon/ emit events.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"

enum Verbosity {
        VERBOSITY_QUIET,   /* warnings and errors */
        VERBOSITY_NORMAL,  /* what a person wants to see */
        VERBOSITY_VERBOSE, /* the same and debug lines */
};

struct EventNumber {
        const char *name; /* journal field, "ATOCORE_BYTES" */
        uint64_t value;
};

struct Event {
        enum EventId id;
        const char *stamp; /* ATOCORE_STAMP=, or NULL */
        const char *path;  /* ATOCORE_PATH=, or NULL */
        const char *code;  /* ATOCORE_CODE=; NULL: the event's own code */
        int error;         /* ERRNO=; 0: left out */
        const struct EventNumber *numbers;
        size_t n_numbers;
};

/* Before the first event and before threads; again when the verbosity is known. `identifier`
 * (SYSLOG_IDENTIFIER) is kept. The verbosity is for lines on stderr: the journal gets everything,
 * with its priority. */
void event_setup(const char *identifier, enum Verbosity verbosity);
/* Called before each stderr line, under flockfile(stderr), so that a progress bar can clear its own
 * line first. */
void event_set_line_hook(void (*hook)(void));

/* `%m` in the format is the text of event->error. Text that is not fit for a line (control
 * characters in the name of a file) is shown escaped; the fields of the journal have its bytes. */
void event_emit(const struct Event *event, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void event_emit_failure(const struct Failure *failure);
/* Debug: shown with --verbose, kept by the journal at priority 7. No event id. */
void event_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The last of all, before the process ends: waits (a few seconds at most) until the journal has
 * read what it was sent, since it finds out the unit of a process only while there is one. */
void event_flush(void);
