/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/term-table.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t put(struct TermTable *table, const char *term, size_t size) {
        size_t number = SIZE_MAX;

        assert_int_equal(term_table_put(table, term, size, &number), 0);
        return number;
}

static size_t put_number(struct TermTable *table, unsigned i) {
        char term[32];

        return put(table, term, (size_t) snprintf(term, sizeof term, "term%u", i));
}

static size_t put_mixed(struct TermTable *table, uint64_t i) {
        char term[32];

        i = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        return put(table, term,
                (size_t) snprintf(term, sizeof term, "%" PRIx64,
                        (i ^ i >> 29) * UINT64_C(0xbf58476d1ce4e5b9)));
}

static void test_terms_are_numbered_as_they_are_met(void **state) {
        struct TermTable table = { 0 };

        (void) state;
        assert_int_equal(put(&table, "glass", 5), 0);
        assert_int_equal(put(&table, "scale", 5), 1);
        assert_int_equal(put(&table, "glass", 5), 0);
        assert_int_equal(put(&table, "glassy", 6), 2);
        assert_int_equal(put(&table, "glas", 4), 3);
        assert_int_equal(put(&table, "a\0b", 3), 4);
        assert_int_equal(put(&table, "a\0c", 3), 5);
        assert_int_equal(put(&table, "", 0), 6);
        assert_int_equal(put(&table, "", 0), 6);
        assert_int_equal(table.n, 7);
        assert_int_equal(table.terms[2].size, 6);
        assert_memory_equal(term_table_text(&table, 2), "glassy", 6);
        assert_memory_equal(term_table_text(&table, 0), "glass", 5);
        term_table_clear(&table);
}

static void test_it_grows(void **state) {
        struct TermTable table = { 0 };

        (void) state;
        for (unsigned i = 0; i < 100000; i++)
                assert_int_equal(put_number(&table, i), i);
        for (unsigned i = 0; i < 100000; i++)
                assert_int_equal(put_number(&table, i), i);
        assert_int_equal(table.n, 100000);
        assert_true(table.n_places >= 2 * table.n);
        assert_memory_equal(term_table_text(&table, 99999), "term99999", 9);
        term_table_clear(&table);
}

/* As many terms as it takes until two have the same hash, and the same place. */
static void test_terms_of_one_hash_are_two(void **state) {
        struct TermTable table = { 0 };
        size_t same = 0;
        uint32_t *seen = calloc(1 << 20, sizeof *seen);

        (void) state;
        for (uint64_t i = 0; i < 400000 && same == 0; i++) {
                size_t number = put_mixed(&table, i);
                uint32_t hash = table.terms[number].hash;
                size_t at = (hash * UINT32_C(2654435761)) >> 12;

                for (; seen[at] != 0; at = (at + 1) % (1 << 20))
                        if (table.terms[seen[at] - 1].hash == hash)
                                same = number;
                seen[at] = (uint32_t) number + 1;
        }
        assert_true(same > 0);
        assert_int_equal(put_mixed(&table, same), same);
        free(seen);
        term_table_clear(&table);
}

static void test_it_can_be_used_again(void **state) {
        struct TermTable table = { 0 };

        (void) state;
        term_table_reset(&table); /* of nothing */
        for (unsigned i = 0; i < 5000; i++)
                (void) put_number(&table, i);
        size_t allocated = table.allocated, places = table.n_places;
        term_table_reset(&table);
        assert_int_equal(table.n, 0);
        assert_int_equal(table.texts_size, 0);
        for (unsigned i = 0; i < 5000; i++)
                assert_int_equal(put_number(&table, 4999 - i), i);
        assert_int_equal(table.allocated, allocated);
        assert_int_equal(table.n_places, places);
        term_table_clear(&table);
        assert_null(table.terms);
        term_table_clear(&table);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_terms_are_numbered_as_they_are_met),
                cmocka_unit_test(test_it_grows),
                cmocka_unit_test(test_terms_of_one_hash_are_two),
                cmocka_unit_test(test_it_can_be_used_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
