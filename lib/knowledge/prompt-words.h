/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A prompt → the terms to look for. The index's own analyzer finds them (analyzer.h), so that a
 * word here is a word there; everything else in the prompt separates words and means nothing.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/failure.h"
#include "lib/knowledge/analyzer.h"

#define PROMPT_WORDS_MAX 256 /* a page of text */

struct PromptWord {
        char *term; /* as in the index */
        size_t size;
};

struct PromptWords {
        struct PromptWord words[PROMPT_WORDS_MAX]; /* different, in the order of the prompt */
        size_t n_words;
        bool cut; /* there were more */
};

/* Very common English words are left out as long as others remain. */
int prompt_words_find(struct Analyzer *analyzer, const char *prompt, struct PromptWords **ret_words,
        struct Failure *failure);
struct PromptWords *prompt_words_free(struct PromptWords *words);
DEFINE_POINTER_CLEANUP(struct PromptWords *, prompt_words_free)
#define _cleanup_prompt_words_ _cleanup_(prompt_words_freep)
