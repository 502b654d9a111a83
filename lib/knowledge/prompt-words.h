/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A prompt → the words to look for. The index's own tokenizer finds them, so that a word here is a
 * word there; everything else in the prompt separates words and means nothing.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/failure.h"

#define PROMPT_WORDS_MAX 64

struct PromptWord {
        const char *text; /* as written; points into the prompt, not NUL-terminated */
        size_t size;      /* bytes */
        char *stem;       /* as in the index */
        size_t stem_size;
};

struct PromptWords {
        struct PromptWord words[PROMPT_WORDS_MAX]; /* different stems, in the order of the prompt */
        size_t n_words;
        bool cut; /* there were more */
};

/* Very common English words are left out as long as others remain. `prompt` must outlive the
 * result. */
int prompt_words_find(
        sqlite3 *db, const char *prompt, struct PromptWords **ret_words, struct Failure *failure);
struct PromptWords *prompt_words_free(struct PromptWords *words);
DEFINE_POINTER_CLEANUP(struct PromptWords *, prompt_words_free)
#define _cleanup_prompt_words_ _cleanup_(prompt_words_freep)

/* An FTS5 expression for chunks that hold any of the words, each a quoted string. NULL when memory
 * ran out; the caller frees. There must be at least one word. */
char *prompt_words_expression(const struct PromptWords *words);
