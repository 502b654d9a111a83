/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/term-index.h"

#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "term-index-fixture.h"

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#endif

static int64_t chunks_of(struct StoreFixture *f, const char *term) {
        char *sql = sqlite3_mprintf(
                "SELECT coalesce((SELECT chunks FROM terms WHERE term = %Q), 0)", term);
        int64_t n = fixture_query(f, sql);

        sqlite3_free(sql);
        return n;
}

static void test_an_empty_index_is_of_no_chunks(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);

        apply(f, index);
        assert_index_is_of_its_chunks(store_database(f->store));
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM terms"), 0);
        assert_int_equal(fixture_query(f, "SELECT value FROM state WHERE key = 'index_chunks'"), 0);
}

static void test_what_stands_in_a_field_counts_as_much_as_is_said(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);

        put(f, index, 0, "lab/zinc.md",
                "---\ntags: [optics]\naliases: [Big Glass]\n---\n# Mirror\n## Motor\niron iron\n");
        apply(f, index);
        _cleanup_free_ char *dump = index_dump(store_database(f->store));

        /* 2 for the title, 1 for each heading and its line in the text, 2 for each of the three
         * keywords and of the path's lab, zinc.md, zinc and md, 1 for each iron. */
        uint32_t length = 2 + 1 + 1 + 1 + 3 * 2 + 4 * 2 + 2;
        char line[64];
        static const struct {
                const char *term;
                uint32_t frequency;
        } terms[] = { { "optic", 2 }, { "big", 2 }, { "glass", 2 }, { "mirror", 3 }, { "motor", 2 },
                { "iron", 2 }, { "lab", 2 }, { "zinc.md", 2 }, { "zinc", 2 }, { "md", 2 } };
        for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
                (void) snprintf(line, sizeof line, " %s=%u", terms[i].term, terms[i].frequency);
                if (!strstr(dump, line))
                        fail_msg("no %s in:\n%s", line, dump);
        }
        (void) snprintf(line, sizeof line, "chunk 1 of %u words:", length);
        assert_non_null(strstr(dump, line));
        (void) snprintf(line, sizeof line, "index_length %u\n", length);
        assert_non_null(strstr(dump, line));
        assert_non_null(strstr(dump, "index_chunks 1\n"));
        assert_non_null(strstr(dump, "index_spans 1\n"));
        assert_index_is_of_its_chunks(store_database(f->store));
}

static void test_the_index_follows_every_change_of_the_chunks(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);

        put(f, index, 0, "a.md", "# Motors\nrunning over glass\n");
        put(f, index, 0, "b.md", "# Other\nsomething else\n");
        apply(f, index);
        assert_int_equal(chunks_of(f, "glass"), 1);
        assert_int_equal(chunks_of(f, "motor"), 1);
        assert_int_equal(chunks_of(f, "md"), 2);

        put(f, index, 1, "a.md", "# Optics\nwalking\n# More\nwalked\n");
        apply(f, index);
        assert_int_equal(chunks_of(f, "glass"), 0);
        assert_int_equal(chunks_of(f, "walk"), 2);
        assert_index_is_of_its_chunks(store_database(f->store));

        assert_success(f, index_remove(index, 1, &f->failure));
        apply(f, index);
        assert_int_equal(chunks_of(f, "walk"), 0);
        assert_int_equal(chunks_of(f, "els"), 1);
        assert_index_is_of_its_chunks(store_database(f->store));

        /* As anybody checks a database, who may not write. */
        _cleanup_sqlite_ sqlite3 *db = NULL;
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        assert_success(f, sqlite_open(f->layout->database, SQLITE_MODE_READ, &db, &f->failure));
        assert_success(f, sqlite_prepare(db, "PRAGMA integrity_check", &statement, &f->failure));
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        assert_string_equal((const char *) sqlite3_column_text(statement, 0), "ok");
}

static void test_a_document_may_come_and_go_before_anything_is_applied(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);

        put(f, index, 0, "a.md", "one glass");
        put(f, index, 1, "a.md", "two glass");
        put(f, index, 0, "b.md", "glass");
        assert_success(f, index_remove(index, 2, &f->failure));
        put(f, index, 1, "a.md", "three");
        apply(f, index);
        assert_int_equal(chunks_of(f, "glass"), 0);
        assert_int_equal(chunks_of(f, "three"), 1);
        assert_index_is_of_its_chunks(store_database(f->store));
}

