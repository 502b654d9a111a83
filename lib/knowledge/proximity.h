/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Words that stand together in the prompt and together in a text are more than these words apart:
 * phrases, and names of more than one word.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/knowledge/analyzer.h"
#include "lib/knowledge/prompt-words.h"

#define PROXIMITY_DISTANCE 3   /* terms from one to the next, at most: "speed of a wing" */
#define PROXIMITY_SHARE    0.3 /* of what the rarer half of a pair is worth */

/* What the pairs of neighbouring words of the prompt that stand together in the text add to its
 * score; `idfs` are those of the words, 0: none such in the index. -ENOMEM. */
int proximity_bonus(struct Analyzer *analyzer, const struct PromptWords *words, const double *idfs,
        const char *text, size_t size, double *ret_bonus);
/* The most that proximity_bonus() can be of a text that has each word so often;
 * VECTOR_FREQUENCY_MAX: or more often. */
double proximity_bound(const struct PromptWords *words, const double *idfs,
        const uint8_t frequencies[static PROMPT_WORDS_MAX]);
