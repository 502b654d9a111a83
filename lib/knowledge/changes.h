/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What has changed in the sources and is still to be ingested, and when it is to be: once nothing
 * more has changed for CHANGES_QUIET_MS, at the latest CHANGES_WAIT_MS after the first. So an
 * editor's or a checkout's many writes are one ingest, and what is written without end is found
 * within two seconds all the same.
 *
 * An ingest of what changed does not look at the rest: in a vault of 6,000 files a look at all of
 * them takes 0.2 s, and one at a file that was saved 10 ms, most of which is the disk's. But it is
 * bounded: past CHANGES_PARTS_MAX parts of a source, each with a query and a walk of its own, the
 * whole source has changed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANGES_QUIET_MS  300
#define CHANGES_WAIT_MS   1500
#define CHANGES_PARTS_MAX 256

/* A file or a directory with all below it; it may be there or be gone. */
struct ChangedPart {
        const char *source; /* of layout_source_names */
        char *path;         /* below the source; "" is all of it */
};

/* Zeroed is empty. No part lies within another. */
struct Changes {
        bool everything; /* all sources, and whatever was said of their parts */
        struct ChangedPart *parts;
        size_t n, allocated;
        uint64_t first_ms, last_ms; /* monotonic_ms() */
};

/* Cannot fail: where memory runs out, everything has changed. */
void changes_add(struct Changes *changes, const char *source, const char *path, uint64_t now_ms);
void changes_add_everything(struct Changes *changes, uint64_t now_ms);
/* Adds all of `from` as of the time at which it came, and leaves it empty. */
void changes_move(struct Changes *changes, struct Changes *from);

bool changes_are_none(const struct Changes *changes);
/* When they are to be ingested, by monotonic_ms(); UINT64_MAX where there are none. */
uint64_t changes_due(const struct Changes *changes);

void changes_clear(struct Changes *changes);

/* Whether `outer` is `inner`, or a directory that it lies in. Both are paths below a source. */
bool changes_cover(const char *outer, const char *inner);
