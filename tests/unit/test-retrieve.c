/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/retrieve.h"

#include <errno.h>

#include "lib/knowledge/prompt-words.h"
#include "store-fixture.h"

static char vault[] = "vault", drive[] = "drive";

static struct Retrieval *ask_project(
        struct StoreFixture *f, const struct Project *project, const char *prompt, size_t top_k) {
        struct Retrieval *retrieval = NULL;

        assert_success(f, retrieve(f->store, project, prompt, top_k, &retrieval, &f->failure));
        return retrieval;
}

static struct Retrieval *ask(struct StoreFixture *f, const char *prompt) {
        return ask_project(f, NULL, prompt, RETRIEVE_TOP_K_DEFAULT);
}

static int64_t add(
        struct StoreFixture *f, const char *source, const char *path, const char *content) {
        return fixture_add_chunk(f, fixture_add_document(f, source, path), "Title", "[]", content);
}

static void test_a_chunk_is_returned_with_its_place(void **state) {
        struct StoreFixture *f = *state;
        static const char content[] = "The gl\xc3\xa4ss scale\n\n\tkeeps  its blanks";
        int64_t document = fixture_add_document(f, vault, "a b/\xc3\xbc\n.md");
        int64_t id = fixture_add_chunk(
                f, document, "My \"note\"", "[\"Outer\",\"In \\\"n\\\" er\\n\",\"\"]", content);
        _cleanup_retrieval_ struct Retrieval *retrieval = ask(f, "scale?");

        assert_string_equal(retrieval->mode, "lexical");
        assert_int_equal(retrieval->candidates, 1);
        assert_null(retrieval->degraded);
        assert_int_equal(retrieval->n_chunks, 1);

        const struct Chunk *chunk = &retrieval->chunks[0];
        assert_int_equal(chunk->id, id);
        assert_int_equal(chunk->document_id, document);
        assert_int_equal(chunk->ordinal, 0);
        assert_string_equal(chunk->source_file, "sources/vault/a b/\xc3\xbc\n.md");
        assert_string_equal(chunk->title, "My \"note\"");
        assert_string_equal(chunk->heading_path[0], "Outer");
        assert_string_equal(chunk->heading_path[1], "In \"n\" er\n");
        assert_string_equal(chunk->heading_path[2], "");
        assert_null(chunk->heading_path[3]);
        assert_int_equal(chunk->start_line, 3);
        assert_int_equal(chunk->end_line, 5);
        assert_true(chunk->score > 0);
        assert_string_equal(chunk->content, content);
        assert_int_equal(chunk->content_size, strlen(content));
        assert_int_equal(chunk->char_count, strlen(content) - 1);
}

static void test_an_empty_store_and_an_empty_prompt_find_nothing(void **state) {
        struct StoreFixture *f = *state;
        static const char *const prompts[] = { "", "  ", "?!*\"", "anything" };

        for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++) {
                _cleanup_retrieval_ struct Retrieval *retrieval = ask(f, prompts[i]);
                assert_int_equal(retrieval->n_chunks, 0);
                assert_int_equal(retrieval->candidates, 0);
        }
}

static void test_the_characters_of_a_prompt_are_never_query_syntax(void **state) {
        struct StoreFixture *f = *state;
        static const char *const prompts[] = { "\"", "needle\"", "\"needle", "needle*",
                "needle AND", "NOT needle", "NEAR(needle", "NEAR(needle haystack, 2)", "needle -x",
                "content:needle", "title : needle", "{title content}: needle", "^needle",
                "needle + x", "(((needle", "needle)", "needle''; DROP TABLE chunks; --", "needle\\",
                "needle\nOR", "\xf0\x9f\x98\x80 needle", "'needle'", "needle\x01\x7f" };

        add(f, vault, "a.md", "one needle here");
        for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++) {
                _cleanup_retrieval_ struct Retrieval *retrieval = ask(f, prompts[i]);
                assert_int_equal(retrieval->n_chunks, strstr(prompts[i], "needle") ? 1 : 0);
        }
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM chunks"), 1);
}

