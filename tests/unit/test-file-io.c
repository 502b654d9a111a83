/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/file-io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "tests/unit/scratch.h"

#define MIB ((size_t) 1 << 20)

static void *pattern(size_t size) {
        unsigned char *data = malloc(size + 1);
        uint32_t x = 2463534242;

        MUST(data);
        for (size_t i = 0; i < size; i++) {
                x ^= x << 13, x ^= x >> 17, x ^= x << 5; /* xorshift: no period that pages have */
                data[i] = (unsigned char) x;
        }
        return data;
}

static void assert_file_is(const char *path, const void *data, size_t size) {
        size_t found_size = 0;
        _cleanup_free_ char *found = scratch_read(path, &found_size);

        assert_non_null(found);
        assert_int_equal(found_size, size);
        assert_memory_equal(found, data, size);
}

static void assert_mode_is(const char *path, mode_t mode) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, mode);
}

/* Writing. */

static void on_alarm(int signal) {
        (void) signal;
}

static void read_slowly(int ready, void *userdata) {
        const int *fds = userdata;
        _cleanup_digest_ struct Digest *digest = NULL;
        char hex[DIGEST_HEX_SIZE], buffer[777];
        ssize_t n;

        (void) close(fds[1]);
        MUST(digest_new(&digest) >= 0);
        child_ready(ready);
        while ((n = read(fds[0], buffer, sizeof buffer)) > 0)
                MUST(digest_update(digest, buffer, (size_t) n) >= 0);
        MUST(n == 0 && digest_finish(digest, hex) >= 0);
        MUST(write(ready, hex, sizeof hex) == (ssize_t) sizeof hex);
}

static void test_signals_and_short_counts_lose_no_byte(void **state) {
        const struct sigaction action = { .sa_handler = on_alarm }; /* no SA_RESTART */
        const struct itimerval soon = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
        _cleanup_free_ char *data = pattern(4 * MIB);
        char expected[DIGEST_HEX_SIZE], found[DIGEST_HEX_SIZE] = "";
        struct sigaction before;
        struct Child reader;
        int fds[2], r;

        (void) state;
        assert_int_equal(digest_buffer(data, 4 * MIB, expected), 0);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        reader = child_start(read_slowly, fds);
        (void) close(fds[0]);
        assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
        r = write_all(fds[1], data, 4 * MIB);
        (void) setitimer(ITIMER_REAL, &never, NULL);
        (void) sigaction(SIGALRM, &before, NULL);
        (void) close(fds[1]);
        assert_int_equal(r, 0);
        assert_int_equal(read(reader.ready, found, sizeof found), sizeof found);
        assert_int_equal(child_wait(&reader), 0);
        assert_string_equal(found, expected);
}

static void test_full_device_is_reported(void **state) {
        _cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, "x", 1), -ENOSPC);
        assert_int_equal(write_all(fd, "", 0), 0);
}

static void test_new_file_is_whole_or_absent(void **state) {
        _cleanup_free_ char *data = pattern(MIB);
        int r;

        (void) state;
        limit_file_size(MIB / 2);
        r = write_new_file_at(AT_FDCWD, scratch("limited"), data, MIB);
        limit_file_size(UINT64_MAX);
        assert_int_equal(r, -EFBIG);
        assert_false(scratch_exists(scratch("limited")));

        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("none/x"), "x", 1), -ENOENT);
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("whole"), data, MIB), 0);
        assert_file_is(scratch("whole"), data, MIB);
        assert_int_equal(scratch_entries(scratch_directory), 1);

        if (!scratch_mount("64k"))
                return;
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("mount/x"), data, MIB), -ENOSPC);
        assert_int_equal(scratch_entries(scratch("mount")), 0);
        scratch_make_read_only();
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("mount/x"), "x", 1), -EROFS);
}

static void test_new_file_replaces_nothing_and_follows_no_link(void **state) {
        (void) state;
        scratch_write(scratch("old"), "old", 3);
        assert_int_equal(mkdir(scratch("directory"), 0700), 0);
        assert_int_equal(symlink(scratch("elsewhere"), scratch("link")), 0);
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("old"), "new", 3), -EEXIST);
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("directory"), "new", 3), -EEXIST);
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("link"), "new", 3), -EEXIST);
        assert_file_is(scratch("old"), "old", 3);
        assert_false(scratch_exists(scratch("elsewhere")));
}

static void test_files_and_directories_are_not_for_others(void **state) {
        mode_t mask = umask(0);

        (void) state;
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("new"), "", 0), 0);
        scratch_write(scratch("replaced"), "", 0);
        assert_int_equal(chmod(scratch("replaced"), 0666), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("replaced"), "x", 1), 0);
        assert_int_equal(make_directories(scratch_directory, scratch("a/b")), 0);
        (void) umask(mask);
        assert_mode_is(scratch("new"), 0640);
        assert_mode_is(scratch("replaced"), 0640);
        assert_mode_is(scratch("a"), 0750);
        assert_mode_is(scratch("a/b"), 0750);
}

