/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rows of the index that we cannot have written: told as DATABASE_INVALID by who meets them, reader
 * or writer. Nothing crashes, and nothing is answered from them.
 */

#include "lib/knowledge/term-index.h"

#include <errno.h>

#include "lib/knowledge/index.h"
#include "lib/knowledge/lexical.h"
#include "store-fixture.h"

/* Chunks 1 to 9, a span, each of "glass" and "scale"; 3 is the id of "glass". */
static int damage_setup(void **state) {
        if (fixture_new_with_store(state) < 0)
                return -1;
        struct StoreFixture *f = *state;
        const char *contents[9];

        for (int i = 0; i < 9; i++)
                contents[i] = "glass scale";
        (void) fixture_add_chunks(f, fixture_add_document(f, "vault", "a"), "t", "[]", contents, 9);
        return fixture_query(f, "SELECT count(*) FROM terms WHERE id = 3 AND term = 'glass'") == 1
                ? 0
                : -1;
}

static int ask_in(struct StoreFixture *f, const struct Project *project, const char *prompt,
        struct Failure *failure) {
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(prompt);
        _cleanup_(ranking_done) struct Ranking ranking = { 0 };

        return lexical_rank(store_index_reader(f->store), project, words, 10, &ranking, failure);
}

static int ask(struct StoreFixture *f, const char *prompt, struct Failure *failure) {
        return ask_in(f, NULL, prompt, failure);
}

static int remove_document(struct StoreFixture *f, struct Failure *failure) {
        _cleanup_index_ struct Index *index = NULL;
        uint64_t added = 0, removed = 0;
        int r = index_open(store_database(f->store), &index, failure);

        if (r >= 0)
                r = index_remove(index, 1, failure);
        return r < 0 ? r : index_apply(index, &added, &removed, failure);
}

static int add_chunk(struct StoreFixture *f, int64_t chunk, struct Failure *failure) {
        _cleanup_term_index_ struct TermIndex *index = NULL;
        const struct IndexedText text = { "t", "[]", "", "a", "glass", 5 };
        int r = term_index_open(store_database(f->store), &index, failure);

        if (r >= 0)
                r = term_index_add(index, chunk, 0, &text, failure);
        return r < 0 ? r : term_index_apply(index, failure);
}

enum Who {
        READER = 1,
        REMOVER = 2,
        ADDER = 4,
};

static void assert_told(struct StoreFixture *f, const char *damage, enum Who who) {
        _cleanup_failure_ struct Failure failure = { 0 };
        int r = who == READER    ? ask(f, "glass", &failure)
                : who == REMOVER ? remove_document(f, &failure)
                                 : add_chunk(f, 10, &failure);

        if (r >= 0 || failure.event != EVENT_DATABASE_INVALID ||
                !strstr(failure_message(&failure), "is damaged"))
                fail_msg("%s: %d gave %d: %s", damage, who, r,
                        r < 0 ? failure_message(&failure) : "nothing to tell");
}

