/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <sys/stat.h>

#include "lib/backup/tree-copy.h"
#include "tests/unit/backup-fixture.h"

#define DIGEST_OF_ONE   "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
#define DIGEST_OF_OTHER "0692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"

/* scratch("from"): tree/a/one holds "one", tree/two is empty. */
static struct TreeCopy source(struct Fixture *f) {
        MUST(make_directories(scratch_directory, scratch("from/tree/a")) == 0);
        MUST(make_directories(scratch_directory, scratch("to")) == 0);
        scratch_write(scratch("from/tree/a/one"), "one", 3);
        scratch_write(scratch("from/tree/two"), "", 0);
        return (struct TreeCopy){ .operation = &f->operation, .source = scratch("from") };
}

static struct Manifest *sums(const char *digest_of_one) {
        struct Manifest *manifest = manifest_new();

        MUST(manifest && manifest_add(manifest, "tree/a/one", digest_of_one) == 0);
        MUST(manifest_add(manifest, "tree/two",
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") == 0);
        manifest_sort(manifest);
        return manifest;
}

static int copy(struct TreeCopy *tree, struct Fixture *f) {
        return tree_copy(tree, "tree", scratch("to/tree"), scratch("like"), &f->failure);
}

static void assert_not_sealed(struct Fixture *f, struct TreeCopy *tree, const char *at_fault) {
        assert_int_equal(copy(tree, f), -EBADMSG);
        assert_int_equal(f->failure.event, EVENT_SNAPSHOT_INVALID);
        assert_string_equal(f->failure.path, at_fault);
}

static void test_all_of_it_is_copied_and_counted(void **state) {
        struct Fixture *f = *state;
        _cleanup_manifest_ struct Manifest *manifest = sums(DIGEST_OF_ONE);
        struct TreeCopy tree = source(f);
        _cleanup_free_ char *text = NULL;

        tree.manifest = manifest;
        assert_success(f, copy(&tree, f));
        text = scratch_read(scratch("to/tree/a/one"), NULL);
        assert_string_equal(text, "one");
        assert_true(scratch_exists(scratch("to/tree/two")));
        assert_int_equal(tree.done, 3);
        assert_int_equal(tree_size(scratch("from/tree")), 3);
        assert_int_equal(tree_size(scratch("none")), 0);
}

static void test_a_sum_that_does_not_come_out_is_found(void **state) {
        struct Fixture *f = *state;
        _cleanup_manifest_ struct Manifest *manifest = sums(DIGEST_OF_OTHER);
        struct TreeCopy tree = source(f);

        tree.manifest = manifest;
        assert_not_sealed(f, &tree, scratch("from/tree/a/one"));
}

static void test_what_is_not_listed_is_found(void **state) {
        struct Fixture *f = *state;
        _cleanup_manifest_ struct Manifest *manifest = sums(DIGEST_OF_ONE);
        struct TreeCopy tree = source(f);

        tree.manifest = manifest;
        scratch_write(scratch("from/tree/a/three"), "3", 1);
        assert_not_sealed(f, &tree, scratch("from/tree/a/three"));
}

static void test_what_is_listed_and_not_there_is_found(void **state) {
        struct Fixture *f = *state;
        _cleanup_manifest_ struct Manifest *manifest = sums(DIGEST_OF_ONE);
        struct TreeCopy tree = source(f);

        tree.manifest = manifest;
        MUST(unlink(scratch("from/tree/two")) == 0);
        assert_not_sealed(f, &tree, scratch("from/tree/two"));
}

static void test_only_a_raw_copy_has_links(void **state) {
        struct Fixture *f = *state;
        _cleanup_manifest_ struct Manifest *manifest = sums(DIGEST_OF_ONE);
        struct TreeCopy tree = source(f);
        struct stat st;

        MUST(symlink("a/one", scratch("from/tree/link")) == 0);
        tree.manifest = manifest;
        assert_not_sealed(f, &tree, scratch("from/tree/link"));
        fixture_forget(f);
        MUST(remove_tree_at(AT_FDCWD, scratch("to/tree")) == 0);
        tree.links = true;
        assert_success(f, copy(&tree, f));
        assert_int_equal(lstat(scratch("to/tree/link"), &st), 0);
        assert_true(S_ISLNK(st.st_mode));
}

static void test_what_is_no_file_is_left_out_and_told(void **state) {
        struct Fixture *f = *state;
        struct TreeCopy tree = source(f);

        MUST(mkfifo(scratch("from/tree/pipe"), 0600) == 0);
        tree.links = true;
        assert_success(f, copy(&tree, f));
        assert_int_equal(fixture_count(f, EVENT_RESTORE_WARNING), 1);
        assert_false(scratch_exists(scratch("to/tree/pipe")));
}

static mode_t mode_of(const char *path) {
        struct stat st;

        MUST(lstat(path, &st) == 0);
        return st.st_mode & 07777;
}

static void test_modes_are_those_of_what_has_the_same_place(void **state) {
        struct Fixture *f = *state;
        struct TreeCopy tree = source(f);

        MUST(make_directories(scratch_directory, scratch("like/a")) == 0);
        scratch_write(scratch("like/a/one"), "", 0);
        MUST(mkdir(scratch("like/two"), 0777) == 0); /* no file: it says nothing */
        MUST(chmod(scratch("like"), 0700) == 0 && chmod(scratch("like/a"), 0711) == 0);
        MUST(chmod(scratch("like/a/one"), 0604) == 0);
        for (int i = 0; i < 2; i++) {
                if (i == 0)
                        assert_success(f, copy(&tree, f));
                else
                        assert_success(f,
                                tree_adopt(&f->operation, scratch("to/tree"), scratch("like"),
                                        &f->failure));
                assert_int_equal(mode_of(scratch("to/tree")), 0700);
                assert_int_equal(mode_of(scratch("to/tree/a")), 0711);
                assert_int_equal(mode_of(scratch("to/tree/a/one")), 0604);
                assert_int_equal(mode_of(scratch("to/tree/two")), FILE_MODE);
                MUST(chmod(scratch("to/tree"), 0755) == 0);
                MUST(chmod(scratch("to/tree/a/one"), 0600) == 0);
        }
}

static void test_nothing_is_replaced(void **state) {
        struct Fixture *f = *state;
        struct TreeCopy tree = source(f);

        scratch_write(scratch("to/tree"), "precious", 8);
        assert_true(copy(&tree, f) < 0);
        assert_int_equal(f->failure.event, EVENT_WRITE_FAILED);
        assert_int_equal(tree_size(scratch("to/tree")), 8);
}

static void test_it_stops_when_asked_to(void **state) {
        struct Fixture *f = *state;
        struct TreeCopy tree = source(f);

        f->stop_at = 2;
        assert_int_equal(copy(&tree, f), -EINTR);
        assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
                TEST(test_all_of_it_is_copied_and_counted),
                TEST(test_a_sum_that_does_not_come_out_is_found),
                TEST(test_what_is_not_listed_is_found),
                TEST(test_what_is_listed_and_not_there_is_found),
                TEST(test_only_a_raw_copy_has_links),
                TEST(test_what_is_no_file_is_left_out_and_told),
                TEST(test_modes_are_those_of_what_has_the_same_place),
                TEST(test_nothing_is_replaced),
                TEST(test_it_stops_when_asked_to),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
