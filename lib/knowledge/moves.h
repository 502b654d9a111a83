/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The contents that a run met where they were not before, in new files and in changed ones. A
 * document that is gone from its path is none the less there when its content is among them: it was
 * moved. One file makes up for one document, so that a hundred empty notes are not all found in
 * one.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/digest.h"

struct Met {
        const char *source;
        char digest[DIGEST_HEX_SIZE];
        size_t taken; /* in the first of equal ones: how many of them */
};

/* Zeroed is empty. */
struct Moves {
        struct Met *met;
        size_t n, allocated;
        size_t sorted; /* as many as there were when they were last put in order */
};

/* -ENOMEM. `source` must outlive it. */
int moves_add(struct Moves *moves, const char *source, const char *digest);
/* Whether a file of `source` holds this and stands for no other document yet; from now on it stands
 * for one. */
bool moves_take(struct Moves *moves, const char *source, const char *digest);
void moves_clear(struct Moves *moves);
