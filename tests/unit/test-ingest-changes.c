/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/stat.h>

#include "ingest-fixture.h"

/* Ingests `parts`, pairs of source and path that end with NULL. */
static void expect_changes(struct StoreFixture *f, const char *const *parts, const char *expected) {
        _cleanup_(changes_clear) struct Changes changes = { 0 };
        _cleanup_ingest_result_ struct IngestResult *result = NULL;

        for (; *parts; parts += 2)
                for (const char *const *name = layout_source_names; *name; name++)
                        if (strcmp(*name, parts[0]) == 0)
                                changes_add(&changes, *name, parts[1], 1);
        assert_success(f, ingest_changes(&f->operation, &changes, &result, &f->failure));
        expect_result(result, expected);
}

#define CHANGES(f, expected, ...)                                                                  \
        expect_changes((f), (const char *const[]){ __VA_ARGS__, NULL }, (expected))
#define expect_paths(f, expected)                                                                  \
        expect_rows((f), "SELECT source || '/' || path FROM documents ORDER BY 1", (expected))

static void test_only_what_changed_is_looked_at(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/notes", 10);
        write_many(f, "sources/drive", 10);
        expect(f, "20 20 0 0 +20 -0");
        write_text(f, "sources/vault/notes/001.md", "# One\n\nother\n\n# Two\n\nother\n");
        write_text(f, "sources/vault/notes/002.md", "not told of");
        write_text(f, "sources/vault/new/deep/a.md", "new");
        write_text(f, "sources/drive/b.txt", "new");
        CHANGES(f, "3 3 0 0 +4 -1", "vault", "notes/001.md", "vault", "new", "drive", "b.txt");
        CHANGES(f, "10 1 9 0 +1 -1", "vault", "notes");
        expect_sound_index(f);
}

static void test_what_came_and_went_is_nothing(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault", 10);
        expect(f, "10 10 0 0 +10 -0");
        CHANGES(f, "0 0 0 0 +0 -0", "vault", "a.md", "vault", "b/c", "drive", "d.md");
}

/* All of the source is looked at then, and counted as seen. */
static void test_what_is_gone_is_removed(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/a/b", 3);
        write_many(f, "sources/vault/c", 2);
        expect(f, "5 5 0 0 +5 -0");
        remove_file(f, "sources/vault/c/000.md");
        CHANGES(f, "4 0 4 1 +0 -1", "vault", "c/000.md");
        remove_file(f, "sources/vault/a");
        CHANGES(f, "1 0 1 3 +0 -3", "vault", "a");
        expect_paths(f, "vault/c/001.md\n");
        expect_sound_index(f);
}

static void test_what_moved_is_known_where_it_is(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/a", 2);
        write_many(f, "sources/vault/b", 2);
        write_text(f, "sources/drive/x.md", "stays");
        expect(f, "5 5 0 0 +5 -0");
        _cleanup_free_ char *from = strdup(path_of(f, "sources/vault/a"));
        assert_return_code(rename(from, path_of(f, "sources/drive/c")), errno);
        /* The new documents wait in the batch when the vault is looked at as a whole, where they
         * are unchanged. */
        write_text(f, "sources/vault/A.md", "new");
        CHANGES(f, "5 3 3 2 +3 -2", "vault", "A.md", "vault", "a", "drive", "c");
        expect_paths(f,
                "drive/c/000.md\ndrive/c/001.md\ndrive/x.md\nvault/A.md\nvault/b/000.md\n"
                "vault/b/001.md\n");
        expect_sound_index(f);
}

static void test_a_source_that_is_gone_is_not_believed_in_parts_either(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/a", 2);
        expect(f, "2 2 0 0 +2 -0");
        remove_file(f, "sources/vault/a");
        CHANGES(f,
                "0 0 0 0 +0 -0\n"
                "sources/vault: 2 of 2 known documents are not there; its documents are kept: "
                "mount it or bring it back, or run atocore-ingest --allow-mass-removal if they are "
                "to go",
                "vault", "a");
        expect_paths(f, "vault/a/000.md\nvault/a/001.md\n");
        remove_file(f, "sources/vault");
        CHANGES(f,
                "0 0 0 0 +0 -0\n"
                "sources/vault: does not exist; its documents are kept: mount it or bring it back, "
                "or run atocore-ingest --allow-mass-removal "
                "if they are to go",
                "vault", "a/000.md");
}

static void test_what_is_no_plain_file_is_met_as_ever(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "text");
        write_text(f, "sources/vault/.annex/object", "annexed");
        expect(f, "1 1 0 0 +1 -0");
        assert_return_code(symlink(".annex/object", path_of(f, "sources/vault/link.md")), errno);
        CHANGES(f, "2 1 1 0 +1 -0", "vault", "link.md");
        assert_return_code(mkfifo(path_of(f, "sources/vault/pipe.md"), 0600), errno);
        CHANGES(f, "3 0 2 0 +0 -0\nsources/vault/pipe.md: is a FIFO, not a file", "vault",
                "pipe.md");
        write_bytes(f, "sources/vault/a.md", "\0", 1);
        CHANGES(f,
                "3 0 1 1 +0 -1\nsources/vault/a.md: is binary: it holds a NUL byte\n"
                "sources/vault/pipe.md: is a FIFO, not a file",
                "vault", "a.md");
}

