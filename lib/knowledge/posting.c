/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/posting.h"

#include <errno.h>
#include <math.h>
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

int posting_read_any(struct PostingReader *reader, struct Posting *ret_posting) {
        const uint8_t *at = reader->at;
        uint64_t more = 0;
        unsigned shift = 0;

        if (at == reader->end)
                return 0;
        do {
                if (at == reader->end || (shift == 63 && *at > 1))
                        return -EBADMSG;
                more |= (uint64_t) (*at & 0x7f) << shift;
                shift += 7;
        } while (*at++ & 0x80);
        if (at == reader->end || more >= UINT64_MAX - reader->next)
                return -EBADMSG;
        ret_posting->key = reader->next + more;
        ret_posting->weight = *at++;
        reader->next = ret_posting->key + 1;
        reader->at = at;
        return 1;
}

int posting_append(struct PostingWriter *writer, uint64_t key, uint8_t weight) {
        uint64_t more = key - writer->next;

        if (writer->allocated - writer->size < VARINT_SIZE_MAX + 1) {
                size_t allocated = writer->allocated > 0 ? writer->allocated * 2 : 64;
                uint8_t *data = realloc(writer->data, allocated);

                if (!data)
                        return -ENOMEM;
                writer->data = data;
                writer->allocated = allocated;
        }
        for (; more >= 0x80; more >>= 7)
                writer->data[writer->size++] = (uint8_t) (more | 0x80);
        writer->data[writer->size++] = (uint8_t) more;
        writer->data[writer->size++] = weight;
        writer->next = key + 1;
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
