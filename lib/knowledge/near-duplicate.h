/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether a text says anything that another one does not. Pure.
 *
 * A text is the sequence of its words: what stands between blanks; in scripts that put no blanks
 * between words (Chinese, Japanese, Thai and their like), each character. So white space never
 * counts. SHINGLE_WORDS words in a row are a shingle, which is kept as a hash (A. Broder, On the
 * resemblance and containment of documents, 1997).
 *
 * A text repeats another when the words of both are the same, or when SHINGLES_REPEATED of 100 of
 * its shingles are in the other and its numbers are too. What counts is containment and not
 * resemblance: a part repeats the whole, the whole does not repeat the part.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

/* Long enough that texts on one subject do not share shingles by chance; short enough that a word
 * that was changed, which breaks five of them, leaves those of a paragraph of some 25 words. */
#define SHINGLE_WORDS 5

/* One word changed in every 25, or one sentence in five added: a copy of a note, an export of it,
 * an older version. Below it there is something to be lost. */
#define SHINGLES_REPEATED 80

/* Of so many bytes in all, each shingle and number is kept; of n times as many one in n, the same
 * ones in all texts. It bounds memory and time where chunks are tables of megabytes. */
#define SHINGLES_ALL_BYTES ((uint64_t) (2u << 20))

/* {0} is empty. */
struct HashSet {
        uint64_t *slots; /* 2^bits of them; 0: free */
        size_t n;        /* that are not */
        unsigned bits;
        uint64_t multiplier; /* decides where a hash belongs */
};

struct Fingerprint {
        uint64_t words; /* of all of them */
        struct HashSet shingles;
        struct HashSet numbers; /* words with a digit, each with the word before it and the one
                                 * behind it: a table of torques with another torque in it, or with
                                 * another unit, is another table */
};

/* `text` is valid UTF-8; `all_bytes` is the size of all texts that are to be compared. -ENOMEM is
 * the only error. The result starts zeroed and is released with fingerprint_done(). */
int fingerprint_make(
        const char *text, size_t size, uint64_t all_bytes, struct Fingerprint *ret_fingerprint);
void fingerprint_done(struct Fingerprint *fingerprint);
#define _cleanup_fingerprint_ _cleanup_(fingerprint_done)

/* Both were made with the same `all_bytes`. */
bool fingerprint_repeats(const struct Fingerprint *text, const struct Fingerprint *other);

/* Texts that are known, so that another one is compared with few of them: what most have in common
 * with it is nothing. */
struct KnownTexts {
        const struct Fingerprint **texts; /* they belong to whoever added them */
        size_t n;
        uint64_t *seen; /* a bit for each hash of any of them, and for some that are of none */
        size_t seen_bits;
};

/* Room for `max` texts with so many shingles in all. -ENOMEM is the only error. Released with
 * known_texts_done(). */
int known_texts_make(size_t max, size_t shingles, struct KnownTexts *ret_known);
void known_texts_done(struct KnownTexts *known);
void known_texts_add(struct KnownTexts *known, const struct Fingerprint *text);
/* Whether the text repeats any of them. */
bool known_texts_hold(const struct KnownTexts *known, const struct Fingerprint *text);
