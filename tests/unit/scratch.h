/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A directory of its own for each test, gone afterwards, and what tests of files and processes
 * need: small file systems, processes that hold something until told otherwise.
 *
 *      cmocka_unit_test_setup_teardown(test_…, scratch_setup, scratch_teardown)
 *
 * Included behind cmocka.h.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file-io.h"

static char scratch_directory[PATH_MAX];
static char *scratch_names[256];

/* What the helpers themselves cannot do is no finding of a test: it ends the program. */
#define MUST(condition)                                                                            \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        (void) fprintf(stderr, "%s:%d: %s: %m\n", __FILE__, __LINE__, #condition); \
                        abort();                                                                   \
                }                                                                                  \
        } while (0)

/* Path of `name` in the directory; valid until the end of the test. */
static inline const char *scratch(const char *name) {
        size_t length = strlen(scratch_directory) + 1;
        size_t i = 0;

        for (; i < sizeof scratch_names / sizeof scratch_names[0] && scratch_names[i]; i++)
                if (strcmp(scratch_names[i] + length, name) == 0)
                        return scratch_names[i];
        MUST(i < sizeof scratch_names / sizeof scratch_names[0]);
        MUST(asprintf(&scratch_names[i], "%s/%s", scratch_directory, name) > 0);
        return scratch_names[i];
}

static inline int scratch_setup(void **state) {
        const char *where = getenv("TMPDIR");

        (void) state;
        (void) snprintf(scratch_directory, sizeof scratch_directory, "%s/atocore-unit-XXXXXX",
                where && where[0] == '/' ? where : "/tmp");
        MUST(mkdtemp(scratch_directory));
        return 0;
}

static inline int scratch_teardown(void **state) {
        int r;

        (void) state;
        (void) umount2(scratch("mount"), MNT_DETACH);
        r = remove_tree_at(AT_FDCWD, scratch_directory);
        for (size_t i = 0; i < sizeof scratch_names / sizeof scratch_names[0]; i++) {
                free(scratch_names[i]);
                scratch_names[i] = NULL;
        }
        return r;
}

/* From here on this program's mounts are seen by nobody else and end with it; false where that is
 * not allowed. */
static inline bool scratch_unshare_mounts(void) {
        int root, here, namespace;

        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                return false;
        /* The root of a chroot need not be a mount, which could be made private. That of the mount
         * namespace is one, and is ours while the namespace is entered once more. */
        root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        MUST(root >= 0 && here >= 0 && namespace >= 0);
        MUST(setns(namespace, CLONE_NEWNS) >= 0);
        MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) >= 0);
        MUST(fchdir(root) >= 0 && chroot(".") >= 0 && fchdir(here) >= 0);
        MUST(close(root) >= 0 && close(here) >= 0 && close(namespace) >= 0);
        return true;
}

/* Group setup of programs that mount. */
static inline int scratch_private_mounts(void **state) {
        (void) state;
        (void) scratch_unshare_mounts();
        return 0;
}

/* A tmpfs of `size` ("64k") at scratch("mount"); false where that is not allowed. */
static inline bool scratch_mount(const char *size) {
        char options[64];

        if (geteuid() != 0)
                return false;
        (void) snprintf(options, sizeof options, "mode=0755,size=%s", size);
        MUST(mkdir(scratch("mount"), 0755) >= 0);
        return mount("tmpfs", scratch("mount"), "tmpfs", MS_NOSUID | MS_NODEV, options) >= 0;
}

static inline void scratch_make_read_only(void) {
        MUST(mount(NULL, scratch("mount"), NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV,
                     NULL) >= 0);
}

static inline void scratch_write(const char *path, const void *data, size_t size) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

        MUST(fd >= 0);
        for (size_t done = 0; done < size;) {
                ssize_t n = write(fd, (const char *) data + done, size - done);
                MUST(n > 0);
                done += (size_t) n;
        }
        MUST(close(fd) >= 0);
}

/* The whole file with a NUL behind it; the caller frees. NULL when there is none. */
static inline char *scratch_read(const char *path, size_t *ret_size) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        char *data;

        if (fd < 0 && errno == ENOENT)
                return NULL;
        MUST(fd >= 0 && fstat(fd, &st) >= 0);
        data = calloc(1, (size_t) st.st_size + 1);
        MUST(data);
        for (off_t done = 0; done < st.st_size;) {
                ssize_t n = pread(fd, data + done, (size_t) (st.st_size - done), done);
                MUST(n > 0);
                done += n;
        }
        MUST(close(fd) >= 0);
        if (ret_size)
                *ret_size = (size_t) st.st_size;
        return data;
}

