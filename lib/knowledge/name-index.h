/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Names → projects, without regard to case: Unicode simple case folding, whatever the locale of
 * the process. Where libc has no C.UTF-8, ASCII letters only. A name that is not found so is looked
 * for without regard to composition (NFC and NFD are one) and by full case folding (ß is ss); in
 * the index such names may stand beside each other.
 */

#include "lib/base/cleanup.h"

struct NameIndex;
struct Project;

int name_index_new(struct NameIndex **ret_index); /* -ENOMEM */
struct NameIndex *name_index_free(struct NameIndex *index);
DEFINE_POINTER_CLEANUP(struct NameIndex *, name_index_free)
#define _cleanup_name_index_ _cleanup_(name_index_freep)

/* Neither name nor project is owned; the name is copied. -EEXIST when it is there already:
 * *ret_owner is then the project that has it. -ENOMEM. */
int name_index_add(struct NameIndex *index, const char *name, const struct Project *project,
        const struct Project **ret_owner);
/* NULL when there is none. */
const struct Project *name_index_find(const struct NameIndex *index, const char *name);
