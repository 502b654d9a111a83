/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/posting.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *random) {
        *random ^= *random >> 12, *random ^= *random << 25, *random ^= *random >> 27;
        return *random * UINT64_C(0x2545f4914f6cdd1d);
}

static void test_the_byte_holds_frequency_and_length(void **state) {
        (void) state;
        for (uint32_t frequency = 1; frequency < 40; frequency++)
                for (uint32_t length = 1; length < 2000; length++) {
                        uint8_t weight = posting_weight(frequency, length);

                        assert_int_equal(
                                posting_frequency(weight), frequency < 15 ? frequency : 15);
                        assert_true(posting_length_class(weight) < POSTING_LENGTH_CLASSES);
                }
        assert_int_equal(posting_frequency(posting_weight(UINT32_MAX, UINT32_MAX)), 15);
        assert_int_equal(posting_length_class(posting_weight(1, 0)), 0);
        assert_int_equal(posting_length_class(posting_weight(1, UINT32_MAX)), 15);
}

/* And each stands for lengths that are near. */
static void test_classes_of_lengths_ascend(void **state) {
        unsigned last = 0;

        (void) state;
        for (unsigned i = 1; i < POSTING_LENGTH_CLASSES; i++)
                assert_true(posting_length(i) > posting_length(i - 1));
        for (uint32_t length = 8; length < 900; length++) {
                unsigned class = posting_length_class(posting_weight(1, length));
                double ratio = posting_length(class) / length;

                assert_true(class == last || class == last + 1);
                assert_true(ratio > 0.82 && ratio < 1.22);
                last = class;
        }
        assert_int_equal(last, POSTING_LENGTH_CLASSES - 1);
}

static void test_what_is_written_is_read(void **state) {
        uint64_t random = 1;

        (void) state;
        for (int round = 0; round < 500; round++) {
                _cleanup_posting_writer_ struct PostingWriter writer = { 0 };
                uint64_t keys[200], key = 0;
                size_t n = next_random(&random) % 200, written = 0;

                for (; written < n; written++) {
                        /* Small gaps and large ones, up to the last key that there is. */
                        uint64_t gap = next_random(&random) >> next_random(&random) % 64;

                        if (gap > UINT64_MAX - 1 - key)
                                break;
                        keys[written] = key + gap;
                        key = keys[written] + 1;
                        assert_int_equal(
                                posting_append(&writer, keys[written], (uint8_t) written), 0);
                }
                struct PostingReader reader = posting_reader(writer.data, writer.size);
                struct Posting posting;
                for (size_t i = 0; i < written; i++) {
                        assert_int_equal(posting_read(&reader, &posting), 1);
                        assert_true(posting.key == keys[i]);
                        assert_int_equal(posting.weight, (uint8_t) i);
                }
                assert_int_equal(posting_read(&reader, &posting), 0);
                assert_int_equal(posting_read(&reader, &posting), 0);
        }
}

static void test_neighbours_take_two_bytes(void **state) {
        _cleanup_posting_writer_ struct PostingWriter writer = { 0 };

        (void) state;
        for (uint64_t key = 0; key < 8192; key++)
                assert_int_equal(posting_append(&writer, key, 17), 0);
        assert_int_equal(writer.size, 2 * 8192);
        posting_writer_reset(&writer);
        assert_int_equal(writer.size, 0);
        assert_int_equal(posting_append(&writer, 3, 17), 0);
        assert_memory_equal(writer.data, "\x03\x11", 2);
        assert_int_equal(posting_append(&writer, 3 + 129, 18), 0);
        assert_memory_equal(writer.data, "\x03\x11\x80\x01\x12", 5);
}

static int read_all(const void *data, size_t size) {
        struct PostingReader reader = posting_reader(data, size);
        struct Posting posting;
        uint64_t next = 0;
        size_t n = 0;
        int r;

        while ((r = posting_read(&reader, &posting)) > 0) {
                assert_true(posting.key >= next);
                next = posting.key + 1;
                assert_true(++n <= size / 2);
        }
        return r;
}

