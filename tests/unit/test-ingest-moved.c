/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/stat.h>

#include "ingest-fixture.h"

/* What is gone from its path and there under another is no source that seems to be gone. */

#define REFUSED                                                                                    \
        "; its documents are kept: mount it or bring it back, or run atocore-ingest "              \
        "--allow-mass-removal if they are to go"
#define REFUSALS "SELECT key, value FROM state WHERE key LIKE 'removal_refused%' ORDER BY key"

static void move(struct StoreFixture *f, const char *from, const char *to) {
        _cleanup_free_ char *path = strdup(path_of(f, from));

        assert_non_null(path);
        assert_return_code(rename(path, path_of(f, to)), errno);
}

static void expect_parts(
        struct StoreFixture *f, const char *one, const char *other, const char *expected) {
        _cleanup_(changes_clear) struct Changes changes = { 0 };
        _cleanup_ingest_result_ struct IngestResult *result = NULL;

        changes_add(&changes, layout_source_names[0], one, 1);
        if (other)
                changes_add(&changes, layout_source_names[0], other, 1);
        assert_string_equal(layout_source_names[0], "vault");
        assert_success(f, ingest_changes(&f->operation, &changes, &result, &f->failure));
        expect_result(result, expected);
}

static void expect_of(struct StoreFixture *f, const struct Project *project, const char *expected) {
        _cleanup_ingest_result_ struct IngestResult *result = ingest_of(f, &project, 1, false);

        expect_result(result, expected);
}

static void test_the_only_directory_may_be_renamed(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/Notes", 120);
        expect(f, "120 120 0 0 +120 -0");
        move(f, "sources/vault/Notes", "sources/vault/Archive");
        expect(f, "120 120 0 120 +120 -120");
        expect_rows(f, "SELECT count(*) FROM documents WHERE path LIKE 'Archive/%'", "120\n");
        expect_rows(f, "SELECT count(*) FROM documents", "120\n");
        expect_rows(f, REFUSALS, "");
        expect_sound_index(f);
}

static void test_nearly_all_of_a_source_may_move(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/Notes", 101);
        write_many(f, "sources/vault/stays", 4);
        write_text(f, "sources/vault/goes.md", "goes");
        expect(f, "106 106 0 0 +106 -0");
        move(f, "sources/vault/Notes", "sources/vault/Archive");
        remove_file(f, "sources/vault/goes.md");
        expect(f, "105 101 4 102 +101 -102");
}

static void test_what_is_really_gone_is_refused_without_what_moved(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/moves", 60);
        for (int i = 0; i < 130; i++) {
                char name[64];

                (void) snprintf(name, sizeof name, "sources/vault/gone/%03d.md", i);
                write_text(f, name, name);
        }
        write_text(f, "sources/vault/stays.md", "stays");
        expect(f, "191 191 0 0 +191 -0");
        move(f, "sources/vault/moves", "sources/vault/moved");
        remove_file(f, "sources/vault/gone");
        expect(f,
                "61 60 1 60 +60 -60\n"
                "sources/vault: 130 of 191 known documents are not there" REFUSED);
        expect_rows(f, "SELECT substr(path, 1, 4), count(*) FROM documents GROUP BY 1",
                "gone|130\nmove|60\nstay|1\n");
        expect_rows(f, "SELECT count(*) FROM documents WHERE path LIKE 'moves/%'", "0\n");
}

static void test_another_disk_in_its_place_is_refused(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/Notes", 120);
        expect(f, "120 120 0 0 +120 -0");
        remove_file(f, "sources/vault/Notes");
        for (int i = 0; i < 120; i++) {
                char name[64];

                (void) snprintf(name, sizeof name, "sources/vault/Other/%03d.md", i);
                write_text(f, name, name);
        }
        expect(f,
                "120 120 0 0 +120 -0\n"
                "sources/vault: 120 of 120 known documents are not there" REFUSED);
        expect_rows(f, "SELECT count(*) FROM documents WHERE path LIKE 'Notes/%'", "120\n");
}

static void test_one_file_is_no_hundred_documents(void **state) {
        struct StoreFixture *f = *state;

        for (int i = 0; i < 120; i++) {
                char name[64];

                (void) snprintf(name, sizeof name, "sources/vault/Notes/%03d.md", i);
                write_text(f, name, "to be written\n");
        }
        expect(f, "120 120 0 0 +120 -0");
        remove_file(f, "sources/vault/Notes");
        write_text(f, "sources/vault/one.md", "to be written\n");
        expect(f,
                "1 1 0 1 +1 -1\n"
                "sources/vault: 119 of 120 known documents are not there" REFUSED);
}

/* It is there, but not because anything moved: a disk may be missing all the same. */
static void test_a_copy_that_was_there_before_is_no_move(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/copy", 60);
        write_many(f, "sources/vault/disk", 100);
        expect(f, "160 160 0 0 +160 -0");
        remove_file(f, "sources/vault/disk");
        expect(f,
                "60 0 60 0 +0 -0\n"
                "sources/vault: 100 of 160 known documents are not there" REFUSED);
}

