/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/near-duplicate.h"

#include <errno.h>

#include "lib/base/utf8.h"

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): over the characters of a word,
 * and over words. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static uint64_t hash_more(uint64_t hash, uint64_t value) {
        return (hash ^ value) * HASH_PRIME;
}

/* With all hashes in it, seven in eight bits are still unset. */
#define SEEN_BITS_PER_HASH 8

/* FNV leaves its low bits weak, and by those shingles are picked (the end of MurmurHash3). */
static uint64_t hash_end(uint64_t hash) {
        hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
        hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
        return hash ^ hash >> 33;
}

/* Words. */

static bool is_blank(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Blocks of Unicode whose scripts put no blanks between words, with their punctuation; in order. */
static bool stands_alone(uint32_t character) {
        static const struct {
                uint32_t first, last;
        } blocks[] = {
                { 0x0e00, 0x109f },   /* Thai, Lao, Tibetan, Myanmar */
                { 0x1780, 0x17ff },   /* Khmer */
                { 0x2e80, 0x9fff },   /* radicals, kana, ideographs */
                { 0xf900, 0xfaff },   /* compatibility ideographs */
                { 0xff00, 0xffef },   /* half and full width */
                { 0x20000, 0x3ffff }, /* further ideographs */
        };

        for (size_t i = 0; i < sizeof blocks / sizeof blocks[0] && character >= blocks[i].first;
                i++)
                if (character <= blocks[i].last)
                        return true;
        return false;
}

static bool is_digit(uint32_t character) {
        return (character >= '0' && character <= '9') ||
                (character >= 0xff10 && character <= 0xff19);
}

struct Word {
        uint64_t hash;
        bool number; /* has a digit */
};

/* False at the end of the text. */
static bool next_word(const char **at, const char *end, struct Word *ret_word) {
        struct Word word = { .hash = HASH_START };
        const char *start;

        while (*at < end && is_blank(**at))
                (*at)++;
        for (start = *at; *at < end && !is_blank(**at);) {
                uint32_t character = (unsigned char) **at;
                size_t length =
                        character < 0x80 ? 1 : utf8_decode(*at, (size_t) (end - *at), &character);
                bool alone = stands_alone(character);

                if (alone && *at > start)
                        break;
                word.hash = hash_more(word.hash, character);
                word.number = word.number || is_digit(character);
                *at += length > 0 ? length : 1;
                if (alone)
                        break;
        }
        *ret_word = word;
        return *at > start;
}

/* Sets of hashes. */

static int compare_hashes(const void *a, const void *b) {
        uint64_t left = *(const uint64_t *) a, right = *(const uint64_t *) b;

        return (left > right) - (left < right);
}

static size_t sort_once(uint64_t *hashes, size_t n) {
        size_t kept = 0;

        if (n > 0)
                qsort(hashes, n, sizeof *hashes, compare_hashes);
        for (size_t i = 0; i < n; i++)
                if (kept == 0 || hashes[i] != hashes[kept - 1])
                        hashes[kept++] = hashes[i];
        return kept;
}

static int append(uint64_t **hashes, size_t n, uint64_t hash) {
        /* Full at each power of two. */
        if (n == 0 || (n >= 8 && (n & (n - 1)) == 0)) {
                uint64_t *more = reallocarray(*hashes, n < 8 ? 8 : 2 * n, sizeof *more);
                if (!more)
                        return -ENOMEM;
                *hashes = more;
        }
        (*hashes)[n] = hash;
        return 0;
}

/* Whether more than `allowed` of the hashes are not among the others. Ends as soon as that is
 * clear, and with texts that have nothing in common it is soon. */
static bool misses_more(
        const uint64_t *hashes, size_t n, const uint64_t *others, size_t n_others, size_t allowed) {
        size_t missed = 0, k = 0;

        for (size_t i = 0; i < n; i++) {
                while (k < n_others && others[k] < hashes[i])
                        k++;
                if ((k == n_others || others[k] != hashes[i]) && ++missed > allowed)
                        return true;
        }
        return false;
}

static uint64_t shingle(const uint64_t last[SHINGLE_WORDS], size_t n_words) {
        uint64_t hash = HASH_START;

        for (size_t i = 0; i < SHINGLE_WORDS; i++)
                hash = hash_more(hash, last[(n_words + i) % SHINGLE_WORDS]);
        return hash_end(hash);
}

int fingerprint_make(
        const char *text, size_t size, uint64_t all_bytes, struct Fingerprint *ret_fingerprint) {
        _cleanup_fingerprint_ struct Fingerprint made = { .words = HASH_START };
        uint64_t last[SHINGLE_WORDS] = { 0 }, one_in = 1 + all_bytes / SHINGLES_ALL_BYTES;
        uint64_t before = 0;
        struct Word word;
        const char *end = text + size;

        for (size_t n = 0; next_word(&text, end, &word);) {
                made.words = hash_more(made.words, word.hash);
                last[n++ % SHINGLE_WORDS] = word.hash;
                uint64_t hash = shingle(last, n);

                if (n >= SHINGLE_WORDS && hash % one_in == 0 &&
                        append(&made.shingles, made.n_shingles++, hash) < 0)
                        return -ENOMEM;
                hash = hash_more(before, word.hash);
                if (word.number && append(&made.numbers, made.n_numbers++, hash) < 0)
                        return -ENOMEM;
                before = word.hash;
        }
        made.words = hash_end(made.words);
        made.n_shingles = sort_once(made.shingles, made.n_shingles);
        made.n_numbers = sort_once(made.numbers, made.n_numbers);
        *ret_fingerprint = made;
        made = (struct Fingerprint){ 0 };
        return 0;
}

void fingerprint_done(struct Fingerprint *fingerprint) {
        free(STEAL(fingerprint->shingles));
        free(STEAL(fingerprint->numbers));
}

static size_t misses_allowed(const struct Fingerprint *text) {
        return text->n_shingles * (100 - SHINGLES_REPEATED) / 100;
}

bool fingerprint_repeats(const struct Fingerprint *text, const struct Fingerprint *other) {
        if (text->words == other->words)
                return true;
        return text->n_shingles > 0 &&
                !misses_more(text->numbers, text->n_numbers, other->numbers, other->n_numbers, 0) &&
                !misses_more(text->shingles, text->n_shingles, other->shingles, other->n_shingles,
                        misses_allowed(text));
}

/* Known texts. */

/* By the high half: by the low one shingles are picked. */
static size_t bit_of(const struct KnownTexts *known, uint64_t hash) {
        return (size_t) (hash >> 32) % known->seen_bits;
}

static bool is_seen(const struct KnownTexts *known, uint64_t hash) {
        size_t bit = bit_of(known, hash);

        return known->seen[bit / 64] >> bit % 64 & 1;
}

static void set_seen(struct KnownTexts *known, uint64_t hash) {
        size_t bit = bit_of(known, hash);

        known->seen[bit / 64] |= UINT64_C(1) << bit % 64;
}

int known_texts_make(size_t max, size_t shingles, struct KnownTexts *ret_known) {
        size_t words = (max + shingles) / (64 / SEEN_BITS_PER_HASH) + 1;

        *ret_known = (struct KnownTexts){
                .texts = calloc(max + 1, sizeof *ret_known->texts),
                .seen = calloc(words, sizeof *ret_known->seen),
                .seen_bits = words * 64,
        };
        if (ret_known->texts && ret_known->seen)
                return 0;
        known_texts_done(ret_known);
        return -ENOMEM;
}

void known_texts_done(struct KnownTexts *known) {
        free(STEAL(known->texts));
        free(STEAL(known->seen));
}

void known_texts_add(struct KnownTexts *known, const struct Fingerprint *text) {
        known->texts[known->n++] = text;
        set_seen(known, text->words);
        for (size_t i = 0; i < text->n_shingles; i++)
                set_seen(known, text->shingles[i]);
}

/* Whether one of them may hold it: no more of its hashes are unseen than one of them may miss. */
static bool may_hold(const struct KnownTexts *known, const struct Fingerprint *text) {
        size_t unseen = 0, allowed = misses_allowed(text);

        if (is_seen(known, text->words))
                return true;
        for (size_t i = 0; i < text->n_shingles && unseen <= allowed; i++)
                unseen += !is_seen(known, text->shingles[i]);
        return text->n_shingles > 0 && unseen <= allowed;
}

bool known_texts_hold(const struct KnownTexts *known, const struct Fingerprint *text) {
        if (!may_hold(known, text))
                return false;
        for (size_t i = 0; i < known->n; i++)
                if (fingerprint_repeats(text, known->texts[i]))
                        return true;
        return false;
}