/* In a buffer of its own, as sanitizers then see what is read beyond it. */
static int read_copy(const void *data, size_t size) {
        void *copy = malloc(size > 0 ? size : 1);
        int r;

        if (size > 0)
                memcpy(copy, data, size);
        r = read_all(copy, size);
        free(copy);
        return r;
}

static void test_what_is_cut_within_an_entry_is_no_sequence(void **state) {
        _cleanup_posting_writer_ struct PostingWriter writer = { 0 };
        size_t ends[4], n = 0;

        (void) state;
        assert_int_equal(posting_append(&writer, 5, 1), 0);
        ends[n++] = writer.size;
        assert_int_equal(posting_append(&writer, 5000, 2), 0);
        ends[n++] = writer.size;
        assert_int_equal(posting_append(&writer, UINT64_C(1) << 63, 3), 0);
        ends[n++] = writer.size;
        assert_int_equal(posting_append(&writer, UINT64_MAX - 1, 4), 0);
        ends[n++] = writer.size;
        for (size_t size = 0, end = 0; size <= writer.size; size++) {
                if (end < n && size > ends[end])
                        end++;
                assert_int_equal(read_copy(writer.data, size),
                        size == 0 || size == ends[end] ? 0 : -EBADMSG);
        }
}

static void test_keys_beyond_the_last_are_no_sequence(void **state) {
        static const struct {
                const char *data;
                size_t size;
                int expected;
        } cases[] = {
                { "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x11", 11, 0 }, /* UINT64_MAX - 1 */
                { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x11", 11, -EBADMSG },
                { "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x11\x00\x11", 13, -EBADMSG },
                { "\x00\x11\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x11", 13, -EBADMSG },
                { "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00\x11", 12, -EBADMSG },
                { "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02\x11", 11, -EBADMSG }, /* bit 64 */
                { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 13, -EBADMSG },
                { "\x05", 1, -EBADMSG },
                { "\x80", 1, -EBADMSG },
        };

        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                assert_int_equal(read_copy(cases[i].data, cases[i].size), cases[i].expected);
}

static void test_any_bytes_are_read_in_bounds(void **state) {
        uint64_t random = 7;

        (void) state;
        for (int i = 0; i < 50000; i++) {
                uint8_t data[40];
                size_t size = next_random(&random) % sizeof data;
                int r;

                for (size_t k = 0; k < size; k++)
                        data[k] = (uint8_t) (next_random(&random) | (i % 2 ? 0x80 : 0));
                r = read_copy(data, size);
                assert_true(r == 0 || r == -EBADMSG);
        }
        assert_int_equal(read_all(NULL, 0), 0);
}

static void test_a_vector_is_its_length_and_its_terms(void **state) {
        static const uint64_t lengths[] = { 0, 1, 127, 128, 12345, UINT32_MAX, VECTOR_LENGTH_MAX };
        _cleanup_posting_writer_ struct PostingWriter writer = { 0 };

        (void) state;
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
                struct Posting posting;
                uint64_t length = 7;

                posting_writer_reset(&writer);
                assert_int_equal(vector_begin(&writer, lengths[i]), 0);
                assert_int_equal(vector_append(&writer, 0, 3), 0);
                assert_int_equal(vector_append(&writer, 1000, 200), 0);
                struct PostingReader reader = posting_reader(writer.data, writer.size);
                assert_int_equal(vector_read_length(&reader, &length), 0);
                assert_true(length == lengths[i]);
                assert_int_equal(posting_read(&reader, &posting), 1);
                assert_true(posting.key == 0 && posting.weight == 3);
                assert_int_equal(posting_read(&reader, &posting), 1);
                assert_true(posting.key == 1000 && posting.weight == 200);
                assert_int_equal(posting_read(&reader, &posting), 0);
        }
}