static void test_what_moved_over_another_is_moved(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "one");
        write_many(f, "sources/vault/b", 119);
        expect(f, "120 120 0 0 +120 -0");
        move(f, "sources/vault/b/000.md", "sources/vault/a.md");
        move(f, "sources/vault/b", "sources/vault/c");
        expect(f, "119 119 0 119 +119 -120");
}

static void test_a_project_may_move_within_its_roots(void **state) {
        struct StoreFixture *f = *state;
        struct IngestRoot roots[] = { { (char *) "vault", (char *) "p/a", NULL },
                { (char *) "vault", (char *) "p/b", NULL } };
        const struct Project project = { .id = (char *) "p", .roots = roots, .n_roots = 2 };

        write_many(f, "sources/vault/p/a/x", 3);
        write_text(f, "sources/vault/p/b/stays.md", "stays");
        expect_of(f, &project, "4 4 0 0 +4 -0");
        move(f, "sources/vault/p/a/x", "sources/vault/p/a/y");
        expect_of(f, &project, "4 3 1 3 +3 -3");
        move(f, "sources/vault/p/a/y", "sources/vault/p/b/y");
        expect_of(f, &project, "4 3 1 3 +3 -3");
        move(f, "sources/vault/p/b/y", "sources/vault/p/a/y");
        remove_file(f, "sources/vault/p/b");
        remove_file(f, "sources/vault/p/a/y/000.md");
        expect_of(f, &project,
                "2 2 0 2 +2 -2\n"
                "sources/vault/p/b: does not exist" REFUSED);
        expect_rows(f, "SELECT path FROM documents ORDER BY path",
                "p/a/y/001.md\np/a/y/002.md\np/b/stays.md\np/b/y/000.md\n");
}

/* A project whose root moved away is told, and has no ghosts. */
static void test_a_root_that_moved_is_missing_and_not_kept(void **state) {
        struct StoreFixture *f = *state;
        struct IngestRoot roots[] = { { (char *) "vault", (char *) "a", NULL },
                { (char *) "vault", (char *) "b", NULL } };
        const struct Project project = { .id = (char *) "p", .roots = roots, .n_roots = 2 };

        write_many(f, "sources/vault/a", 3);
        expect_of(f, &project,
                "3 3 0 0 +3 -0\n"
                "sources/vault/b: does not exist");
        move(f, "sources/vault/a", "sources/vault/b");
        expect_of(f, &project,
                "3 3 0 3 +3 -3\n"
                "sources/vault/a: does not exist");
        expect_rows(f, REFUSALS, "");
}

static void test_parts_that_moved_in_either_order(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/a", 120);
        expect(f, "120 120 0 0 +120 -0");
        move(f, "sources/vault/a", "sources/vault/b");
        expect_parts(f, "a", "b", "120 120 0 120 +120 -120");
        move(f, "sources/vault/b", "sources/vault/a");
        /* Read as a part, and looked at once more with all of the source. */
        expect_parts(f, "a", "b", "120 120 120 120 +120 -120");
        move(f, "sources/vault/a", "sources/vault/b");
        expect_parts(f, "b", NULL, "120 120 0 0 +120 -0");
        expect_parts(f, "a", NULL, "120 0 120 120 +0 -120");
}

static void test_what_is_read_as_a_part_and_moved_counts_with_what_is_gone(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/a", 120);
        write_text(f, "sources/vault/b.md", "goes");
        expect(f, "121 121 0 0 +121 -0");
        move(f, "sources/vault/a", "sources/vault/c");
        remove_file(f, "sources/vault/b.md");
        expect_parts(f, "c", "a", "120 120 120 121 +120 -121");
}

static void test_what_went_and_came_back_elsewhere_is_known_there_only(void **state) {
        struct StoreFixture *f = *state;

        write_many(f, "sources/vault/a", 120);
        expect(f, "120 120 0 0 +120 -0");
        move(f, "sources/vault/a", "away");
        expect_parts(f, "a", NULL,
                "0 0 0 0 +0 -0\n"
                "sources/vault: 120 of 120 known documents are not there" REFUSED);
        expect_rows(f, REFUSALS,
                "removal_refused/vault|sources/vault seems to be gone: 120 of 120 known documents "
                "are not there" REFUSED "\n");
        move(f, "away", "sources/vault/b");
        expect_parts(f, "b", NULL, "120 120 0 120 +120 -120");
        expect_rows(f, REFUSALS, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_the_only_directory_may_be_renamed),
                TEST(test_nearly_all_of_a_source_may_move),
                TEST(test_what_is_really_gone_is_refused_without_what_moved),
                TEST(test_another_disk_in_its_place_is_refused),
                TEST(test_one_file_is_no_hundred_documents),
                TEST(test_a_copy_that_was_there_before_is_no_move),
                TEST(test_what_moved_over_another_is_moved),
                TEST(test_a_project_may_move_within_its_roots),
                TEST(test_a_root_that_moved_is_missing_and_not_kept),
                TEST(test_parts_that_moved_in_either_order),
                TEST(test_what_is_read_as_a_part_and_moved_counts_with_what_is_gone),
                TEST(test_what_went_and_came_back_elsewhere_is_known_there_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