/* Replacing. */

static void test_replacing_leaves_old_or_new_and_nothing_beside(void **state) {
        _cleanup_free_ char *data = pattern(MIB);
        int r;

        (void) state;
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("file"), "old", 3), 0);
        limit_file_size(MIB / 2);
        r = write_file_atomic_at(AT_FDCWD, scratch("file"), data, MIB);
        limit_file_size(UINT64_MAX);
        assert_int_equal(r, -EFBIG);
        assert_file_is(scratch("file"), "old", 3);
        assert_int_equal(scratch_entries(scratch_directory), 1);

        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("file"), data, MIB), 0);
        assert_file_is(scratch("file"), data, MIB);
        assert_int_equal(scratch_entries(scratch_directory), 1);

        if (!scratch_mount("64k"))
                return;
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("mount/file"), "old", 3), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("mount/file"), data, MIB), -ENOSPC);
        assert_file_is(scratch("mount/file"), "old", 3);
        assert_int_equal(scratch_entries(scratch("mount")), 1);
        scratch_make_read_only();
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("mount/file"), "new", 3), -EROFS);
        assert_file_is(scratch("mount/file"), "old", 3);
}

static void test_what_cannot_be_replaced_stays_and_nothing_beside_it(void **state) {
        (void) state;
        assert_int_equal(mkdir(scratch("directory"), 0700), 0);
        scratch_write(scratch("directory/inside"), "", 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("directory"), "x", 1), -EISDIR);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("none/file"), "x", 1), -ENOENT);
        assert_int_equal(
                write_file_atomic_at(AT_FDCWD, scratch("directory/inside/x"), "x", 1), -ENOTDIR);
        assert_int_equal(scratch_entries(scratch_directory), 1);
        assert_int_equal(scratch_entries(scratch("directory")), 1);
}

static void test_names_are_relative_to_the_directory_and_may_be_long(void **state) {
        _cleanup_close_ int fd = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[300], path[310];

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(mkdir(scratch("sub"), 0700), 0);
        assert_int_equal(write_file_atomic_at(fd, "sub/file", "x", 1), 0);
        assert_file_is(scratch("sub/file"), "x", 1);

        memset(name, 'n', sizeof name);
        name[255] = '\0';
        (void) snprintf(path, sizeof path, "sub/%s", name);
        assert_int_equal(write_file_atomic_at(fd, path, "long", 4), 0);
        assert_file_is(scratch(path), "long", 4);
        assert_int_equal(scratch_entries(scratch("sub")), 2);
        name[255] = 'n';
        name[256] = '\0';
        assert_int_equal(write_file_atomic_at(fd, name, "long", 4), -ENAMETOOLONG);
        assert_int_equal(scratch_entries(scratch_directory), 1);
}

static void test_link_is_replaced_itself(void **state) {
        struct stat st;

        (void) state;
        scratch_write(scratch("elsewhere"), "kept", 4);
        assert_int_equal(symlink("elsewhere", scratch("link")), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("link"), "new", 3), 0);
        assert_file_is(scratch("elsewhere"), "kept", 4);
        assert_int_equal(lstat(scratch("link"), &st), 0);
        assert_true(S_ISREG(st.st_mode));
        assert_file_is(scratch("link"), "new", 3);
}

static void replace_again_and_again(int ready, void *userdata) {
        const char *path = userdata;
        static char content[100000];

        for (unsigned i = 0;; i++) {
                size_t size = i % 2 ? sizeof content : 1000;
                memset(content, 'a' + (int) (i % 26), size);
                MUST(write_file_atomic_at(AT_FDCWD, path, content, size) >= 0);
                if (i == 1)
                        child_ready(ready);
        }
}

static void test_readers_see_old_or_new_never_a_part(void **state) {
        const char *path = scratch("file");
        struct Child writer = child_start(replace_again_and_again, (void *) path);
        bool whole = true;

        (void) state;
        for (unsigned i = 0; i < 300 && whole; i++) {
                size_t size = 0;
                _cleanup_free_ char *data = scratch_read(path, &size);

                whole = data && (size == 100000 || size == 1000);
                for (size_t k = 1; k < size && whole; k++)
                        whole = data[k] == data[0];
        }
        child_kill(&writer);
        assert_true(whole);
}

/* Reading. */

