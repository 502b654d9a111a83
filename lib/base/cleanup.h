/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Scope-bound resources: a variable marked _cleanup_(f) is released by f(&variable) on every way
 * out of its scope. Destructors accept NULL, so a variable may be marked before it is set.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Defines FUNCp(TYPE *) for _cleanup_() from a destructor FUNC(TYPE) of a pointer type. */
#define DEFINE_POINTER_CLEANUP(type, func)                                                         \
        static inline void func##p(type *p) {                                                      \
                if (*p)                                                                            \
                        func(*p);                                                                  \
        }

static inline void cleanup_free(void *p) {
        free(*(void **) p);
}

static inline void cleanup_close(const int *fd) {
        if (*fd >= 0)
                (void) close(*fd);
}

DEFINE_POINTER_CLEANUP(FILE *, fclose)
DEFINE_POINTER_CLEANUP(DIR *, closedir)

#define _cleanup_free_     _cleanup_(cleanup_free)
#define _cleanup_close_    _cleanup_(cleanup_close)
#define _cleanup_fclose_   _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

/* Hands the value on and leaves nothing for the cleanup to release. */
#define STEAL(p)                                                                                   \
        __extension__({                                                                            \
                __typeof__(p) stolen_ = (p);                                                       \
                (p) = NULL;                                                                        \
                stolen_;                                                                           \
        })

#define STEAL_FD(fd)                                                                               \
        __extension__({                                                                            \
                int stolen_fd_ = (fd);                                                             \
                (fd) = -1;                                                                         \
                stolen_fd_;                                                                        \
        })
