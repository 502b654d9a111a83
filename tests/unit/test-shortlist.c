/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/shortlist.h"

#include <math.h>

#include "store-fixture.h"

#define GLASS_WEIGHT 2.0
#define SCALE_WEIGHT 3.0

static double plain_bm25(double frequency, double length, double average) {
        return frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / average));
}

static void assert_near(double a, double b) {
        if (fabs(a - b) > 1e-9)
                fail_msg("%g is not %g", a, b);
}

/* A document of these chunks: each is of its words, and four of title and path. */
static int64_t add(
        struct StoreFixture *f, const char *path, const char *const *contents, size_t n) {
        return fixture_add_chunks(
                f, fixture_add_document(f, "vault", path), "t", "[]", contents, n);
}

/* Of `n` times the same. */
static int64_t add_many(struct StoreFixture *f, const char *path, const char *content, size_t n) {
        const char *contents[100];

        assert_true(n <= 100);
        for (size_t i = 0; i < n; i++)
                contents[i] = content;
        return add(f, path, contents, n);
}

static int64_t id_of(struct StoreFixture *f, const char *term) {
        char *sql = sqlite3_mprintf(
                "SELECT coalesce((SELECT id FROM terms WHERE term = %Q), 1 << 40)", term);
        int64_t id = fixture_query(f, sql);

        sqlite3_free(sql);
        return id;
}

static size_t find_terms(struct StoreFixture *f, struct WeightedTerm terms[static 2]) {
        terms[0] = (struct WeightedTerm){ id_of(f, "glass"), GLASS_WEIGHT };
        terms[1] = (struct WeightedTerm){ id_of(f, "scale"), SCALE_WEIGHT };
        weighted_terms_sort(terms, 2);
        return 2;
}

/* The best `kept` of these, with whole scores, as far as nothing is damaged. */
static int rank(struct StoreFixture *f, const int64_t *ids, size_t n, size_t kept,
        struct Shortlist *list, struct Failure *failure) {
        struct IndexReader *reader = store_index_reader(f->store);
        struct WeightedTerm terms[2];
        size_t n_terms = find_terms(f, terms);
        int r;

        assert_int_equal(shortlist_allocate(list, n), 0);
        for (list->n = 0; list->n < n; list->n++)
                list->chunks[list->n].rank.id = ids[list->n];
        r = index_reader_begin(reader, failure);
        if (r >= 0)
                r = shortlist_read(list, reader, failure);
        if (r >= 0)
                r = shortlist_narrow(list, kept, reader, terms, n_terms, failure);
        return r;
}

static struct Shortlist ranked(struct StoreFixture *f, const int64_t *ids, size_t n) {
        struct Shortlist list = { 0 };

        assert_success(f, rank(f, ids, n, n, &list, &f->failure));
        assert_int_equal(list.n, n);
        return list;
}

static const struct ScoredChunk *chunk_of(const struct Shortlist *list, int64_t id) {
        for (size_t i = 0; i < list->n; i++)
                if (list->chunks[i].rank.id == id)
                        return &list->chunks[i];
        fail_msg("%d is not in the list", (int) id);
        return NULL;
}

static void assert_score(const struct Shortlist *list, int64_t id, double expected) {
        assert_near(chunk_of(list, id)->rank.score, expected);
}

static void assert_alone(const struct Shortlist *list, int64_t id) {
        assert_null(chunk_of(list, id)->span);
}

static void assert_span(const struct Shortlist *list, int64_t id, int64_t first, int64_t last) {
        const struct Span *span = chunk_of(list, id)->span;

        assert_non_null(span);
        assert_int_equal(span->first, first);
        assert_int_equal(span->last, last);
}

static void test_a_chunk_alone_is_its_own_span(void **state) {
        struct StoreFixture *f = *state;

        (void) add_many(f, "a", "glass glass scale", 1);
        (void) add_many(f, "b", "rain", 3);
        _cleanup_(shortlist_clear) struct Shortlist list = ranked(f, (int64_t[]){ 1 }, 1);
        double chunk = (7 + 3 * 5) / 4.0, span = (7 + 3 * 5) / 2.0;

        assert_alone(&list, 1);
        assert_int_equal(list.n_spans, 0);
        assert_score(&list, 1,
                GLASS_WEIGHT * (plain_bm25(2, 7, chunk) + plain_bm25(2, 7, span)) / 2 +
                        SCALE_WEIGHT * (plain_bm25(1, 7, chunk) + plain_bm25(1, 7, span)) / 2);
}