/* The id of "only" is given to another term while this index knew it. */
static void test_the_id_of_a_term_that_is_gone_is_not_used(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);

        put(f, index, 0, "a.md", "common only");
        apply(f, index);
        int64_t id = fixture_query(f, "SELECT id FROM terms WHERE term = 'onli'");
        assert_int_equal(id, fixture_query(f, "SELECT max(id) FROM terms"));

        put(f, index, 1, "a.md", "common other");
        apply(f, index);
        assert_int_equal(fixture_query(f, "SELECT id FROM terms WHERE term = 'other'"), id);
        put(f, index, 0, "b.md", "only common");
        apply(f, index);
        assert_int_equal(chunks_of(f, "onli"), 1);
        assert_int_equal(chunks_of(f, "common"), 2);
        assert_index_is_of_its_chunks(store_database(f->store));
}

static void test_a_list_goes_on_in_the_next_window(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);

        put(f, index, 0, "a.md", "glass");
        fixture_execute(f, "UPDATE sqlite_sequence SET seq = 8189 WHERE name = 'chunks'");
        put(f, index, 0, "b.md", "# 1\nglass\n# 2\nglass\n# 3\nglass\n");
        apply(f, index);
        /* Chunks 1, 8190, 8191 and 8192. */
        assert_int_equal(fixture_query(f,
                                 "SELECT count(*) FROM postings JOIN terms ON terms.id = term_id"
                                 " WHERE term = 'glass'"),
                2);
        assert_int_equal(chunks_of(f, "glass"), 4);
        assert_index_is_of_its_chunks(store_database(f->store));

        assert_success(f, index_remove(index, 2, &f->failure));
        apply(f, index);
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM postings WHERE window > 0"), 0);
        assert_index_is_of_its_chunks(store_database(f->store));
}

/* Text of some words, the low ones often. */
static uint64_t next_random(uint64_t *random) {
        *random ^= *random >> 12, *random ^= *random << 25, *random ^= *random >> 27;
        return *random * UINT64_C(0x2545f4914f6cdd1d);
}

static void write_random(uint64_t *random, char *text) {
        static const char *const words[] = { "glass", "scale", "p05-motor", "干涉", "Straße",
                "# x\n", "\n\n# y\n", "の", "mirror.db", "running" };
        int n = (int) (next_random(random) % 40);

        *text = '\0';
        for (int i = 0; i < n; i++) {
                uint64_t choice = next_random(random) % 100;

                if (choice < 50)
                        text = stpcpy(text, words[choice % 10]);
                else
                        text += sprintf(text, "w%" PRIu64, (choice * choice * choice) / 700 % 1200);
                text = stpcpy(text, " ");
        }
}

static void test_after_any_changes_the_index_is_of_its_chunks(void **state) {
        struct StoreFixture *f = *state;
        struct Index *index = open_index(f);
        uint64_t random = 20260407;
        bool there[30] = { false };
        int64_t window = 0;

        for (int round = 0; round < 60; round++) {
                int changes = (int) (next_random(&random) % 8);

                fixture_execute(f, "BEGIN");
                for (int i = 0; i < changes; i++) {
                        int64_t id = (int64_t) (next_random(&random) % 30);
                        char text[40 * 16], path[32];

                        (void) snprintf(path, sizeof path, "d/%d.md", (int) id);
                        if (there[id] && next_random(&random) % 3 == 0) {
                                char *sql = sqlite3_mprintf(
                                        "SELECT id FROM documents WHERE path = %Q", path);
                                assert_success(
                                        f, index_remove(index, fixture_query(f, sql), &f->failure));
                                sqlite3_free(sql);
                                there[id] = false;
                                continue;
                        }
                        write_random(&random, text);
                        if (there[id]) {
                                char *sql = sqlite3_mprintf(
                                        "SELECT id FROM documents WHERE path = %Q", path);
                                put(f, index, fixture_query(f, sql), path, text);
                                sqlite3_free(sql);
                        } else
                                put(f, index, 0, path, text);
                        there[id] = true;
                        /* Near to the end of a window, and over it. */
                        if (next_random(&random) % 9 == 0) {
                                char *sql = sqlite3_mprintf("UPDATE sqlite_sequence SET seq = %lld"
                                                            " WHERE name = 'chunks'",
                                        (long long) (++window * TERM_WINDOW - 3));
                                fixture_execute(f, sql);
                                sqlite3_free(sql);
                        }
                }
                apply(f, index);
                fixture_execute(f, "COMMIT");
                assert_index_is_of_its_chunks(store_database(f->store));
                assert_int_equal(
                        fixture_query(f, "SELECT count(*) FROM terms WHERE chunks < 1"), 0);
                /* Most of the time it goes on with what it knows. */
                if (next_random(&random) % 10 == 0) {
                        index_close(index);
                        index = open_index(f);
                }
        }
        assert_true(window > 5);
        for (int64_t id = 0; id < 30; id++)
                if (there[id]) {
                        char *sql = sqlite3_mprintf(
                                "SELECT id FROM documents WHERE path = 'd/%d.md'", (int) id);
                        assert_success(f, index_remove(index, fixture_query(f, sql), &f->failure));
                        sqlite3_free(sql);
                }
        apply(f, index);
        index_close(index);
        assert_index_is_of_its_chunks(store_database(f->store));
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM terms"), 0);
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM postings"), 0);
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM chunk_terms"), 0);
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM span_terms"), 0);
        assert_int_equal(
                fixture_query(f, "SELECT sum(value) FROM state WHERE key LIKE 'index_%'"), 0);
}