static void test_file_is_read_whole_up_to_the_limit(void **state) {
        static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 300000 };

        (void) state;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                _cleanup_free_ char *data = pattern(sizes[i]), *read = NULL;
                char *untouched = NULL;
                size_t size = 42;

                scratch_write(scratch("file"), data, sizes[i]);
                if (sizes[i] > 0)
                        assert_int_equal(read_file_at(AT_FDCWD, scratch("file"), sizes[i] - 1,
                                                 &untouched, &size),
                                -EFBIG);
                assert_null(untouched);
                assert_int_equal(size, 42);
                assert_int_equal(
                        read_file_at(AT_FDCWD, scratch("file"), sizes[i], &read, &size), 0);
                assert_int_equal(size, sizes[i]);
                assert_memory_equal(read, data, size);
                assert_int_equal(read[size], '\0');
        }
}

/* The kernel says that such files are empty: the same as one that grows while it is read. */
static void test_file_that_is_larger_than_it_said_is_read_whole(void **state) {
        _cleanup_free_ char *all = NULL;
        char *part = NULL;
        size_t size = 0;

        (void) state;
        if (access("/proc/self/smaps", R_OK) < 0)
                skip();
        assert_int_equal(read_file_at(AT_FDCWD, "/proc/self/smaps", MIB, &all, &size), 0);
        assert_true(size > 4096);
        assert_int_equal(strlen(all), size);
        assert_non_null(strstr(all, "[stack]"));
        assert_int_equal(read_file_at(AT_FDCWD, "/proc/self/smaps", 1000, &part, &size), -EFBIG);
        assert_null(part);
}

static void test_only_regular_files_are_read(void **state) {
        char *data = NULL;
        size_t size = 0;

        (void) state;
        assert_int_equal(mkfifo(scratch("pipe"), 0600), 0);
        assert_int_equal(read_file_at(AT_FDCWD, scratch("pipe"), 10, &data, &size), -EINVAL);
        assert_int_equal(read_file_at(AT_FDCWD, "/dev/null", 10, &data, &size), -EINVAL);
        assert_int_equal(read_file_at(AT_FDCWD, scratch_directory, 10, &data, &size), -EISDIR);
        assert_int_equal(read_file_at(AT_FDCWD, scratch("none"), 10, &data, &size), -ENOENT);
        assert_int_equal(symlink("loop", scratch("loop")), 0);
        assert_int_equal(read_file_at(AT_FDCWD, scratch("loop"), 10, &data, &size), -ELOOP);
        assert_null(data);

        scratch_write(scratch("file"), "abc", 3);
        assert_int_equal(symlink("file", scratch("link")), 0);
        assert_int_equal(read_file_at(AT_FDCWD, scratch("link"), 10, &data, &size), 0);
        assert_string_equal(data, "abc");
        free(data);
}

static int read_as_nobody(void *userdata) {
        char *data = NULL;
        size_t size;

        become_nobody();
        return -read_file_at(AT_FDCWD, userdata, 10, &data, &size);
}

static void test_file_of_others_is_not_read(void **state) {
        const char *path = scratch("file");

        (void) state;
        scratch_write(path, "abc", 3);
        assert_int_equal(chmod(path, 0), 0);
        assert_int_equal(chmod(scratch_directory, 0755), 0);
        assert_int_equal(child_ask(read_as_nobody, (void *) path), EACCES);
}

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

/* Copying. */