static void test_the_last_term_again_is_added_to(void **state) {
        _cleanup_posting_writer_ struct PostingWriter writer = { 0 };

        (void) state;
        assert_int_equal(vector_begin(&writer, 12345), 0); /* 96 * 128 + 57 */
        assert_int_equal(vector_append(&writer, 0, 1), 0);
        assert_int_equal(vector_append(&writer, 0, 4), 0);
        assert_int_equal(vector_append(&writer, 0, 2), 0);
        assert_int_equal(vector_append(&writer, 9, 1), 0);
        assert_int_equal(vector_append(&writer, UINT64_MAX - 1, 5), 0);
        assert_int_equal(vector_append(&writer, UINT64_MAX - 1, 6), 0);
        assert_int_equal(writer.size, 2 + 2 + 2 + 11);
        assert_memory_equal(writer.data, "\xb9\x60\x00\x07\x08\x01", 6);
        assert_int_equal(writer.data[writer.size - 1], 11);

        /* Of the vector before nothing is left. */
        posting_writer_reset(&writer);
        assert_int_equal(vector_begin(&writer, 1), 0);
        assert_int_equal(vector_append(&writer, 0, 3), 0);
        assert_memory_equal(writer.data, "\x01\x00\x03", 3);
}

static void test_frequencies_end_at_the_most_that_a_byte_holds(void **state) {
        static const struct {
                unsigned first, second;
                uint8_t sum;
        } cases[] = { { 253, 1, 254 }, { 254, 1, 255 }, { 254, 2, 255 }, { 255, 1, 255 },
                { 256, 1, 255 }, { 1, UINT32_MAX, 255 }, { UINT32_MAX, UINT32_MAX, 255 } };

        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                _cleanup_posting_writer_ struct PostingWriter writer = { 0 };

                assert_int_equal(vector_begin(&writer, 2), 0);
                assert_int_equal(vector_append(&writer, 4, cases[i].first), 0);
                assert_int_equal(vector_append(&writer, 4, cases[i].second), 0);
                assert_int_equal(writer.size, 3);
                assert_int_equal(writer.data[2], cases[i].sum);
        }
}

static void test_what_is_no_length_is_told(void **state) {
        static const struct {
                const char *data;
                size_t size;
                int expected;
        } cases[] = {
                { "", 0, -EBADMSG },
                { "\x80", 1, -EBADMSG },
                { "\xff\xff\xff", 3, -EBADMSG },
                { "\x80\x80\x80\x80\x80\x20", 6, 0 },        /* VECTOR_LENGTH_MAX */
                { "\x81\x80\x80\x80\x80\x20", 6, -EBADMSG }, /* and one more */
                { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, -EBADMSG }, /* UINT64_MAX */
                { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, -EBADMSG }, /* bit 64 */
                { "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11, -EBADMSG },
                { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, -EBADMSG },
        };

        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                void *copy = malloc(cases[i].size + 1);
                struct PostingReader reader;
                uint64_t length;

                memcpy(copy, cases[i].data, cases[i].size);
                copy = realloc(copy, cases[i].size > 0 ? cases[i].size : 1);
                reader = posting_reader(copy, cases[i].size);
                assert_int_equal(vector_read_length(&reader, &length), cases[i].expected);
                free(copy);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_byte_holds_frequency_and_length),
                cmocka_unit_test(test_classes_of_lengths_ascend),
                cmocka_unit_test(test_what_is_written_is_read),
                cmocka_unit_test(test_neighbours_take_two_bytes),
                cmocka_unit_test(test_what_is_cut_within_an_entry_is_no_sequence),
                cmocka_unit_test(test_keys_beyond_the_last_are_no_sequence),
                cmocka_unit_test(test_any_bytes_are_read_in_bounds),
                cmocka_unit_test(test_a_vector_is_its_length_and_its_terms),
                cmocka_unit_test(test_the_last_term_again_is_added_to),
                cmocka_unit_test(test_frequencies_end_at_the_most_that_a_byte_holds),
                cmocka_unit_test(test_what_is_no_length_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