static void test_titles_count_more_than_headings_and_text(void **state) {
        struct StoreFixture *f = *state;
        int64_t document = fixture_add_document(f, vault, "a.md");
        int64_t in_text = fixture_add_chunk(f, document, "x", "[\"x\"]", "needle y");
        int64_t in_heading = fixture_add_chunk(f, document, "x", "[\"needle\"]", "x y");
        int64_t in_title = fixture_add_chunk(f, document, "needle", "[\"x\"]", "x y");

        for (int i = 0; i < 20; i++)
                fixture_add_chunk(f, document, "x", "[\"x\"]", "x y");
        _cleanup_retrieval_ struct Retrieval *retrieval = ask(f, "needle");

        assert_int_equal(retrieval->n_chunks, 3);
        assert_int_equal(retrieval->chunks[0].id, in_title);
        assert_int_equal(retrieval->chunks[1].id, in_text);
        assert_int_equal(retrieval->chunks[2].id, in_heading);
        assert_true(retrieval->chunks[0].score > retrieval->chunks[1].score);
        assert_true(retrieval->chunks[1].score == retrieval->chunks[2].score);
}

static void test_front_matter_is_found_behind_the_text(void **state) {
        struct StoreFixture *f = *state;
        int64_t document = fixture_add_document(f, vault, "needles.md");
        static const char *const contents[] = {
                "---\ntitle: Needles\npermalink: needles\nserial: SN98765\n---",
                "A needle is what one looks for in a haystack; take a magnet, and go over it "
                "twice, "
                "slowly, before you burn the straw.",
        };
        int64_t first = fixture_add_chunks(f, document, "Needles", "[]", contents, 2);

        document = fixture_add_document(f, vault, "straw.md");
        for (int i = 0; i < 20; i++)
                fixture_add_chunk(f, document, "Straw", "[]", "straw, and nothing but straw");
        _cleanup_retrieval_ struct Retrieval *usual = ask(f, "needles");
        assert_int_equal(usual->n_chunks, 2);
        assert_int_equal(usual->chunks[0].id, first + 1);
        _cleanup_retrieval_ struct Retrieval *serial = ask(f, "SN98765");
        assert_int_equal(serial->n_chunks, 1);
        assert_int_equal(serial->chunks[0].id, first);
}

static uint32_t words_of(const struct Chunk *chunk) {
        return (uint32_t) ((chunk->content_size - strlen("needle")) / strlen(" straw")) + 1;
}

/* By length, and among equals by id. */
static bool is_in_order(const struct Chunk *a, const struct Chunk *b) {
        uint32_t x = words_of(a), y = words_of(b);

        return x < y ? a->score > b->score : x == y && a->score == b->score && a->id < b->id;
}

static void test_the_best_are_chosen_and_all_are_counted(void **state) {
        struct StoreFixture *f = *state;
        int64_t document = fixture_add_document(f, vault, "a.md");
        char content[64 * 8];

        /* The longer the text around the needle, the worse. */
        for (int i = 0; i < 60; i++) {
                int length = (i * 37) % 30; /* each twice */

                strcpy(content, "needle");
                for (int k = 0; k < length; k++)
                        strcat(content, " straw");
                fixture_add_chunk(f, document, "T", "[]", content);
        }
        for (int i = 0; i < 200; i++)
                fixture_add_chunk(f, document, "T", "[]", "straw");
        _cleanup_retrieval_ struct Retrieval *ten = ask_project(f, NULL, "needle", 10);
        _cleanup_retrieval_ struct Retrieval *all = ask_project(f, NULL, "needle", 1000);

        assert_int_equal(ten->n_chunks, 10);
        assert_int_equal(ten->candidates, 60);
        assert_int_equal(all->n_chunks, 60);
        for (size_t i = 1; i < 60; i++)
                assert_true(is_in_order(&all->chunks[i - 1], &all->chunks[i]));
        for (size_t i = 0; i < 10; i++)
                assert_int_equal(ten->chunks[i].id, all->chunks[i].id);
}

static void test_equal_chunks_come_in_the_order_of_their_ids(void **state) {
        struct StoreFixture *f = *state;

        for (int i = 0; i < 30; i++) {
                char path[16];
                (void) snprintf(path, sizeof path, "%d.md", 30 - i);
                add(f, vault, path, "the same needle");
        }
        _cleanup_retrieval_ struct Retrieval *retrieval = ask_project(f, NULL, "needle", 20);
        for (size_t i = 1; i < retrieval->n_chunks; i++)
                assert_true(retrieval->chunks[i - 1].id < retrieval->chunks[i].id);
}