static void test_damage_is_told(void **state) {
        struct StoreFixture *f = *state;
        static const struct {
                const char *damage;
                enum Who who;
        } cases[] = {
                /* Lists: cut, garbage, of chunks that are in no window, of a window of none. */
                { "UPDATE postings SET data = x'05'", READER | REMOVER | ADDER },
                { "UPDATE postings SET data = x'ffffffffffffffffffffffff'",
                        READER | REMOVER | ADDER },
                { "UPDATE postings SET data = x'804011'", READER | REMOVER | ADDER }, /* 8192 */
                { "UPDATE postings SET data = x'feffffffffffffffff0111'",
                        READER | REMOVER | ADDER },
                { "UPDATE postings SET data = x'ffffffffffffffff7f11'", READER | REMOVER | ADDER },
                { "UPDATE postings SET window = 9223372036854775807", READER | REMOVER },
                { "UPDATE postings SET window = 1125899906842624", READER | REMOVER },
                /* It names a chunk that is yet to come. */
                { "UPDATE postings SET data = CAST(data || x'0511' AS BLOB)", ADDER },
                /* It does not have a chunk that has it; it is not there. */
                { "UPDATE postings SET data = x'0111'", REMOVER },
                { "DELETE FROM postings", REMOVER },
                /* Vectors: of no length, of one that is none, of a term that is cut, is none. */
                { "UPDATE chunk_terms SET data = x''", READER | REMOVER },
                { "UPDATE chunk_terms SET data = x'85'", READER | REMOVER },
                { "UPDATE chunk_terms SET data = x'ffffffffffffffffffffffff'", READER | REMOVER },
                { "UPDATE chunk_terms SET data = x'ffffffffffffffffff01'", READER | REMOVER },
                { "UPDATE chunk_terms SET data = x'0505'", READER | REMOVER },
                { "UPDATE chunk_terms SET data = x'05ffffffffffffffffffffffff'", READER | REMOVER },
                { "UPDATE chunk_terms SET data = x'05feffffffffffffffff0111'", REMOVER },
                { "UPDATE chunk_terms SET data = CAST(data || x'8f0f11' AS BLOB)",
                        READER | REMOVER },
                { "DELETE FROM chunk_terms WHERE chunk_id = 4", READER | REMOVER },
                { "DELETE FROM chunk_terms", READER | REMOVER },
                /* Those of spans, which only readers read. */
                { "UPDATE span_terms SET data = x''", READER },
                { "UPDATE span_terms SET data = x'85'", READER },
                { "UPDATE span_terms SET data = x'ffffffffffffffffffffffff'", READER },
                { "UPDATE span_terms SET data = x'ffffffffffffffffff01'", READER },
                { "UPDATE span_terms SET data = x'0502'", READER },
                { "UPDATE span_terms SET data = x'05ffffffffffffffffffffffff'", READER },
                /* Terms: in no chunk, in fewer than there are, gone, with an id that is none. */
                { "UPDATE terms SET chunks = 0", READER | REMOVER },
                { "UPDATE terms SET chunks = -5", READER | REMOVER | ADDER },
                { "UPDATE terms SET chunks = 1", REMOVER },
                { "DELETE FROM terms", REMOVER },
                { "DELETE FROM terms WHERE term = 'scale'", READER | REMOVER },
                { "UPDATE terms SET id = -id", REMOVER | ADDER },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                for (enum Who who = READER; who <= ADDER; who *= 2) {
                        if (!(cases[i].who & who))
                                continue;
                        fixture_execute(f, "BEGIN");
                        fixture_execute(f, cases[i].damage);
                        assert_told(f, cases[i].damage, who);
                        fixture_execute(f, "ROLLBACK");
                }
        failure_clear(&f->failure);
        assert_success(f, ask(f, "glass", &f->failure));
        assert_success(f, remove_document(f, &f->failure));
}

static void test_a_chunk_of_a_project_that_cannot_be_is_told(void **state) {
        struct StoreFixture *f = *state;
        struct IngestRoot root = { .source = (char *) "vault", .subpath = (char *) "" };
        const struct Project project = { .id = (char *) "p", .roots = &root, .n_roots = 1 };

        assert_success(f, ask_in(f, &project, "glass", &f->failure));
        fixture_execute(f, "UPDATE chunks SET id = -5 WHERE id = 5");
        assert_int_equal(ask_in(f, &project, "glass", &f->failure), -EBADMSG);
        assert_int_equal(f->failure.event, EVENT_DATABASE_INVALID);
}

/* What could be so: a chunk alone, or a span that says nothing. */
static void test_what_is_no_damage_of_a_span_is_answered(void **state) {
        struct StoreFixture *f = *state;
        static const char *const changes[] = {
                "UPDATE span_terms SET data = x'05'",
                "UPDATE span_terms SET last_chunk = 0",
                "UPDATE span_terms SET last_chunk = -9223372036854775808",
                "UPDATE span_terms SET last_chunk = 1, data = x''",
                "UPDATE span_terms SET last_chunk = 9223372036854775807",
                "UPDATE span_terms SET first_chunk = 10, data = x''",
                "DELETE FROM span_terms",
        };

        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
                fixture_execute(f, "BEGIN");
                fixture_execute(f, changes[i]);
                assert_success(f, ask(f, "glass", &f->failure));
                fixture_execute(f, "ROLLBACK");
        }
}

/* Whoever writes remembers the ids of terms. */
static void test_a_term_that_was_forgotten_is_told(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_term_index_ struct TermIndex *index = NULL;
        const struct IndexedText text = { "t", "[]", "", "a", "felt", 4 };

        assert_success(f, term_index_open(store_database(f->store), &index, &f->failure));
        assert_success(f, term_index_add(index, 10, 0, &text, &f->failure));
        assert_success(f, term_index_apply(index, &f->failure));
        fixture_execute(f, "DELETE FROM terms WHERE term = 'felt'");
        assert_success(f, term_index_add(index, 11, 0, &text, &f->failure));
        assert_int_equal(term_index_apply(index, &f->failure), -EBADMSG);
        assert_int_equal(f->failure.event, EVENT_DATABASE_INVALID);
}

/* Whatever stands there: an answer or an error. */
static void test_any_bytes_do_no_harm(void **state) {
        struct StoreFixture *f = *state;
        static const char *const tables[] = { "postings", "chunk_terms", "span_terms" };

        for (int i = 0; i < 300; i++) {
                char *sql = sqlite3_mprintf(
                        "BEGIN; UPDATE %s SET data = randomblob(%d)", tables[i % 3], i % 40);

                for (int who = 0; who < 3; who++) {
                        _cleanup_failure_ struct Failure failure = { 0 };
                        int r;

                        fixture_execute(f, sql);
                        r = who == 0       ? ask(f, "glass scale t", &failure)
                                : who == 1 ? remove_document(f, &failure)
                                           : add_chunk(f, 10, &failure);
                        assert_true(r >= 0 || failure.event == EVENT_DATABASE_INVALID);
                        fixture_execute(f, "ROLLBACK");
                }
                sqlite3_free(sql);
        }
}

/* Numbers that are too large, or none, only make other scores. */
static void test_totals_that_are_wrong_do_no_harm(void **state) {
        struct StoreFixture *f = *state;
        static const char *const damages[] = {
                "UPDATE state SET value = -1",
                "UPDATE state SET value = 9223372036854775807",
                "UPDATE state SET value = 'text'",
                "UPDATE state SET value = 0",
                "DELETE FROM state",
                "UPDATE terms SET chunks = 9223372036854775807",
        };

        for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
                fixture_execute(f, "BEGIN");
                fixture_execute(f, damages[i]);
                assert_success(f, ask(f, "glass", &f->failure));
                fixture_execute(f, "ROLLBACK");
        }
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, damage_setup, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_damage_is_told),
                ON_STORE(test_a_chunk_of_a_project_that_cannot_be_is_told),
                ON_STORE(test_what_is_no_damage_of_a_span_is_answered),
                ON_STORE(test_a_term_that_was_forgotten_is_told),
                ON_STORE(test_any_bytes_do_no_harm),
                ON_STORE(test_totals_that_are_wrong_do_no_harm),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