#define NUL          "is binary: it holds a NUL byte"
#define NO_MAPPING   "front matter ignored: is no mapping of keys to values"
#define SKIPPED      "[ingest_file_skipped] sources/"
#define FRONT_MATTER "[ingest_front_matter_ignored] sources/"

/* A file that was skipped is met again in all of the source; one that was indexed is unchanged by
 * then, and what is wrong with it is told all the same. */
static void test_what_is_met_in_a_part_and_in_its_source_is_told_once(void **state) {
        struct StoreFixture *f = *state;
        struct Notices notices = { "" };

        write_many(f, "sources/vault/a", 2);
        expect(f, "2 2 0 0 +2 -0");
        take_notices(f, &notices);
        write_bytes(f, "sources/vault/b.md", "\0", 1);
        write_text(f, "sources/vault/c.md", "---\n- x\n---\n");
        write_bytes(f, "sources/drive/d.md", "\0", 1);
        remove_file(f, "sources/vault/a/000.md");
        CHANGES(f,
                "4 1 2 1 +1 -1\n"
                "sources/vault/c.md: " NO_MAPPING "\n"
                "sources/vault/b.md: " NUL "\n"
                "sources/drive/d.md: " NUL,
                "drive", "d.md", "vault", "b.md", "vault", "c.md", "vault", "a");
        assert_string_equal(notices.text,
                FRONT_MATTER "vault/c.md is indexed: " NO_MAPPING "\n" SKIPPED
                             "vault/b.md was not ingested: " NUL "\n" SKIPPED
                             "drive/d.md was not ingested: " NUL "\n");
}

static void test_what_no_program_reads_is_counted_once(void **state) {
        struct StoreFixture *f = *state;

        assert_return_code(setenv("PATH", path_of(f, "bin"), 1), errno);
        write_many(f, "sources/vault", 2);
        expect(f, "2 2 0 0 +2 -0");
        write_text(f, "sources/vault/a.pdf", "one\n");
        remove_file(f, "sources/vault/000.md");
        CHANGES(f,
                "2 0 1 1 +0 -1\n"
                "sources/vault/a.pdf: pdftotext is not installed; install the package "
                "poppler-utils (PDF files that were not read: 1; what was known of them is kept)",
                "vault", "a.pdf", "vault", "000.md");
}

static bool always(void *userdata) {
        (void) userdata;
        return true;
}

static void test_what_was_met_before_it_was_stopped_is_told(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_(changes_clear) struct Changes changes = { 0 };
        _cleanup_ingest_result_ struct IngestResult *result = NULL;
        struct Notices notices = { "" };

        take_notices(f, &notices);
        f->operation.cancelled = always; /* which is asked in directories */
        write_bytes(f, "sources/vault/a.md", "\0", 1);
        write_many(f, "sources/vault/b", 1);
        changes_add(&changes, layout_source_names[0], "a.md", 1);
        changes_add(&changes, layout_source_names[0], "b", 1);
        assert_int_equal(ingest_changes(&f->operation, &changes, &result, &f->failure), -EINTR);
        assert_string_equal(notices.text, SKIPPED "vault/a.md was not ingested: " NUL "\n");
}

static void test_everything_is_all_sources(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_(changes_clear) struct Changes changes = { 0 };
        _cleanup_ingest_result_ struct IngestResult *result = NULL;

        write_many(f, "sources/vault", 2);
        write_many(f, "sources/drive", 2);
        changes_add_everything(&changes, 1);
        assert_success(f, ingest_changes(&f->operation, &changes, &result, &f->failure));
        expect_result(result, "4 4 0 0 +4 -0");
        write_many(f, "sources/vault/a", 2);
        write_many(f, "sources/drive/a", 2);
        CHANGES(f, "4 2 2 0 +2 -0", "vault", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_only_what_changed_is_looked_at),
                TEST(test_what_came_and_went_is_nothing),
                TEST(test_what_is_gone_is_removed),
                TEST(test_what_moved_is_known_where_it_is),
                TEST(test_a_source_that_is_gone_is_not_believed_in_parts_either),
                TEST(test_what_is_no_plain_file_is_met_as_ever),
                TEST(test_what_is_met_in_a_part_and_in_its_source_is_told_once),
                TEST(test_what_no_program_reads_is_counted_once),
                TEST(test_what_was_met_before_it_was_stopped_is_told),
                TEST(test_everything_is_all_sources),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