/* More than may wait: it is written in parts, and the same. */
static void test_what_is_too_much_to_wait_is_written(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_index_ struct Index *index = open_index(f);
        char *text = malloc(40000 * 8 + 1), *end = text;

        put(f, index, 0, "few.md", "# 1\nx\n# 2\nx\n# 3\nx\n");
        for (int i = 0; i < 40000; i++)
                end = stpcpy(end, "# h\nx\n");
        fixture_execute(f, "BEGIN");
        put(f, index, 0, "a.md", text);
        int64_t written = fixture_query(f, "SELECT count(*) FROM chunk_terms");
        assert_true(written > 3 && written < 40000);
        assert_int_equal((written - 3) % SPAN_CHUNKS, 0); /* whole spans of it */
        apply(f, index);
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM chunk_terms"), 40003);
        assert_int_equal(chunks_of(f, "x"), 40003);
        assert_spans_are_of_the_documents(store_database(f->store));
        assert_success(f, index_remove(index, 1, &f->failure));
        assert_success(f, index_remove(index, 2, &f->failure));
        apply(f, index);
        fixture_execute(f, "COMMIT");
        assert_spans_are_of_the_documents(store_database(f->store));
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM postings"), 0);
        free(text);
}

/* Where memory runs out the transaction is given up: an error is told, nothing crashes. */
static int index_with_little_memory(struct StoreFixture *f) {
        _cleanup_failure_ struct Failure failure = { 0 };
        static char content[1 << 20];
        struct IndexedText text = { "t", "[]", "", "a.md", content, 0 };
        struct TermIndex *index = NULL;
        struct rlimit limit;
        int r;

        if (term_index_open(store_database(f->store), &index, &failure) < 0)
                return 2;
        (void) malloc_trim(0);
        limit = (struct rlimit){ 16 << 20, 16 << 20 };
        if (setrlimit(RLIMIT_DATA, &limit) < 0)
                return 3;
        for (int64_t chunk = 1; chunk < 1000; chunk++) {
                size_t size = 0;

                for (int i = 0; i < 5000; i++)
                        size += (size_t) sprintf(content + size, "w%dx%d ", (int) chunk, i);
                text.content_size = size;
                r = term_index_add(index, chunk, 0, &text, &failure);
                if (r < 0) {
                        (void) term_index_close(index);
                        return r == -ENOMEM && failure.event == EVENT_OUT_OF_MEMORY ? 0 : 4;
                }
        }
        return 1;
}

static void test_where_memory_runs_out_it_is_told(void **state) {
        pid_t child;
        int status;

#ifdef ADDRESS_SANITIZER
        skip(); /* its shadow memory is larger than any limit */
#endif
        child = fork();
        if (child == 0)
                _exit(index_with_little_memory(*state));
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_new_with_store, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_an_empty_index_is_of_no_chunks),
                ON_STORE(test_what_stands_in_a_field_counts_as_much_as_is_said),
                ON_STORE(test_the_index_follows_every_change_of_the_chunks),
                ON_STORE(test_a_document_may_come_and_go_before_anything_is_applied),
                ON_STORE(test_the_id_of_a_term_that_is_gone_is_not_used),
                ON_STORE(test_a_list_goes_on_in_the_next_window),
                ON_STORE(test_after_any_changes_the_index_is_of_its_chunks),
                ON_STORE(test_what_is_too_much_to_wait_is_written),
                ON_STORE(test_where_memory_runs_out_it_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
