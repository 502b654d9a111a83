/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/near-duplicate.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <unictype.h>

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
        hash ^= hash >> 33;
        return hash != 0 ? hash : 1; /* 0 is a free slot */
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

/* Of any script, and of those of fractions, powers and lists. */
static bool is_digit(uint32_t character) {
        return character < 0x80 ? character >= '0' && character <= '9'
                                : uc_is_general_category(character, UC_CATEGORY_N);
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

/* Sets of hashes: tables at most half full, with a hash in the first free slot from where it
 * belongs.
 */

#define BITS_MIN 7 /* of the number of slots */

static size_t slots_of(const struct HashSet *set) {
        return set->slots ? (size_t) 1 << set->bits : 0;
}

/* The slot that has it, or the free one that it would get. */
static uint64_t *find_slot(const struct HashSet *set, uint64_t hash) {
        size_t at = (size_t) (hash * set->multiplier >> (64 - set->bits));

        while (set->slots[at] != 0 && set->slots[at] != hash)
                at = (at + 1) & (slots_of(set) - 1);
        return &set->slots[at];
}

/* Who writes a text can choose its hashes, but not this number, which the kernel drew: so they
 * cannot all belong to one place (multiply-shift: Dietzfelbinger et al., A reliable randomized
 * algorithm for the closest-pair problem, 1997). */
static uint64_t random_multiplier(void) {
        uint64_t random;

        memcpy(&random, (const void *) getauxval(AT_RANDOM), sizeof random);
        return random | 1;
}

static int grow(struct HashSet *set) {
        struct HashSet more = {
                .n = set->n,
                .bits = set->slots ? set->bits + 1 : BITS_MIN,
                .multiplier = random_multiplier(),
        };

        more.slots = calloc((size_t) 1 << more.bits, sizeof *more.slots);
        if (!more.slots)
                return -ENOMEM;
        for (size_t i = 0; i < slots_of(set); i++)
                if (set->slots[i] != 0)
                        *find_slot(&more, set->slots[i]) = set->slots[i];
        free(set->slots);
        *set = more;
        return 0;
}

static int add_hash(struct HashSet *set, uint64_t hash) {
        uint64_t *slot;

        if (set->n == slots_of(set) / 2 && grow(set) < 0)
                return -ENOMEM;
        slot = find_slot(set, hash);
        set->n += *slot == 0;
        *slot = hash;
        return 0;
}

static bool has_hash(const struct HashSet *set, uint64_t hash) {
        return set->n > 0 && *find_slot(set, hash) != 0;
}

/* Whether more than `allowed` of the hashes are not among the others. Ends as soon as that is
 * clear, and with texts that have nothing in common it is soon. */
static bool misses_more(const struct HashSet *set, const struct HashSet *other, size_t allowed) {
        size_t missed = 0;

        for (size_t i = 0; i < slots_of(set) && missed <= allowed; i++)
                missed += set->slots[i] != 0 && !has_hash(other, set->slots[i]);
        return missed > allowed;
}

/* Of the words before it and this one. */
static uint64_t next_shingle(uint64_t last[SHINGLE_WORDS], uint64_t word) {
        uint64_t hash = HASH_START;

        memmove(last, last + 1, (SHINGLE_WORDS - 1) * sizeof *last);
        last[SHINGLE_WORDS - 1] = word;
        for (size_t i = 0; i < SHINGLE_WORDS; i++)
                hash = hash_more(hash, last[i]);
        return hash_end(hash);
}

int fingerprint_make(
        const char *text, size_t size, uint64_t all_bytes, struct Fingerprint *ret_fingerprint) {
        _cleanup_fingerprint_ struct Fingerprint made = { .words = HASH_START };
        uint64_t last[SHINGLE_WORDS] = { 0 }, one_in = 1 + all_bytes / SHINGLES_ALL_BYTES;
        struct Word word, before = { 0 };
        const char *end = text + size;

        for (size_t n = 1; next_word(&text, end, &word); n++) {
                uint64_t hash = next_shingle(last, word.hash);

                made.words = hash_more(made.words, word.hash);
                if (n >= SHINGLE_WORDS && hash % one_in == 0 && add_hash(&made.shingles, hash) < 0)
                        return -ENOMEM;
                /* Which word is which matters, and so the first one is hashed before the second. */
                hash = hash_end(hash_more(hash_more(HASH_START, before.hash), word.hash));
                if ((word.number || before.number) && hash % one_in == 0 &&
                        add_hash(&made.numbers, hash) < 0)
                        return -ENOMEM;
                before = word;
        }
        made.words = hash_end(made.words);
        *ret_fingerprint = made;
        made = (struct Fingerprint){ 0 };
        return 0;
}

void fingerprint_done(struct Fingerprint *fingerprint) {
        free(STEAL(fingerprint->shingles.slots));
        free(STEAL(fingerprint->numbers.slots));
}

static size_t misses_allowed(const struct Fingerprint *text) {
        return text->shingles.n * (100 - SHINGLES_REPEATED) / 100;
}

bool fingerprint_repeats(const struct Fingerprint *text, const struct Fingerprint *other) {
        if (text->words == other->words)
                return true;
        return text->shingles.n > 0 && !misses_more(&text->numbers, &other->numbers, 0) &&
                !misses_more(&text->shingles, &other->shingles, misses_allowed(text));
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
        for (size_t i = 0; i < slots_of(&text->shingles); i++)
                if (text->shingles.slots[i] != 0)
                        set_seen(known, text->shingles.slots[i]);
}

/* Whether one of them may hold it: no more of its hashes are unseen than one of them may miss. */
static bool may_hold(const struct KnownTexts *known, const struct Fingerprint *text) {
        size_t unseen = 0, allowed = misses_allowed(text);

        if (is_seen(known, text->words))
                return true;
        for (size_t i = 0; i < slots_of(&text->shingles) && unseen <= allowed; i++)
                unseen += text->shingles.slots[i] != 0 && !is_seen(known, text->shingles.slots[i]);
        return text->shingles.n > 0 && unseen <= allowed;
}

bool known_texts_hold(const struct KnownTexts *known, const struct Fingerprint *text) {
        if (!may_hold(known, text))
                return false;
        for (size_t i = 0; i < known->n; i++)
                if (fingerprint_repeats(text, known->texts[i]))
                        return true;
        return false;
}
