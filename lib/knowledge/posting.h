/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which chunks a term is in (a posting list), and which terms are in a chunk, or in several (a term
 * vector): sequences of keys, each with a byte.
 *
 * A sequence: for each entry, in ascending order, what the key is more than the one before (the
 * first: than -1) minus one, as a varint of 7 bits a byte, the low ones first; then the byte. So
 * no sequence is out of order, whatever its bytes are.
 *
 * The byte of a list is all that is read of a chunk before it is known to be worth a look. Its high
 * half is the weighted frequency, 1 to 15, and more is 15: BM25 hardly tells them apart. Its low
 * half is a class of lengths, each 1.35 times the one before, from 8 words on.
 *
 * A vector begins with the length in weighted words, a varint; its bytes are weighted frequencies,
 * 1 to 255, and more is 255.
 */

#include <stddef.h>
#include <stdint.h>

#define POSTING_LENGTH_CLASSES 16
#define POSTING_FREQUENCY_MAX  15                  /* or more */
#define VECTOR_FREQUENCY_MAX   255                 /* or more */
#define VECTOR_LENGTH_MAX      (UINT64_C(1) << 40) /* more than any span can have */

#define POSTING_SIZE_MIN 2 /* bytes of one in a sequence */

struct Posting {
        uint64_t key; /* chunk within its window, or term */
        uint8_t weight;
};

/* `length` in weighted words. */
uint8_t posting_weight(uint32_t frequency, uint32_t length);
static inline unsigned posting_frequency(uint8_t weight) {
        return weight >> 4;
}
static inline unsigned posting_length_class(uint8_t weight) {
        return weight & 15;
}
/* The length that stands for a class. */
double posting_length(unsigned length_class);

struct PostingReader {
        const uint8_t *at, *end;
        uint64_t next; /* the least key that can follow */
};

static inline struct PostingReader posting_reader(const void *data, size_t size) {
        return (struct PostingReader){ data, (const uint8_t *) data + size, 0 };
}

/* -EBADMSG: there is none that can be. The terms are what is left to read. */
int vector_read_length(struct PostingReader *reader, uint64_t *ret_length);

/* posting_read() of whatever there may be. */
int posting_read_any(struct PostingReader *reader, struct Posting *ret_posting);

/* 1 and the next, 0 at the end, -EBADMSG when it is no sequence. A question reads tens of
 * thousands, hardly any of more than three bytes. Nothing here takes the address of `reader` or
 * `ret_posting`, so that a loop keeps them in registers. */
static inline int posting_read(struct PostingReader *reader, struct Posting *ret_posting) {
        const uint8_t *at = reader->at;
        uint64_t more;

        if (reader->end - at >= 3 && (at[0] < 0x80 || at[1] < 0x80) && reader->next <= UINT32_MAX) {
                more = *at++;
                if (more >= 0x80)
                        more = (more & 0x7f) | (uint64_t) *at++ << 7;
                ret_posting->key = reader->next + more;
                ret_posting->weight = *at++;
                reader->next = ret_posting->key + 1;
                reader->at = at;
                return 1;
        }
        struct PostingReader copy = *reader;
        struct Posting posting = { 0 };
        int r = posting_read_any(&copy, &posting);

        *reader = copy;
        *ret_posting = posting;
        return r;
}

/* Leaves out entries below `key`, not necessarily all: the quick part of a search for it. */
static inline void posting_skip(struct PostingReader *reader, uint64_t key) {
        const uint8_t *at = reader->at;
        uint64_t next = reader->next;

        while (reader->end - at >= 3 && next <= UINT32_MAX) {
                const uint8_t *after = at;
                uint64_t more = *after++;

                if (more >= 0x80) {
                        if (*after >= 0x80)
                                break;
                        more = (more & 0x7f) | (uint64_t) *after++ << 7;
                }
                if (next + more >= key)
                        break;
                next += more + 1;
                at = after + 1;
        }
        reader->at = at;
        reader->next = next;
}

/* Grows as needed; {0} is empty. */
struct PostingWriter {
        uint8_t *data;
        size_t size, allocated;
        uint64_t next;
};

/* Keys must ascend. -ENOMEM. */
int posting_append(struct PostingWriter *writer, uint64_t key, uint8_t weight);
/* For a vector. Its length, before all else. -ENOMEM. */
int vector_begin(struct PostingWriter *writer, uint64_t length);
/* The frequency (> 0) of the last key again adds to what it has. -ENOMEM. */
int vector_append(struct PostingWriter *writer, uint64_t key, unsigned frequency);
/* Empties it, and keeps what it has allocated. */
void posting_writer_reset(struct PostingWriter *writer);
void posting_writer_clear(struct PostingWriter *writer);
#define _cleanup_posting_writer_ __attribute__((cleanup(posting_writer_clear)))