static bool has_file(const struct Retrieval *retrieval, const char *source_file) {
        for (size_t i = 0; i < retrieval->n_chunks; i++)
                if (strcmp(retrieval->chunks[i].source_file, source_file) == 0)
                        return true;
        return false;
}

static void test_a_project_sees_only_what_is_below_its_roots(void **state) {
        struct StoreFixture *f = *state;
        static char id[] = "p", in[] = "p/in", file[] = "one.md", all[] = "", absent[] = "absent";
        static const char *const paths[] = { "p/in/a.md", "p/in/deep/b.md", "p/in", "p/in2/c.md",
                "p/in.md", "p/IN/d.md", "p/e.md", "x/p/in/f.md", "one.md", "one.md/g.md",
                "one.md2" };
        struct Project project = { .id = id };

        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
                add(f, vault, paths[i], "needle");
        add(f, drive, "p/in/h.md", "needle");

        {
                _cleanup_retrieval_ struct Retrieval *none = ask_project(f, &project, "needle", 99);
                assert_int_equal(none->candidates, 0);
        }
        {
                struct IngestRoot roots[] = { { vault, absent, NULL } };
                project.roots = roots;
                project.n_roots = 1;
                _cleanup_retrieval_ struct Retrieval *none = ask_project(f, &project, "needle", 99);
                assert_int_equal(none->candidates, 0);
        }
        {
                struct IngestRoot roots[] = { { vault, in, NULL }, { vault, file, NULL },
                        { vault, in, NULL } };
                project.roots = roots;
                project.n_roots = 3;
                _cleanup_retrieval_ struct Retrieval *some = ask_project(f, &project, "needle", 99);
                static const char *const expected[] = { "sources/vault/p/in/a.md",
                        "sources/vault/p/in/deep/b.md", "sources/vault/p/in",
                        "sources/vault/one.md", "sources/vault/one.md/g.md" };
                assert_int_equal(some->candidates, 5);
                assert_int_equal(some->n_chunks, 5);
                for (size_t i = 0; i < 5; i++)
                        assert_true(has_file(some, expected[i]));
        }
        {
                struct IngestRoot roots[] = { { drive, all, NULL } };
                project.roots = roots;
                project.n_roots = 1;
                _cleanup_retrieval_ struct Retrieval *one = ask_project(f, &project, "needle", 99);
                assert_int_equal(one->n_chunks, 1);
                assert_string_equal(one->chunks[0].source_file, "sources/drive/p/in/h.md");
        }
}

static void test_a_prompt_that_was_cut_says_so(void **state) {
        struct StoreFixture *f = *state;
        char prompt[(PROMPT_WORDS_MAX + 1) * 8 + 1];

        for (int i = 0; i <= PROMPT_WORDS_MAX; i++)
                (void) snprintf(prompt + 8 * i, 9, "word%03d ", i);
        add(f, vault, "a.md", "word000 and word199");
        _cleanup_retrieval_ struct Retrieval *retrieval = ask(f, prompt);

        assert_int_equal(retrieval->n_chunks, 1);
        assert_non_null(retrieval->degraded);
        assert_non_null(strstr(retrieval->degraded[0], "prompt_cut"));
        assert_null(retrieval->degraded[1]);
}

static void test_an_answer_has_no_more_text_than_it_may(void **state) {
        struct StoreFixture *f = *state;
        static const size_t size = RETRIEVE_CONTENT_MAX / 3;
        _cleanup_free_ char *content = malloc(size + 1);

        assert_non_null(content);
        memset(content, '.', size);
        memcpy(content, "needle", 6);
        content[size] = '\0';
        for (char name[] = "a.md"; name[0] <= 'e'; name[0]++)
                add(f, vault, name, content);
        _cleanup_retrieval_ struct Retrieval *retrieval = ask(f, "needle");

        assert_int_equal(retrieval->n_chunks, 4);
        assert_int_equal(retrieval->candidates, 5);
        assert_string_equal(retrieval->degraded[0],
                "answer_cut: the first 4 of 5 chunks have 21 MiB of text, and that is as much as "
                "an answer may have");
        assert_null(retrieval->degraded[1]);
}

