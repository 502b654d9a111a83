/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/file-replace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"

static struct FileText read_it(const char *path) {
        struct FileText read = { 0 };

        MUST(file_text_read(path, 1000, &read) == 0);
        return read;
}

static int replace(const struct FileText *read, const char *path, const char *text) {
        bool kept = false;
        int r = file_text_replace(read, path, text, strlen(text), &kept);

        if (r == 0)
                assert_true(kept);
        return r;
}

static void assert_holds(const char *path, const char *expected) {
        _cleanup_free_ char *text = scratch_read(path, NULL);

        assert_non_null(text);
        assert_string_equal(text, expected);
}

static void test_file_is_replaced_and_keeps_its_mode(void **state) {
        struct stat st;

        (void) state;
        scratch_write(scratch("a"), "old", 3);
        MUST(chmod(scratch("a"), 0604) == 0);
        _cleanup_file_text_ struct FileText read = read_it(scratch("a"));
        assert_string_equal(read.text, "old");
        assert_int_equal(replace(&read, scratch("a"), "new"), 0);
        assert_holds(scratch("a"), "new");
        MUST(stat(scratch("a"), &st) == 0);
        assert_int_equal(st.st_mode & 07777, 0604);
        assert_int_equal(scratch_entries(scratch_directory), 1);
}

static void test_file_keeps_its_owner_where_that_is_ours_to_give(void **state) {
        struct stat st;

        (void) state;
        if (geteuid() != 0)
                skip();
        scratch_write(scratch("a"), "old", 3);
        MUST(chown(scratch("a"), 1234, 2345) == 0);
        _cleanup_file_text_ struct FileText read = read_it(scratch("a"));
        assert_int_equal(replace(&read, scratch("a"), "new"), 0);
        MUST(stat(scratch("a"), &st) == 0);
        assert_int_equal(st.st_uid, 1234);
        assert_int_equal(st.st_gid, 2345);
}

/* In a child. */
static int replace_as_nobody(void *userdata) {
        _cleanup_file_text_ struct FileText read = { 0 };
        bool kept = true;

        (void) userdata;
        become_nobody();
        if (file_text_read(scratch("a"), 1000, &read) < 0 ||
                file_text_replace(&read, scratch("a"), "new", 3, &kept) < 0)
                return 2;
        return kept;
}

static void test_owner_that_cannot_be_kept_is_told(void **state) {
        (void) state;
        if (geteuid() != 0)
                skip();
        scratch_write(scratch("a"), "old", 3);
        MUST(chmod(scratch("a"), 0644) == 0 && chmod(scratch_directory, 0777) == 0);
        assert_int_equal(child_ask(replace_as_nobody, NULL), 0);
        assert_holds(scratch("a"), "new");
}

static void test_what_somebody_changed_since_is_left_alone(void **state) {
        (void) state;
        scratch_write(scratch("a"), "old", 3);
        _cleanup_file_text_ struct FileText read = read_it(scratch("a"));

        scratch_write(scratch("a"), "oLd", 3); /* of the same size */
        assert_int_equal(replace(&read, scratch("a"), "new"), -ESTALE);
        assert_holds(scratch("a"), "oLd");
        scratch_write(scratch("a"), "older", 5);
        assert_int_equal(replace(&read, scratch("a"), "new"), -ESTALE);
        assert_holds(scratch("a"), "older");

        MUST(unlink(scratch("a")) == 0);
        assert_int_equal(replace(&read, scratch("a"), "new"), -ESTALE);
        MUST(mkdir(scratch("a"), 0755) == 0);
        assert_int_equal(replace(&read, scratch("a"), "new"), -ESTALE);
        MUST(rmdir(scratch("a")) == 0 && symlink("b", scratch("a")) == 0);
        assert_int_equal(replace(&read, scratch("a"), "new"), -ESTALE);
        assert_int_equal(scratch_entries(scratch_directory), 1);
}

static void test_absence_is_replaced_as_long_as_it_lasts(void **state) {
        (void) state;
        _cleanup_file_text_ struct FileText read = read_it(scratch("a"));
        assert_null(read.text);
        assert_int_equal(replace(&read, scratch("a"), "new"), 0);
        assert_holds(scratch("a"), "new");
        assert_int_equal(replace(&read, scratch("a"), "newer"), -ESTALE);
        assert_holds(scratch("a"), "new");
}

static void test_copy_is_as_the_file_was(void **state) {
        struct stat st;
        bool kept = false;

        (void) state;
        scratch_write(scratch("a"), "old", 3);
        scratch_write(scratch("b"), "in its place", 12);
        MUST(chmod(scratch("a"), 0604) == 0);
        _cleanup_file_text_ struct FileText read = read_it(scratch("a"));
        assert_int_equal(file_text_copy(&read, scratch("b"), &kept), 0);
        assert_true(kept);
        assert_holds(scratch("b"), "old");
        MUST(stat(scratch("b"), &st) == 0);
        assert_int_equal(st.st_mode & 07777, 0604);
}

static void test_link_is_not_followed(void **state) {
        struct FileText read = { 0 };

        (void) state;
        scratch_write(scratch("a"), "old", 3);
        MUST(symlink("a", scratch("link")) == 0);
        assert_int_equal(file_text_read(scratch("link"), 1000, &read), -ELOOP);
        assert_int_equal(file_text_read(scratch("a"), 2, &read), -EFBIG);
        assert_null(read.text);
}

static void test_full_or_read_only_file_system_leaves_the_old_one(void **state) {
        _cleanup_free_ char *large = calloc(1, 200000);
        bool kept;

        (void) state;
        if (!scratch_mount("64k"))
                skip();
        const char *path = scratch("mount/a");
        scratch_write(path, "old", 3);
        _cleanup_file_text_ struct FileText read = read_it(path);
        assert_int_equal(file_text_replace(&read, path, large, 200000, &kept), -ENOSPC);
        assert_holds(path, "old");
        assert_int_equal(scratch_entries(scratch("mount")), 1);

        scratch_make_read_only();
        assert_int_equal(replace(&read, path, "new"), -EROFS);
        assert_holds(path, "old");
}

#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                SCRATCH(test_file_is_replaced_and_keeps_its_mode),
                SCRATCH(test_file_keeps_its_owner_where_that_is_ours_to_give),
                SCRATCH(test_owner_that_cannot_be_kept_is_told),
                SCRATCH(test_what_somebody_changed_since_is_left_alone),
                SCRATCH(test_absence_is_replaced_as_long_as_it_lasts),
                SCRATCH(test_copy_is_as_the_file_was),
                SCRATCH(test_link_is_not_followed),
                SCRATCH(test_full_or_read_only_file_system_leaves_the_old_one),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
