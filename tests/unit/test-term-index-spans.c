/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which chunks are a span depends on their document alone.
 */

#include "term-index-fixture.h"

/* A document of so many chunks; returns the text of it, for the caller to free. */
static char *sections(int n) {
        char *text = malloc((size_t) n * 32 + 1), *end = text;

        assert_non_null(text);
        *text = '\0';
        for (int i = 0; i < n; i++)
                end += sprintf(end, "# h\nglass w%d\n", i % 50);
        return text;
}

static void put_sections(struct StoreFixture *f, struct Index *index, int64_t id, int n) {
        _cleanup_free_ char *text = sections(n);
        int64_t number = id > 0 ? id : fixture_query(f, "SELECT count(*) + 1 FROM documents");
        char path[32];

        (void) snprintf(path, sizeof path, "%" PRIi64 ".md", number);
        put(f, index, id, path, text);
}

static int64_t rows(struct StoreFixture *f) {
        return fixture_query(f, "SELECT count(*) FROM span_terms");
}

static int64_t spans(struct StoreFixture *f) {
        return fixture_query(f, "SELECT value FROM state WHERE key = 'index_spans'");
}

static void test_a_span_begins_with_every_32nd_chunk_of_a_document(void **state) {
        struct StoreFixture *f = *state;
        static const struct {
                int chunks, rows, spans;
        } cases[] = { { 1, 0, 1 }, { 2, 1, 1 }, { 32, 1, 1 }, { 33, 1, 2 }, { 34, 2, 2 },
                { 64, 2, 2 }, { 65, 2, 3 }, { 70, 3, 3 } };
        _cleanup_index_ struct Index *index = open_index(f);

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                put_sections(f, index, i > 0 ? 1 : 0, cases[i].chunks);
                apply(f, index);
                assert_int_equal(fixture_query(f, "SELECT count(*) FROM chunks"), cases[i].chunks);
                assert_int_equal(rows(f), cases[i].rows);
                assert_int_equal(spans(f), cases[i].spans);
                assert_index_is_of_its_chunks(store_database(f->store));
        }
        assert_success(f, index_remove(index, 1, &f->failure));
        apply(f, index);
        assert_int_equal(rows(f), 0);
        assert_int_equal(spans(f), 0);
}

static const int sizes[] = { 5, 1, 70, 2, 32, 1, 1, 33, 64, 0, 3 };
#define N_SIZES (sizeof sizes / sizeof sizes[0])

static void test_it_is_the_same_whether_documents_come_together_or_alone(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_free_ char *together = NULL, *alone = NULL;

        for (int apart = 0; apart < 2; apart++) {
                _cleanup_index_ struct Index *index = open_index(f);

                fixture_execute(f, "SAVEPOINT one; DELETE FROM sqlite_sequence");
                for (size_t i = 0; i < N_SIZES; i++) {
                        char path[8];
                        _cleanup_free_ char *text = sections(sizes[i]);

                        (void) snprintf(path, sizeof path, "%zu", i);
                        put(f, index, 0, path, text);
                        if (apart)
                                apply(f, index);
                }
                apply(f, index);
                assert_index_is_of_its_chunks(store_database(f->store));
                *(apart ? &alone : &together) = index_dump(store_database(f->store));
                fixture_execute(f, "ROLLBACK TO one");
        }
        assert_string_equal(together, alone);
}

static void test_a_document_that_comes_anew_has_its_new_spans_alone(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);

        for (size_t i = 0; i < N_SIZES; i++)
                put_sections(f, index, 0, sizes[i]);
        apply(f, index);
        for (size_t i = 0; i < N_SIZES; i++) /* each has what another one had */
                put_sections(f, index, (int64_t) i + 1, sizes[(i * 3 + 1) % N_SIZES]);
        apply(f, index);
        assert_index_is_of_its_chunks(store_database(f->store));

        /* Once more, with what still waits. */
        for (size_t i = 0; i < 2 * N_SIZES; i++)
                put_sections(f, index, (int64_t) (i % N_SIZES) + 1, sizes[(i + 4) % N_SIZES]);
        apply(f, index);
        assert_index_is_of_its_chunks(store_database(f->store));

        for (int64_t id = 1; id <= (int64_t) N_SIZES; id += 2)
                assert_success(f, index_remove(index, id, &f->failure));
        apply(f, index);
        assert_index_is_of_its_chunks(store_database(f->store));
}

/* A span says a word so often, and its chunks do, that no byte holds it. */
static void test_what_is_said_too_often_to_count_is_said_255_times(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);
        char text[512 * 6 + 64], *end = stpcpy(text, "# one\nscale scale\n# two\n");

        for (int i = 0; i < 260; i++)
                end = stpcpy(end, "glass ");
        strcpy(end, "scale\n");
        put(f, index, 0, "a.md", text);
        apply(f, index);
        _cleanup_free_ char *dump = index_dump(store_database(f->store));
        const char *span = strstr(dump, "span 1 to 2 of ");

        assert_non_null(span);
        assert_non_null(strstr(span, " glass=255 "));
        assert_non_null(strstr(span, " scale=3"));
        assert_index_is_of_its_chunks(store_database(f->store));
}

#define WORDS  1000
#define CHUNKS 700 /* more words than may wait, to be written and to be removed */

static void write_long_chunks(struct StoreFixture *f, int64_t document, int n) {
        _cleanup_term_index_ struct TermIndex *index = NULL;
        char content[WORDS * 6], *end = content;

        for (int i = 0; i < WORDS; i++)
                end += sprintf(end, "w%d ", i);
        assert_success(f, term_index_open(store_database(f->store), &index, &f->failure));
        for (int i = 0; i < 5; i++)
                (void) fixture_write_chunk(f, index,
                        fixture_add_document(f, "vault", (char[]){ (char) ('a' + i), 0 }), "t",
                        "[]", "few");
        for (int i = 0; i < n; i++)
                (void) fixture_write_chunk(f, index, document, "t", "[]", content);
        int64_t written = fixture_query(f, "SELECT count(*) FROM chunk_terms");
        assert_true(written > 5 && written < 5 + n);
        assert_int_equal((written - 5) % SPAN_CHUNKS, 0);
        assert_success(f, term_index_apply(index, &f->failure));
}

static void test_a_batch_that_is_full_ends_with_a_span(void **state) {
        struct StoreFixture *f = *state;
        int64_t document = fixture_add_document(f, "vault", "long");

        write_long_chunks(f, document, CHUNKS);
        assert_spans_are_of_the_documents(store_database(f->store));
        _cleanup_index_ struct Index *index = open_index(f);
        assert_success(f, index_remove(index, document, &f->failure));
        apply(f, index);
        assert_int_equal(rows(f), 0);
        assert_int_equal(spans(f), 5);
        assert_index_is_of_its_chunks(store_database(f->store));
}

/* All in one transaction, as an ingest is. */
static int spans_setup(void **state) {
        if (fixture_new_with_store(state) < 0)
                return -1;
        fixture_execute(*state, "BEGIN");
        return 0;
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, spans_setup, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_a_span_begins_with_every_32nd_chunk_of_a_document),
                ON_STORE(test_it_is_the_same_whether_documents_come_together_or_alone),
                ON_STORE(test_a_document_that_comes_anew_has_its_new_spans_alone),
                ON_STORE(test_what_is_said_too_often_to_count_is_said_255_times),
                ON_STORE(test_a_batch_that_is_full_ends_with_a_span),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
