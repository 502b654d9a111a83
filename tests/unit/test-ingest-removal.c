/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/ingest.h"

#include <ftw.h>

#include "ingest-fixture.h"
#include "scratch.h"

/* What goes and what stays when files are no longer there, and what a scope is. */

static void test_removed_files_disappear(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "text\n");
        write_text(f, "sources/vault/b.md", "# A\nx\n# B\ny\n");
        write_text(f, "sources/drive/c.txt", "text\n");
        expect(f, "3 3 0 0 +4 -0");
        remove_file(f, "sources/vault/b.md");
        expect(f, "2 0 2 1 +0 -2");
        expect_rows(f, "SELECT path FROM documents ORDER BY path", "a.md\nc.txt\n");
        expect_rows(f, "SELECT count(*) FROM chunks", "2\n");
        expect_sound_index(f);
}

static void test_what_became_no_document_is_removed(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "text\n");
        write_text(f, "sources/vault/b.md", "text\n");
        expect(f, "2 2 0 0 +2 -0");
        write_bytes(f, "sources/vault/b.md", "\0", 1);
        expect(f,
                "2 0 1 1 +0 -1\n"
                "sources/vault/b.md: is binary: it holds a NUL byte");
}

static void test_an_empty_or_missing_source_keeps_its_documents(void **state) {
        struct StoreFixture *f = *state;
        static const char refused[] =
                "; its documents are kept: mount it or bring it back, or run atocore-ingest "
                "--allow-mass-removal if they are to go";
        char expected[512];

        write_many(f, "sources/vault", 3);
        write_text(f, "sources/drive/a.txt", "text\n");
        expect(f, "4 4 0 0 +4 -0");

        remove_file(f, "sources/vault");
        (void) snprintf(expected, sizeof expected, "1 0 1 0 +0 -0\nsources/vault: does not exist%s",
                refused);
        expect(f, expected);

        assert_return_code(mkdir(path_of(f, "sources/vault"), 0755), errno);
        (void) snprintf(expected, sizeof expected,
                "1 0 1 0 +0 -0\nsources/vault: 3 of 3 known documents are not there%s", refused);
        expect(f, expected);
        expect_rows(f, "SELECT count(*) FROM documents", "4\n");

        _cleanup_ingest_result_ struct IngestResult *result = ingest_of(f, NULL, 0, true);
        expect_result(result, "1 0 1 3 +0 -3");
        expect_rows(f, "SELECT path FROM documents", "a.txt\n");
}

static void test_more_than_half_of_many_gone_is_refused(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/a", 60);
        write_many(f, "sources/vault/b", 60);
        write_text(f, "sources/vault/c.md", "text\n");
        expect(f, "121 121 0 0 +121 -0");
        remove_file(f, "sources/vault/a");
        remove_file(f, "sources/vault/c.md");
        _cleanup_ingest_result_ struct IngestResult *result = ingest(f);
        assert_int_equal(result->files_removed, 0);
        assert_int_equal(result->n_errors, 1);
        assert_non_null(strstr(result->errors[0].error, "61 of 121 known documents are not there"));
        /* One more is back: exactly half is not more. */
        write_text(f, "sources/vault/c.md", "text\n");
        expect(f, "61 0 61 60 +0 -60");
}

static void test_a_source_that_is_not_there_yet_is_no_error(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "text\n");
        expect(f, "1 1 0 0 +1 -0");
        remove_file(f, "sources");
        _cleanup_ingest_result_ struct IngestResult *result = ingest(f);
        assert_int_equal(result->n_errors, 2);
}

/* In a child, where nothing may be asserted: as a user whom permissions stop. */
static int ingest_unreadable(void *userdata) {
        static const char *const expected =
                "1 0 0 0 +0 -0\n"
                "sources/vault/a: cannot be opened: Permission denied; what was known of it is "
                "kept\n"
                "sources/vault/b.md: cannot be opened: Permission denied; what was known of it is "
                "kept";
        struct StoreFixture *f = userdata;
        struct IngestResult *result = NULL;

        become_nobody();
        if (ingest_run(&f->operation, NULL, 0, false, &result, &f->failure) < 0)
                return 1;
        return strcmp(result_text(result), expected) == 0 ? 0 : 2;
}

