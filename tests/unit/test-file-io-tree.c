/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/file-io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/scratch.h"

/* Directories. */

static void test_directories_are_synced_and_nothing_else(void **state) {
        _cleanup_close_ int fd = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void) state;
        scratch_write(scratch("file"), "", 0);
        assert_int_equal(mkdir(scratch("sub"), 0700), 0);
        assert_int_equal(sync_directory_at(fd, "."), 0);
        assert_int_equal(sync_directory_at(fd, "sub"), 0);
        assert_int_equal(sync_directory_at(AT_FDCWD, scratch("sub")), 0);
        assert_int_equal(sync_directory_at(fd, "file"), -ENOTDIR);
        assert_int_equal(sync_directory_at(fd, "none"), -ENOENT);
}

static void test_existing_directories_are_fine_other_things_are_not(void **state) {
        (void) state;
        scratch_write(scratch("file"), "", 0);
        assert_int_equal(symlink("directory", scratch("link")), 0);
        assert_int_equal(make_directory_at(AT_FDCWD, scratch("directory")), 0);
        assert_int_equal(make_directory_at(AT_FDCWD, scratch("directory")), 0);
        assert_int_equal(make_directory_at(AT_FDCWD, scratch("link")), 0);
        assert_int_equal(make_directory_at(AT_FDCWD, scratch("file")), -ENOTDIR);
        assert_int_equal(make_directory_at(AT_FDCWD, scratch("none/x")), -ENOENT);
        assert_int_equal(make_directories(scratch_directory, scratch("file/x/y")), -ENOTDIR);
}

static void test_directories_are_made_below_their_base_only(void **state) {
        (void) state;
        assert_int_equal(make_directory_at(AT_FDCWD, scratch("base")), 0);
        assert_int_equal(make_directories(scratch("base"), scratch("base/a/b/c")), 0);
        assert_int_equal(make_directories(scratch("base/"), scratch("base//a/b/d/")), 0);
        assert_true(scratch_exists(scratch("base/a/b/c")));
        assert_true(scratch_exists(scratch("base/a/b/d")));
        assert_int_equal(make_directories(scratch("base"), scratch("base")), 0);
        assert_int_equal(make_directories("/", scratch("base/e")), 0);
        assert_true(scratch_exists(scratch("base/e")));

        assert_int_equal(make_directories(scratch("base"), scratch("base2/a")), -EINVAL);
        assert_int_equal(make_directories(scratch("base"), scratch("other")), -EINVAL);
        assert_false(scratch_exists(scratch("base2")));
        /* A base that is missing could be a mount that is not there: it is not made. */
        assert_int_equal(make_directories(scratch("unmounted"), scratch("unmounted/a/b")), -ENOENT);
        assert_false(scratch_exists(scratch("unmounted")));
}

static void make_socket(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        MUST(strlen(path) < sizeof address.sun_path);
        strcpy(address.sun_path, path);
        MUST(fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof address) >= 0);
        (void) close(fd);
}

static void test_tree_is_removed_with_all_that_can_be_in_it(void **state) {
        _cleanup_close_ int fd = -1;

        (void) state;
        assert_int_equal(make_directories(scratch_directory, scratch("tree/a/b")), 0);
        assert_int_equal(make_directories(scratch_directory, scratch("tree/...")), 0);
        scratch_write(scratch("tree/a/new\nline \xff"), "x", 1);
        scratch_write(scratch("tree/.hidden"), "x", 1);
        scratch_write(scratch("tree/read-only"), "x", 1);
        assert_int_equal(chmod(scratch("tree/read-only"), 0400), 0);
        assert_int_equal(mkfifo(scratch("tree/a/pipe"), 0600), 0);
        make_socket(scratch("tree/a/socket"));
        assert_int_equal(symlink("loop", scratch("tree/loop")), 0);
        fd = open(scratch("tree/a/b"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (unsigned i = 0; i < 3000; i++) {
                char name[16];
                (void) snprintf(name, sizeof name, "%u", i);
                assert_int_equal(mknodat(fd, name, S_IFREG | 0600, 0), 0);
        }
        assert_int_equal(remove_tree_at(AT_FDCWD, scratch("tree")), 0);
        assert_int_equal(scratch_entries(scratch_directory), 0);
        assert_int_equal(remove_tree_at(AT_FDCWD, scratch("tree")), 0);
        scratch_write(scratch("file"), "x", 1);
        assert_int_equal(remove_tree_at(AT_FDCWD, scratch("file")), 0);
        assert_int_equal(scratch_entries(scratch_directory), 0);
}

static void test_removal_follows_no_link(void **state) {
        (void) state;
        assert_int_equal(make_directories(scratch_directory, scratch("kept/sub")), 0);
        scratch_write(scratch("kept/sub/file"), "x", 1);
        assert_int_equal(mkdir(scratch("tree"), 0700), 0);
        assert_int_equal(symlink(scratch("kept"), scratch("tree/link")), 0);
        assert_int_equal(symlink("tree", scratch("link")), 0);
        assert_int_equal(remove_tree_at(AT_FDCWD, scratch("link")), 0);
        assert_true(scratch_exists(scratch("tree/link")));
        assert_int_equal(remove_tree_at(AT_FDCWD, scratch("tree")), 0);
        assert_file_is(scratch("kept/sub/file"), "x", 1);
        assert_int_equal(scratch_entries(scratch_directory), 1);
}

static void test_removal_stays_on_its_file_system(void **state) {
        (void) state;
        if (!scratch_mount("64k"))
                skip();
        scratch_write(scratch("mount/file"), "x", 1);
        assert_int_equal(remove_tree_at(AT_FDCWD, scratch_directory), -EXDEV);
        assert_file_is(scratch("mount/file"), "x", 1);
}

/* Deeper than any path can name, with no more descriptors than a process usually has. */
static void test_deep_tree_is_removed(void **state) {
        int fd = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct rlimit before, limit;
        int r;

        (void) state;
        for (unsigned i = 0; i < 900; i++) {
                int next;
                assert_int_equal(mkdirat(fd, "level", 0700), 0);
                next = openat(fd, "level", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                (void) close(fd);
                fd = next;
        }
        (void) close(fd);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = before;
        limit.rlim_cur = 1024;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        r = remove_tree_at(AT_FDCWD, scratch("level"));
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(r, 0);
        assert_int_equal(scratch_entries(scratch_directory), 0);
}

static int remove_as_nobody(void *userdata) {
        become_nobody();
        return -remove_tree_at(AT_FDCWD, userdata);
}

static void test_removal_without_permission_is_reported(void **state) {
        const char *path = scratch("tree");

        (void) state;
        assert_int_equal(make_directories(scratch_directory, scratch("tree/sub")), 0);
        scratch_write(scratch("tree/sub/file"), "x", 1);
        assert_int_equal(chmod(scratch_directory, 0755), 0);
        assert_int_equal(chmod(scratch("tree"), 0755), 0);
        assert_int_equal(chmod(scratch("tree/sub"), 0555), 0);
        assert_int_equal(child_ask(remove_as_nobody, (void *) path), EACCES);
        assert_int_equal(chmod(scratch("tree/sub"), 0755), 0);
        assert_file_is(scratch("tree/sub/file"), "x", 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_directories_are_synced_and_nothing_else,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_existing_directories_are_fine_other_things_are_not, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(test_directories_are_made_below_their_base_only,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_tree_is_removed_with_all_that_can_be_in_it,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_removal_follows_no_link, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_removal_stays_on_its_file_system, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_deep_tree_is_removed, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_removal_without_permission_is_reported,
                        scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
