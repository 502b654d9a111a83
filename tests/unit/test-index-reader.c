/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/index-reader.h"

#include <errno.h>

#include "store-fixture.h"

static uint64_t chunks_of(struct StoreFixture *f, int64_t term) {
        struct IndexReader *reader = store_index_reader(f->store);
        struct TermFacts facts = { 0 };

        assert_success(f, index_reader_begin(reader, &f->failure));
        assert_success(f, index_reader_term(reader, term, &facts, &f->failure));
        return facts.chunks;
}

static int reader_setup(void **state) {
        if (fixture_new_with_store(state) < 0)
                return -1;
        /* 1 and 4097 have the same place. */
        fixture_execute(*state,
                "INSERT INTO terms VALUES (1, 'glass', 10), (4097, '\xe5\x85\x89', 20);"
                "INSERT OR REPLACE INTO state VALUES ('index_chunks', 40), ('index_spans', 25),"
                " ('index_length', 400)");
        return 0;
}

static void test_a_statement_is_prepared_once(void **state) {
        struct StoreFixture *f = *state;
        struct IndexReader *reader = store_index_reader(f->store);
        sqlite3_stmt *one, *other, *again;

        assert_success(f, index_reader_prepare(reader, "SELECT 1", &one, &f->failure));
        assert_success(f, index_reader_prepare(reader, "SELECT 2", &other, &f->failure));
        assert_success(f, index_reader_prepare(reader, "SELECT 1", &again, &f->failure));
        assert_ptr_equal(one, again);
        assert_ptr_not_equal(one, other);
        assert_true(index_reader_prepare(reader, "SELECT x FROM none", &one, &f->failure) < 0);
        failure_clear(&f->failure);
        assert_success(f, index_reader_prepare(reader, "SELECT 2", &again, &f->failure));
        assert_ptr_equal(other, again);
}

static void test_facts_are_those_of_the_database(void **state) {
        struct StoreFixture *f = *state;
        struct TermFacts facts;

        assert_int_equal(chunks_of(f, 1), 10);
        assert_int_equal(chunks_of(f, 4097), 20);
        assert_int_equal(chunks_of(f, 1), 10);
        assert_success(
                f, index_reader_term(store_index_reader(f->store), 4097, &facts, &f->failure));
        assert_int_equal(facts.size, 3);
        const struct Bm25 *bm25 = index_reader_bm25(store_index_reader(f->store));
        assert_true(bm25->chunks == 40 && bm25->chunk_length == 10 && bm25->span_length == 16);
}

static void test_a_commit_of_whomever_is_seen(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_store_ struct Store *other = NULL;

        assert_int_equal(chunks_of(f, 1), 10);
        fixture_execute(f, "UPDATE terms SET chunks = 11 WHERE id = 1");
        assert_int_equal(chunks_of(f, 1), 11);

        assert_success(f, store_open(&f->operation, SQLITE_MODE_WRITE, &other, &f->failure));
        assert_success(f,
                sqlite_execute(store_database(other),
                        "UPDATE terms SET chunks = 12; UPDATE state SET value = 50"
                        " WHERE key = 'index_chunks'",
                        &f->failure));
        assert_int_equal(chunks_of(f, 1), 12);
        assert_true(index_reader_bm25(store_index_reader(f->store))->chunks == 50);
}

static void test_what_is_not_committed_is_not_kept(void **state) {
        struct StoreFixture *f = *state;

        assert_int_equal(chunks_of(f, 1), 10);
        for (int i = 0; i < 2; i++) {
                fixture_execute(f, "BEGIN; UPDATE terms SET chunks = 13");
                assert_int_equal(chunks_of(f, 1), 13);
                fixture_execute(f, "UPDATE terms SET chunks = 14");
                assert_int_equal(chunks_of(f, 1), 14);
                fixture_execute(f, "ROLLBACK");
                assert_int_equal(chunks_of(f, 1), 10);
        }
}

static void test_words_are_found(void **state) {
        struct StoreFixture *f = *state;
        struct IndexReader *reader = store_index_reader(f->store);
        struct KnownWord word;
        char text[16];

        for (int again = 0; again < 2; again++) {
                assert_success(f, index_reader_begin(reader, &f->failure));
                assert_success(f, index_reader_find(reader, "glass", 5, &word, &f->failure));
                assert_true(word.id == 1 && word.chunks == 10);
                assert_success(f, index_reader_find(reader, "glas", 4, &word, &f->failure));
                assert_true(word.id == 0);
                /* More than are kept. */
                for (int i = 0; i < 5000; i++) {
                        size_t size = (size_t) sprintf(text, "none%d", i);

                        assert_success(
                                f, index_reader_find(reader, text, size, &word, &f->failure));
                        assert_true(word.id == 0);
                }
        }
        fixture_execute(f, "INSERT INTO terms VALUES (2, 'glas', 3)");
        assert_success(f, index_reader_begin(reader, &f->failure));
        assert_success(f, index_reader_find(reader, "glas", 4, &word, &f->failure));
        assert_true(word.id == 2 && word.chunks == 3);
}

static void test_a_word_of_no_chunk_is_damage(void **state) {
        struct StoreFixture *f = *state;
        struct IndexReader *reader = store_index_reader(f->store);
        struct KnownWord word;

        fixture_execute(f, "UPDATE terms SET chunks = 0");
        assert_success(f, index_reader_begin(reader, &f->failure));
        for (int again = 0; again < 2; again++) {
                assert_int_equal(
                        index_reader_find(reader, "glass", 5, &word, &f->failure), -EBADMSG);
                assert_int_equal(f->failure.event, EVENT_DATABASE_INVALID);
                failure_clear(&f->failure);
        }
}

static void test_a_term_that_is_none_is_damage(void **state) {
        struct StoreFixture *f = *state;
        struct IndexReader *reader = store_index_reader(f->store);
        const int64_t ids[] = { 0, -1, 2, INT64_MIN, INT64_MAX };
        struct TermFacts facts;

        assert_success(f, index_reader_begin(reader, &f->failure));
        for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
                for (int again = 0; again < 2; again++) {
                        assert_int_equal(
                                index_reader_term(reader, ids[i], &facts, &f->failure), -EBADMSG);
                        assert_int_equal(f->failure.event, EVENT_DATABASE_INVALID);
                        failure_clear(&f->failure);
                }
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, reader_setup, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_a_statement_is_prepared_once),
                ON_STORE(test_facts_are_those_of_the_database),
                ON_STORE(test_a_commit_of_whomever_is_seen),
                ON_STORE(test_what_is_not_committed_is_not_kept),
                ON_STORE(test_words_are_found),
                ON_STORE(test_a_word_of_no_chunk_is_damage),
                ON_STORE(test_a_term_that_is_none_is_damage),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