static int give_away(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        return lchown(path, 65534, 65534);
}

static void test_what_cannot_be_read_stays_as_it_was(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a/deep/x.md", "text\n");
        write_text(f, "sources/vault/a/y.md", "text\n");
        write_text(f, "sources/vault/b.md", "text\n");
        expect(f, "3 3 0 0 +3 -0");
        set_time(f, "sources/vault/b.md", OLD + 1);
        if (geteuid() == 0)
                assert_return_code(nftw(f->root, give_away, 16, FTW_PHYS), errno);
        assert_return_code(chmod(path_of(f, "sources/vault/b.md"), 0), errno);
        assert_return_code(chmod(path_of(f, "sources/vault/a"), 0), errno);

        assert_int_equal(child_ask(ingest_unreadable, f), 0);
        assert_return_code(chmod(path_of(f, "sources/vault/a"), 0755), errno);
        expect_rows(f, "SELECT count(*) FROM documents", "3\n");
}

static struct IngestRoot root_at(const char *source, const char *subpath) {
        return (struct IngestRoot){ (char *) source, (char *) subpath, NULL };
}

static void test_a_project_is_its_roots_and_nothing_else(void **state) {
        struct StoreFixture *f = *state;
        struct IngestRoot roots[] = { root_at("vault", "p/a"), root_at("vault", "p/a/deep"),
                root_at("drive", "one.txt"), root_at("vault", "p/a") };
        const struct Project project = { .id = (char *) "p", .roots = roots, .n_roots = 4 };
        const struct Project *const projects[] = { &project, &project };

        write_text(f, "sources/vault/p/a/x.md", "text\n");
        write_text(f, "sources/vault/p/a/deep/y.md", "text\n");
        write_text(f, "sources/vault/p/a.md", "text\n");
        write_text(f, "sources/vault/p/a2/z.md", "text\n");
        write_text(f, "sources/drive/one.txt", "text\n");
        write_text(f, "sources/drive/two.txt", "text\n");
        _cleanup_ingest_result_ struct IngestResult *first = ingest_of(f, projects, 2, false);
        expect_result(first, "3 3 0 0 +3 -0");
        expect_rows(f, "SELECT path FROM documents ORDER BY path",
                "one.txt\np/a/deep/y.md\np/a/x.md\n");

        expect(f, "6 3 3 0 +3 -0");
        remove_file(f, "sources/vault/p/a/x.md");
        remove_file(f, "sources/vault/p/a2/z.md");
        _cleanup_ingest_result_ struct IngestResult *second = ingest_of(f, projects, 1, false);
        expect_result(second, "2 0 2 1 +0 -1");
        expect_rows(f, "SELECT path FROM documents ORDER BY path",
                "one.txt\np/a.md\np/a/deep/y.md\np/a2/z.md\ntwo.txt\n");
}

static void test_a_missing_root_of_a_project_is_told(void **state) {
        struct StoreFixture *f = *state;
        struct IngestRoot roots[] = { root_at("vault", "gone"), root_at("vault", "here/.x"),
                root_at("vault", "link") };
        const struct Project project = { .id = (char *) "p", .roots = roots, .n_roots = 3 };
        const struct Project *const projects[] = { &project };

        write_text(f, "sources/vault/a.md", "text\n");
        assert_return_code(symlink(".", path_of(f, "sources/vault/link")), errno);
        _cleanup_ingest_result_ struct IngestResult *result = ingest_of(f, projects, 1, false);
        expect_result(result,
                "0 0 0 0 +0 -0\n"
                "sources/vault/gone: does not exist\n"
                "sources/vault/here/.x: is hidden: a part of its path begins with a dot\n"
                "sources/vault/link: is no directory or file (links are not followed)");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_removed_files_disappear),
                TEST(test_what_became_no_document_is_removed),
                TEST(test_an_empty_or_missing_source_keeps_its_documents),
                TEST(test_more_than_half_of_many_gone_is_refused),
                TEST(test_a_source_that_is_not_there_yet_is_no_error),
                TEST(test_what_cannot_be_read_stays_as_it_was),
                TEST(test_a_project_is_its_roots_and_nothing_else),
                TEST(test_a_missing_root_of_a_project_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
