/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/posting.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define SHORTEST        8.0
#define CLASS_RATIO     1.35
#define VARINT_SIZE_MAX 10 /* of 64 bits */

uint8_t posting_weight(uint32_t frequency, uint32_t length) {
        static const uint16_t ends[POSTING_LENGTH_CLASSES - 1] = { 11, 15, 20, 27, 36, 48, 65, 88,
                119, 161, 217, 293, 396, 534, 721 };
        unsigned class = 0;

        while (class < POSTING_LENGTH_CLASSES - 1 && length >= ends[class])
                class ++;
        if (frequency > POSTING_FREQUENCY_MAX)
                frequency = POSTING_FREQUENCY_MAX;
        return (uint8_t) (frequency << 4 | class);
}

/* In the middle of the class. */
double posting_length(unsigned length_class) {
        return SHORTEST * pow(CLASS_RATIO, (double) length_class + 0.5);
}

static int read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value) {
        uint64_t value = 0;
        unsigned shift = 0;
        uint8_t byte;

        do {
                if (*at == end || (shift == 63 && **at > 1))
                        return -EBADMSG;
                byte = *(*at)++;
                value |= (uint64_t) (byte & 0x7f) << shift;
                shift += 7;
        } while (byte & 0x80);
        *ret_value = value;
        return 0;
}

int posting_read_any(struct PostingReader *reader, struct Posting *ret_posting) {
        const uint8_t *at = reader->at;
        uint64_t more;
        int r;

        if (at == reader->end)
                return 0;
        r = read_varint(&at, reader->end, &more);
        if (r < 0)
                return r;
        if (at == reader->end || more >= UINT64_MAX - reader->next)
                return -EBADMSG;
        ret_posting->key = reader->next + more;
        ret_posting->weight = *at++;
        reader->next = ret_posting->key + 1;
        reader->at = at;
        return 1;
}

int vector_read_length(struct PostingReader *reader, uint64_t *ret_length) {
        int r = read_varint(&reader->at, reader->end, ret_length);

        return r >= 0 && *ret_length > VECTOR_LENGTH_MAX ? -EBADMSG : r;
}

/* Room for an entry. */
static int reserve(struct PostingWriter *writer) {
        size_t allocated = writer->allocated > 0 ? writer->allocated * 2 : 64;
        uint8_t *data;

        if (writer->allocated - writer->size >= VARINT_SIZE_MAX + 1)
                return 0;
        data = realloc(writer->data, allocated);
        if (!data)
                return -ENOMEM;
        writer->data = data;
        writer->allocated = allocated;
        return 0;
}

static void append_varint(struct PostingWriter *writer, uint64_t value) {
        for (; value >= 0x80; value >>= 7)
                writer->data[writer->size++] = (uint8_t) (value | 0x80);
        writer->data[writer->size++] = (uint8_t) value;
}

int posting_append(struct PostingWriter *writer, uint64_t key, uint8_t weight) {
        int r = reserve(writer);

        if (r < 0)
                return r;
        append_varint(writer, key - writer->next);
        writer->data[writer->size++] = weight;
        writer->next = key + 1;
        return 0;
}

int vector_begin(struct PostingWriter *writer, uint64_t length) {
        int r = reserve(writer);

        if (r >= 0)
                append_varint(writer, length);
        return r;
}

int vector_append(struct PostingWriter *writer, uint64_t key, unsigned frequency) {
        bool again = writer->next > 0 && key == writer->next - 1;
        unsigned before = again ? writer->data[writer->size - 1] : 0;
        unsigned sum = frequency < VECTOR_FREQUENCY_MAX - before ? before + frequency
                                                                 : VECTOR_FREQUENCY_MAX;

        if (!again)
                return posting_append(writer, key, (uint8_t) sum);
        writer->data[writer->size - 1] = (uint8_t) sum;
        return 0;
}

void posting_writer_reset(struct PostingWriter *writer) {
        writer->size = 0;
        writer->next = 0;
}

void posting_writer_clear(struct PostingWriter *writer) {
        free(writer->data);
        *writer = (struct PostingWriter){ 0 };
}