/* Copies and compares; the method. */
static enum CopyMethod copy(const char *source, const char *target, bool hash) {
        _cleanup_close_ int from = open(source, O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int to = open(target, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        _cleanup_digest_ struct Digest *digest = NULL;
        enum CopyMethod method = COPY_LINKED;
        _cleanup_free_ char *data = NULL;
        uint64_t bytes = UINT64_MAX;
        size_t size = 0;

        assert_true(from >= 0 && to >= 0);
        if (hash)
                assert_int_equal(digest_new(&digest), 0);
        /* Where the descriptor of the source stands does not matter. */
        assert_true(lseek(from, 1, SEEK_SET) >= 0);
        assert_int_equal(copy_contents(from, to, digest, &method, &bytes), 0);
        data = scratch_read(target, &size);
        assert_int_equal(bytes, size);
        if (hash) {
                char hex[DIGEST_HEX_SIZE], expected[DIGEST_HEX_SIZE];
                assert_int_equal(digest_finish(digest, hex), 0);
                assert_int_equal(digest_buffer(data, size, expected), 0);
                assert_string_equal(hex, expected);
        }
        return method;
}

static void test_copies_are_whole_by_whatever_method(void **state) {
        static const size_t sizes[] = { 0, 1, 4096, 262143, 262144, 262145, 3 * MIB + 5 };

        (void) state;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                for (int hash = 0; hash <= 1; hash++) {
                        _cleanup_free_ char *data = pattern(sizes[i]);
                        enum CopyMethod method;

                        scratch_write(scratch("source"), data, sizes[i]);
                        method = copy(scratch("source"), scratch("target"), hash);
                        assert_file_is(scratch("target"), data, sizes[i]);
                        /* Either cloned, or hashed on the way through. */
                        if (hash && method != COPY_CLONED)
                                assert_int_equal(method, COPY_READ_WRITE);
                        assert_int_equal(unlink(scratch("target")), 0);
                }
}

static void test_copies_cross_file_systems(void **state) {
        _cleanup_free_ char *data = pattern(3 * MIB);

        (void) state;
        if (!scratch_mount("8m"))
                skip();
        scratch_write(scratch("source"), data, 3 * MIB);
        for (int hash = 0; hash <= 1; hash++) {
                assert_int_not_equal(
                        copy(scratch("source"), scratch("mount/there"), hash), COPY_CLONED);
                assert_file_is(scratch("mount/there"), data, 3 * MIB);
                assert_int_not_equal(
                        copy(scratch("mount/there"), scratch("back"), hash), COPY_CLONED);
                assert_file_is(scratch("back"), data, 3 * MIB);
        }
}

/* The kernel copies nothing of them and says that it is done. */
static void test_files_whose_size_is_not_known_are_copied_whole(void **state) {
        (void) state;
        for (int hash = 0; hash <= 1; hash++) {
                _cleanup_free_ char *data = NULL;
                size_t size = 0;

                assert_int_equal(copy("/proc/version", scratch("target"), hash), COPY_READ_WRITE);
                assert_int_equal(read_file_at(AT_FDCWD, "/proc/version", MIB, &data, &size), 0);
                assert_file_is(scratch("target"), data, size);
        }
}

static int try_copy(const char *source, int source_flags, const char *target, bool hash) {
        _cleanup_close_ int from = open(source, source_flags | O_CLOEXEC);
        _cleanup_close_ int to = open(target, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        _cleanup_digest_ struct Digest *digest = NULL;
        enum CopyMethod method = COPY_LINKED;
        uint64_t bytes = 42;
        int r;

        assert_true(from >= 0 && to >= 0);
        if (hash)
                assert_int_equal(digest_new(&digest), 0);
        r = copy_contents(from, to, digest, &method, &bytes);
        if (r < 0)
                assert_true(method == COPY_LINKED && bytes == 42); /* untouched on failure */
        return r;
}

static void test_copy_that_does_not_fit_is_reported(void **state) {
        _cleanup_free_ char *data = pattern(3 * MIB);

        (void) state;
        scratch_write(scratch("source"), data, 3 * MIB);
        for (int hash = 0; hash <= 1; hash++) {
                int r;

                limit_file_size(MIB);
                r = try_copy(scratch("source"), O_RDONLY, scratch("target"), hash);
                limit_file_size(UINT64_MAX);
                assert_int_equal(r, -EFBIG);
                assert_int_equal(truncate(scratch("target"), 0), 0);
                assert_int_equal(try_copy(scratch("source"), O_RDONLY, "/dev/full", hash), -ENOSPC);
        }
        if (!scratch_mount("1m"))
                return;
        for (int hash = 0; hash <= 1; hash++) {
                assert_int_equal(
                        try_copy(scratch("source"), O_RDONLY, scratch("mount/target"), hash),
                        -ENOSPC);
                assert_int_equal(unlink(scratch("mount/target")), 0);
        }
}

static void test_source_that_cannot_be_read_is_reported(void **state) {
        (void) state;
        scratch_write(scratch("source"), "abc", 3);
        for (int hash = 0; hash <= 1; hash++) {
                assert_int_equal(
                        try_copy(scratch("source"), O_WRONLY, scratch("target"), hash), -EBADF);
                assert_int_equal(try_copy(scratch_directory, O_RDONLY | O_DIRECTORY,
                                         scratch("target"), hash),
                        -EISDIR);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_signals_and_short_counts_lose_no_byte,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_full_device_is_reported, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_new_file_is_whole_or_absent, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_new_file_replaces_nothing_and_follows_no_link,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_files_and_directories_are_not_for_others,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_replacing_leaves_old_or_new_and_nothing_beside,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_cannot_be_replaced_stays_and_nothing_beside_it, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_names_are_relative_to_the_directory_and_may_be_long, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_link_is_replaced_itself, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_readers_see_old_or_new_never_a_part, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_file_is_read_whole_up_to_the_limit, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_file_that_is_larger_than_it_said_is_read_whole,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_only_regular_files_are_read, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_file_of_others_is_not_read, scratch_setup, scratch_teardown),
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
                cmocka_unit_test_setup_teardown(
                        test_copies_are_whole_by_whatever_method, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copies_cross_file_systems, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_files_whose_size_is_not_known_are_copied_whole,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copy_that_does_not_fit_is_reported, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_source_that_cannot_be_read_is_reported,
                        scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
