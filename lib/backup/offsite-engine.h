/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Between offsite.c and the programs: what each of them does in its own way, and how one is run.
 */

#include "lib/backup/offsite.h"
#include "lib/base/json-document.h"
#include "lib/base/subprocess.h"

struct OffsiteEngine {
        const char *program; /* and its Debian package, and what offsite= begins with */
        const char *noun;
        bool archives; /* it takes those, not snapshots */
        /* What it says when the place does not answer at all and it goes on trying: it is ended
         * then (subprocess.h). Or NULL. */
        const char *unreachable;

        /* As offsite_….() of the same name. */
        int (*list)(const struct Offsite *offsite, const struct Operation *operation,
                struct OffsiteList *list, struct Failure *failure);
        int (*prepare)(const struct Offsite *offsite, const struct Operation *operation,
                const struct OffsiteList *list, struct Failure *failure);
        int (*send)(const struct Offsite *offsite, const struct Operation *operation,
                const struct OffsiteItem *item, struct Failure *failure);
        int (*verify)(const struct Offsite *offsite, const struct Operation *operation,
                const struct OffsiteItem *item, const struct OffsiteCopy *copy,
                struct Failure *failure);
        int (*fetch)(const struct Offsite *offsite, const struct Operation *operation,
                const struct OffsiteCopy *copy, int fd, struct Failure *failure);
        int (*remove)(const struct Offsite *offsite, const struct Operation *operation,
                const struct OffsiteCopy *const *copies, size_t n, struct Failure *failure);

        /* What it complained about, of all that it wrote: the caller frees. NULL: out of memory. */
        char *(*complaint)(const char *words);
};

extern const struct OffsiteEngine offsite_restic, offsite_rclone;

/* The program with these arguments. OFFSITE_FAILED when it is not installed. */
int offsite_start(const struct Offsite *offsite, const struct Operation *operation,
        const char *const *arguments, const char *directory, struct Subprocess **ret_child,
        struct Failure *failure);

/* Why it ended as it did: "Cannot <doing> <place>: <its words>; <what to do>". */
int offsite_failed(const struct Offsite *offsite, const struct Subprocess *child, int status,
        const char *doing, struct Failure *failure);

/* Runs it to its end, and what it wrote to standard output (with a NUL behind it) is the caller's.
 * `ret_status` NULL: any but 0 is a failure; `doing` is for its sentence. */
int offsite_capture(const struct Offsite *offsite, const struct Operation *operation,
        const char *const *arguments, const char *doing, char **ret_output, int *ret_status,
        struct Failure *failure);

/* The array that `command` printed; JSON's null, which is none at all to some versions, is NULL.
 * OFFSITE_FAILED when it is no such thing. */
int offsite_parse_array(const struct Offsite *offsite, const char *text, const char *command,
        json_object **ret_array, struct Failure *failure);

/* A new entry, cleared; NULL when memory ran out. */
struct OffsiteCopy *offsite_list_add(struct OffsiteList *list);

/* All of the file behind `child`, hashed, and written to `fd` where that is one. */
int offsite_receive(const struct Operation *operation, struct Subprocess *child, int fd,
        const char *what, uint64_t total, char ret_digest[], uint64_t *ret_bytes,
        struct Failure *failure);