static void test_neighbours_share_what_all_of_them_say(void **state) {
        struct StoreFixture *f = *state;
        static const char *const contents[] = { "glass glass", "scale glass wind", "rain" };

        (void) add_many(f, "a", "rain", 1);
        (void) add(f, "b", contents, 3);
        _cleanup_(shortlist_clear) struct Shortlist list = ranked(f, (int64_t[]){ 4, 2, 3 }, 3);
        double chunk = (5 + 6 + 7 + 5) / 4.0, average = (5 + 6 + 7 + 5) / 2.0;
        double span = GLASS_WEIGHT * plain_bm25(3, 18, average) +
                SCALE_WEIGHT * plain_bm25(1, 18, average);

        assert_int_equal(list.n_spans, 1);
        for (int64_t id = 2; id <= 4; id++)
                assert_span(&list, id, 2, 4);
        assert_score(&list, 2, GLASS_WEIGHT * plain_bm25(2, 6, chunk) / 2 + span / 2);
        assert_score(&list, 3,
                GLASS_WEIGHT * plain_bm25(1, 7, chunk) / 2 +
                        SCALE_WEIGHT * plain_bm25(1, 7, chunk) / 2 + span / 2);
        assert_score(&list, 4, span / 2); /* it says nothing of it itself */
        assert_int_equal(list.chunks[2].rank.id, 4);
}

static void test_a_long_document_is_of_more_than_one_span(void **state) {
        struct StoreFixture *f = *state;

        (void) add_many(f, "a", "glass", 40);
        _cleanup_(shortlist_clear) struct Shortlist list =
                ranked(f, (int64_t[]){ 33, 1, 40, 32 }, 4);
        double chunk = 5, average = 40 * 5 / 2.0, own = plain_bm25(1, 5, chunk),
               first = (own + plain_bm25(32, 32 * 5, average)) / 2 * GLASS_WEIGHT,
               second = (own + plain_bm25(8, 8 * 5, average)) / 2 * GLASS_WEIGHT;

        assert_int_equal(list.n_spans, 2);
        assert_span(&list, 1, 1, 32);
        assert_span(&list, 32, 1, 32);
        assert_span(&list, 33, 33, 40);
        assert_span(&list, 40, 33, 40);
        assert_score(&list, 1, first);
        assert_score(&list, 32, first);
        assert_score(&list, 33, second);
        assert_score(&list, 40, second);
}

static void test_the_last_chunk_of_a_long_document_may_be_alone(void **state) {
        struct StoreFixture *f = *state;

        (void) add_many(f, "a", "glass", 33);
        (void) add_many(f, "b", "glass", 1);
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM span_terms"), 1);
        _cleanup_(shortlist_clear) struct Shortlist list = ranked(f, (int64_t[]){ 34, 33, 32 }, 3);
        double average = 34 * 5 / 3.0, own = plain_bm25(1, 5, 5);

        assert_span(&list, 32, 1, 32);
        assert_alone(&list, 33);
        assert_alone(&list, 34);
        assert_score(&list, 33, (own + plain_bm25(1, 5, average)) / 2 * GLASS_WEIGHT);
        assert_score(&list, 34, (own + plain_bm25(1, 5, average)) / 2 * GLASS_WEIGHT);
}

static void test_neighbours_of_other_documents_are_not_of_the_span(void **state) {
        struct StoreFixture *f = *state;

        (void) add_many(f, "a", "glass", 2);
        (void) add_many(f, "b", "glass", 1);
        (void) add_many(f, "c", "glass", 2);
        (void) add_many(f, "d", "glass", 1);
        _cleanup_(shortlist_clear) struct Shortlist list =
                ranked(f, (int64_t[]){ 1, 2, 3, 4, 5, 6 }, 6);

        assert_span(&list, 1, 1, 2);
        assert_span(&list, 2, 1, 2);
        assert_alone(&list, 3);
        assert_span(&list, 4, 4, 5);
        assert_span(&list, 5, 4, 5);
        assert_alone(&list, 6);
}

static void test_the_best_is_first_and_the_older_among_equals(void **state) {
        struct StoreFixture *f = *state;

        (void) add_many(f, "a", "glass", 3);
        (void) add_many(f, "b", "scale", 3);
        (void) add_many(f, "c", "rain", 2);
        _cleanup_(shortlist_clear) struct Shortlist list =
                ranked(f, (int64_t[]){ 8, 3, 6, 1, 4, 7, 2, 5 }, 8);

        for (size_t i = 0; i < 8; i++)
                assert_int_equal(
                        list.chunks[i].rank.id, ((int64_t[]){ 4, 5, 6, 1, 2, 3, 7, 8 })[i]);
}

