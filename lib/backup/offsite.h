/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A place beyond this machine that holds copies, behind a program that knows how to get there:
 *
 *   offsite=restic:REPOSITORY   snapshots, one of restic's for each, deduplicated and encrypted
 *   offsite=rclone:REMOTE:PATH  archives, file by file
 *
 * What is sent is staged under another name or seen by nobody until it is whole; what came of it is
 * read back and compared, byte for byte by digest.
 *
 * Credentials ($CREDENTIALS_DIRECTORY): restic-password is the password of the repository,
 * rclone.conf the configuration of rclone, offsite-environment lines of NAME=VALUE for either. What
 * is not there is as the environment of the caller has it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/operation.h"

/* What is here: a snapshot or an archive. */
struct OffsiteItem {
        char name[256];         /* "<stamp>", "<stamp>.tar.zst" */
        char stamp[STAMP_SIZE]; /* of it */
        char *path;
        uint64_t bytes;
        bool pinned;
        bool has_vector_store;
};

/* What is there. */
struct OffsiteCopy {
        char *name; /* as of the item that it is a copy of */
        char stamp[STAMP_SIZE];
        char *id;   /* what the program calls it */
        char *host; /* that sent it, or NULL where that is not told */
        uint64_t bytes;
        bool own; /* sent by this host, as far as it is told */
        bool pinned;
        bool has_vector_store;
};

struct OffsiteList {
        struct OffsiteCopy *copies; /* by name, those of this host before others' */
        size_t n_copies;
        bool absent; /* there is no such place yet; the first that is sent makes it */
};

struct Offsite {
        const struct OffsiteEngine *engine;
        char *target; /* REPOSITORY or REMOTE:PATH */
        char *shown;  /* of offsite=, without passwords */
        char *host;
        char **environment; /* of the program, beside ours; NULL-terminated */
        size_t n_environment;
};

/* By offsite=: CONFIG_INVALID where that is not set or a credential is none. */
int offsite_open(
        const struct Operation *operation, struct Offsite **ret_offsite, struct Failure *failure);
struct Offsite *offsite_free(struct Offsite *offsite);
DEFINE_POINTER_CLEANUP(struct Offsite *, offsite_free)
#define _cleanup_offsite_ _cleanup_(offsite_freep)

/* "snapshot" or "archive": what is sent there. */
const char *offsite_noun(const struct Offsite *offsite);
bool offsite_takes_archives(const struct Offsite *offsite);

/* All below fail with OFFSITE_FAILED where the other side or the program did, in its own words;
 * INTERRUPTED, OUT_OF_MEMORY. */

int offsite_list(const struct Offsite *offsite, const struct Operation *operation,
        struct OffsiteList **ret_list, struct Failure *failure);
struct OffsiteList *offsite_list_free(struct OffsiteList *list);
DEFINE_POINTER_CLEANUP(struct OffsiteList *, offsite_list_free)
#define _cleanup_offsite_list_ _cleanup_(offsite_list_freep)

/* The copy of that name: this host's own, else (`any`) another's. NULL: there is none. */
const struct OffsiteCopy *offsite_list_find(
        const struct OffsiteList *list, const char *name, bool any);

/* Before anything is sent or removed: makes the place where it is absent, and clears what runs that
 * died left locked there. */
int offsite_prepare(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteList *list, struct Failure *failure);

/* Sends it and reads it back. Cut off at any point, nothing is there that the list would show, or
 * all of it, if maybe not proven yet. OFFSITE_MISMATCH: it came out different, and is not listed.
 */
int offsite_send(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, struct Failure *failure);

/* Reads all of it back. OFFSITE_MISMATCH (-EBADMSG): it is not what was sent. `item` NULL, where it
 * is not here: by its own checksums, as far as the copy has some. */
int offsite_verify(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, const struct OffsiteCopy *copy, struct Failure *failure);

/* Puts it into the staging directory (a snapshot) or file (an archive) behind `fd`. Nothing is said
 * of whether it is valid. OFFSITE_MISMATCH for what is no snapshot at all; NO_SPACE and its like.
 */
int offsite_fetch(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *copy, int fd, struct Failure *failure);

/* All of these copies, and what only they held. */
int offsite_remove(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *const *copies, size_t n, struct Failure *failure);

/* OFFSITE_MISMATCH: "The copy of … is not what was sent: <problem>; …". */
int offsite_mismatch(const struct Offsite *offsite, const struct OffsiteCopy *copy,
        const char *problem, struct Failure *failure);

void offsite_copy_clear(struct OffsiteCopy *copy);
#define _cleanup_offsite_copy_ _cleanup_(offsite_copy_clear)