static void test_a_search_that_takes_too_long_is_given_up(void **state) {
        struct StoreFixture *f = *state;
        struct Retrieval *retrieval = NULL;
        int64_t document = fixture_add_document(f, vault, "a.md");

        fixture_execute(f, "BEGIN");
        for (int i = 0; i < 2000; i++)
                fixture_add_chunk(f, document, "T", "[]", "needle");
        fixture_execute(f, "COMMIT");

        assert_int_equal(
                retrieve_within(f->store, NULL, "needle", 10, 0, NULL, &retrieval, &f->failure),
                -ETIMEDOUT);
        assert_int_equal(f->failure.event, EVENT_QUERY_TIMEOUT);
        assert_null(retrieval);

        /* And the connection is fit for what comes next. */
        failure_clear(&f->failure);
        assert_int_equal(fixture_query(f,
                                 "SELECT count(*) FROM chunks a, chunks b"
                                 " WHERE a.id < 100 AND b.ordinal >= 0"),
                99 * 2000);
        _cleanup_retrieval_ struct Retrieval *next = ask(f, "needle");
        assert_int_equal(next->candidates, 2000);
        assert_int_equal(sqlite3_get_autocommit(store_database(f->store)), 1);
}

static void test_a_damaged_index_is_a_failure_not_an_empty_answer(void **state) {
        struct StoreFixture *f = *state;
        struct Retrieval *retrieval = NULL;

        add(f, vault, "a.md", "needle");
        fixture_execute(f, "UPDATE postings SET data = x'ffffffffffffffffffff'");
        f->store = store_close(f->store);
        assert_success(f, store_open(&f->operation, SQLITE_MODE_READ, &f->store, &f->failure));
        assert_true(retrieve(f->store, NULL, "needle", 10, &retrieval, &f->failure) < 0);
        assert_int_equal(f->failure.event, EVENT_DATABASE_INVALID);
        assert_null(retrieval);
}

static void test_an_index_that_knows_more_than_there_is_fails(void **state) {
        struct StoreFixture *f = *state;
        struct Retrieval *retrieval = NULL;

        add(f, vault, "a.md", "needle");
        fixture_execute(f, "DELETE FROM chunks");
        assert_true(retrieve(f->store, NULL, "needle", 10, &retrieval, &f->failure) < 0);
        assert_int_equal(f->failure.event, EVENT_DATABASE_INVALID);
}

static void test_readers_see_what_was_committed(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_store_ struct Store *reader = NULL;
        _cleanup_retrieval_ struct Retrieval *before = NULL, *after = NULL;

        assert_success(f, store_open(&f->operation, SQLITE_MODE_READ, &reader, &f->failure));
        fixture_execute(f, "BEGIN");
        add(f, vault, "a.md", "needle");
        assert_success(f, retrieve(reader, NULL, "needle", 10, &before, &f->failure));
        fixture_execute(f, "COMMIT");
        assert_success(f, retrieve(reader, NULL, "needle", 10, &after, &f->failure));
        assert_int_equal(before->n_chunks, 0);
        assert_int_equal(after->n_chunks, 1);
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_new_with_store, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_a_chunk_is_returned_with_its_place),
                ON_STORE(test_an_empty_store_and_an_empty_prompt_find_nothing),
                ON_STORE(test_the_characters_of_a_prompt_are_never_query_syntax),
                ON_STORE(test_titles_count_more_than_headings_and_text),
                ON_STORE(test_front_matter_is_found_behind_the_text),
                ON_STORE(test_the_best_are_chosen_and_all_are_counted),
                ON_STORE(test_equal_chunks_come_in_the_order_of_their_ids),
                ON_STORE(test_a_project_sees_only_what_is_below_its_roots),
                ON_STORE(test_a_prompt_that_was_cut_says_so),
                ON_STORE(test_an_answer_has_no_more_text_than_it_may),
                ON_STORE(test_a_search_that_takes_too_long_is_given_up),
                ON_STORE(test_a_damaged_index_is_a_failure_not_an_empty_answer),
                ON_STORE(test_an_index_that_knows_more_than_there_is_fails),
                ON_STORE(test_readers_see_what_was_committed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