static inline bool scratch_exists(const char *path) {
        struct stat st;

        return lstat(path, &st) >= 0;
}

/* What was copied within the directory was cloned, where its file system is said to do that: see
 * tests/ops/test_reflink.py. */
static inline void assert_cloned_where_possible(enum CopyMethod method) {
        if (getenv("ATOCORE_TEST_REFLINK"))
                assert_int_equal(method, COPY_CLONED);
}

/* How many entries `path` has. */
static inline size_t scratch_entries(const char *path) {
        DIR *directory = opendir(path);
        size_t n = 0;

        MUST(directory);
        for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
                n += entry->d_name[0] != '.' ||
                        (entry->d_name[1] && strcmp(entry->d_name, "..") != 0);
        MUST(closedir(directory) >= 0);
        return n;
}

/* Another process. It may not use cmocka's assertions. */
struct Child {
        pid_t pid;
        int ready; /* read end: one byte when it is ready, end of file when it is gone */
};

/* Runs `body` in a child and comes back when it called child_ready(). It dies with us. */
static inline struct Child child_start(void (*body)(int ready, void *userdata), void *userdata) {
        struct Child child;
        int fds[2];
        char byte;

        MUST(pipe2(fds, O_CLOEXEC) >= 0);
        (void) fflush(NULL);
        child.pid = fork();
        MUST(child.pid >= 0);
        if (child.pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) close(fds[0]);
                body(fds[1], userdata);
                _exit(0);
        }
        (void) close(fds[1]);
        child.ready = fds[0];
        MUST(read(child.ready, &byte, 1) == 1);
        return child;
}

static inline void child_ready(int ready) {
        MUST(write(ready, "r", 1) == 1);
}

/* Its wait status. */
static inline int child_wait(struct Child *child) {
        int status;

        while (waitpid(child->pid, &status, 0) < 0)
                MUST(errno == EINTR);
        (void) close(child->ready);
        return status;
}

static inline void child_kill(struct Child *child) {
        MUST(kill(child->pid, SIGKILL) >= 0);
        (void) child_wait(child);
}

/* The result of `question`, 0 to 255, asked in a child: what it does to itself (user, limits) ends
 * with it. */
static inline int child_ask(int (*question)(void *userdata), void *userdata) {
        pid_t pid;
        int status;

        (void) fflush(NULL);
        pid = fork();
        MUST(pid >= 0);
        if (pid == 0)
                _exit(question(userdata));
        while (waitpid(pid, &status, 0) < 0)
                MUST(errno == EINTR);
        MUST(WIFEXITED(status));
        return WEXITSTATUS(status);
}

/* For a child: no longer root, whom no permission stops. */
static inline void become_nobody(void) {
        if (geteuid() == 0)
                MUST(setgid(65534) >= 0 && setuid(65534) >= 0);
}

/* Files of this process end at `size` from here on, with EFBIG; UINT64_MAX: no longer. */
static inline void limit_file_size(uint64_t size) {
        struct rlimit limit;

        MUST(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        MUST(getrlimit(RLIMIT_FSIZE, &limit) >= 0);
        limit.rlim_cur = size < limit.rlim_max ? size : limit.rlim_max;
        MUST(setrlimit(RLIMIT_FSIZE, &limit) >= 0);
}

#define MIB ((size_t) 1 << 20)

/* `size` bytes with no period that pages or buffers have; the caller frees. */
static inline void *scratch_pattern(size_t size) {
        unsigned char *data = malloc(size + 1);
        uint32_t x = 2463534242;

        MUST(data);
        for (size_t i = 0; i < size; i++) {
                x ^= x << 13, x ^= x >> 17, x ^= x << 5; /* xorshift */
                data[i] = (unsigned char) x;
        }
        return data;
}

static inline void assert_file_is(const char *path, const void *data, size_t size) {
        size_t found_size = 0;
        _cleanup_free_ char *found = scratch_read(path, &found_size);

        assert_non_null(found);
        assert_int_equal(found_size, size);
        assert_memory_equal(found, data, size);
}
