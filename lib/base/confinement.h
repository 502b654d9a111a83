/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a program may do that reads what anybody wrote: read what it is given, compute, and write
 * to what it is given. It cannot open a file for writing, make a socket or another process, signal
 * or trace one, nor use more memory and processor time than it is allowed, whatever it is made to
 * try. Where the kernel has Landlock, it can open nothing but programs, libraries and their data
 * either.
 *
 * This is a seccomp filter and resource limits, as they are to be had everywhere and by everybody:
 * on a terminal, as root, inside a unit that may make no namespace (RestrictNamespaces=).
 */

#include <stdint.h>

#include "lib/base/cleanup.h"

struct ConfinementLimits {
        uint64_t memory;      /* bytes that it can write to; addresses alone are free (GHC) */
        uint64_t cpu_seconds; /* then SIGXCPU, and a second later SIGKILL */
};

struct Confinement;

/* For `program`, an absolute path, which may be run from wherever it lies. -ENOMEM, or what the
 * kernel or libseccomp refused with. */
int confinement_new(const char *program, const struct ConfinementLimits *limits,
        struct Confinement **ret_confinement);
struct Confinement *confinement_free(struct Confinement *confinement);
DEFINE_POINTER_CLEANUP(struct Confinement *, confinement_free)
#define _cleanup_confinement_ _cleanup_(confinement_freep)

/* Confines the calling process, for good. System calls only: for a child between fork() and exec().
 * -errno, and then it must not go on. */
int confinement_enter(const struct Confinement *confinement);