static void test_those_are_kept_that_say_most_themselves(void **state) {
        struct StoreFixture *f = *state;
        static const char *const contents[] = { "rain", "glass" };
        _cleanup_(shortlist_clear) struct Shortlist list = { 0 };

        (void) add(f, "a", contents, 2);
        (void) add_many(f, "b", "scale", 1);
        (void) add_many(f, "c", "rain", 1);
        assert_success(f, rank(f, (int64_t[]){ 1, 2, 3, 4 }, 4, 2, &list, &f->failure));
        assert_int_equal(list.n, 2);
        assert_int_equal(list.chunks[0].rank.id, 3);
        assert_int_equal(list.chunks[1].rank.id, 2);
}

static void test_what_was_read_is_scored_again_with_other_weights(void **state) {
        struct StoreFixture *f = *state;

        (void) add_many(f, "a", "glass", 2);
        (void) add_many(f, "b", "scale", 1);
        _cleanup_(shortlist_clear) struct Shortlist list = ranked(f, (int64_t[]){ 1, 2, 3 }, 3);
        const struct WeightedTerm term = { id_of(f, "glass"), 5 };
        double expected = 5 * (plain_bm25(1, 5, 5) + plain_bm25(2, 10, 7.5)) / 2;

        assert_int_equal(list.chunks[0].rank.id, 3);
        for (int again = 0; again < 2; again++) {
                assert_success(f,
                        shortlist_score(
                                &list, store_index_reader(f->store), &term, 1, &f->failure));
                assert_score(&list, 1, expected);
                assert_score(&list, 2, expected);
                assert_score(&list, 3, 0);
        }
}

static void test_damage_is_told(void **state) {
        struct StoreFixture *f = *state;
        static const char *const damages[] = {
                "DELETE FROM chunk_terms WHERE chunk_id = 2",
                "UPDATE chunk_terms SET data = x'' WHERE chunk_id = 2",
                "UPDATE chunk_terms SET data = x'80' WHERE chunk_id = 2",
                "UPDATE chunk_terms SET data = x'0501' WHERE chunk_id = 2",
                "UPDATE span_terms SET data = x''",
                "UPDATE span_terms SET data = x'80'",
                "UPDATE span_terms SET data = x'ffffffffffffffffff0201'",
                "UPDATE span_terms SET data = x'0501'",
                "UPDATE span_terms SET data = x'05000180'",
                "UPDATE span_terms SET last_chunk = 9223372036854775807, data = x'80'",
        };

        (void) add_many(f, "a", "glass", 2);
        for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
                _cleanup_(shortlist_clear) struct Shortlist list = { 0 };
                _cleanup_failure_ struct Failure failure = { 0 };

                fixture_execute(f, "BEGIN");
                fixture_execute(f, damages[i]);
                if (rank(f, (int64_t[]){ 1, 2 }, 2, 2, &list, &failure) >= 0 ||
                        failure.event != EVENT_DATABASE_INVALID)
                        fail_msg("%s is not told", damages[i]);
                fixture_execute(f, "ROLLBACK");
        }
}

/* Nothing else can be meant by a span that ends before it begins, or with its first chunk. */
static void test_a_span_of_no_more_than_a_chunk_is_that_chunk_alone(void **state) {
        struct StoreFixture *f = *state;
        static const char *const changes[] = {
                "DELETE FROM span_terms",
                "UPDATE span_terms SET last_chunk = 1, data = x'80'",
                "UPDATE span_terms SET last_chunk = 0, data = x'80'",
                "UPDATE span_terms SET last_chunk = -9223372036854775808",
        };

        (void) add_many(f, "a", "glass", 2);
        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
                fixture_execute(f, "BEGIN");
                fixture_execute(f, changes[i]);
                _cleanup_(shortlist_clear) struct Shortlist list =
                        ranked(f, (int64_t[]){ 1, 2 }, 2);

                assert_alone(&list, 1);
                assert_alone(&list, 2);
                fixture_execute(f, "ROLLBACK");
        }
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_new_with_store, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_a_chunk_alone_is_its_own_span),
                ON_STORE(test_neighbours_share_what_all_of_them_say),
                ON_STORE(test_a_long_document_is_of_more_than_one_span),
                ON_STORE(test_the_last_chunk_of_a_long_document_may_be_alone),
                ON_STORE(test_neighbours_of_other_documents_are_not_of_the_span),
                ON_STORE(test_the_best_is_first_and_the_older_among_equals),
                ON_STORE(test_those_are_kept_that_say_most_themselves),
                ON_STORE(test_what_was_read_is_scored_again_with_other_weights),
                ON_STORE(test_damage_is_told),
                ON_STORE(test_a_span_of_no_more_than_a_chunk_is_that_chunk_alone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
