/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/fs.h>
#include <sys/ioctl.h>

#include "lib/backup/metadata.h"
#include "lib/backup/vector-store.h"
#include "tests/unit/backup-fixture.h"

/* One copy: its target, what it listed and said. */
struct Copied {
        const char *target;
        struct Manifest *manifest;
        json_object *warnings;
        struct VectorStoreCopy copy;
};

static void copied_clear(struct Copied *copied) {
        manifest_free(copied->manifest);
        json_object_put(copied->warnings);
}

static int copy(
        struct Fixture *f, const char *target, const char *previous, struct Copied *ret_copied) {
        _cleanup_close_ int fd = -1;

        MUST(mkdir(target, 0750) >= 0);
        fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *ret_copied = (struct Copied){
                .target = target, .manifest = manifest_new(), .warnings = json_object_new_array()
        };
        return vector_store_copy(&f->operation, fd, target, previous, ret_copied->manifest,
                ret_copied->warnings, &ret_copied->copy, &f->failure);
}

/* Each file is what the manifest says, whatever happened to the source. */
static void assert_listed(struct Copied *copied) {
        uint64_t bytes = 0;

        manifest_sort(copied->manifest);
        assert_int_equal(copied->manifest->n_entries, copied->copy.files);
        for (size_t i = 0; i < copied->manifest->n_entries; i++) {
                const struct ManifestEntry *entry = &copied->manifest->entries[i];
                _cleanup_free_ char *path = NULL;
                _cleanup_close_ int fd = -1;
                char digest[DIGEST_HEX_SIZE];
                uint64_t size;

                MUST(asprintf(&path, "%s/%s", copied->target, entry->path) > 0);
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                assert_true(fd >= 0);
                MUST(digest_fd(fd, digest, &size) == 0);
                assert_string_equal(digest, entry->digest);
                bytes += size;
        }
        assert_int_equal(bytes, copied->copy.bytes);
}

/* Makes a copy one to link to: its manifest beside it. */
static void seal(struct Copied *copied) {
        _cleanup_free_ char *text = NULL, *path = NULL;
        size_t size;

        manifest_sort(copied->manifest);
        MUST(manifest_format(copied->manifest, &text, &size) == 0);
        MUST(asprintf(&path, "%s/" MANIFEST_NAME, copied->target) > 0);
        scratch_write(path, text, size);
}

static bool has_reflinks(void) {
        int from = open(scratch("data/chroma/index/a.bin"), O_RDONLY | O_CLOEXEC);
        int to = open(scratch("probe"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        bool cloned = ioctl(to, FICLONE, from) >= 0;

        MUST(close(from) >= 0 && close(to) >= 0 && unlink(scratch("probe")) >= 0);
        return cloned;
}

static void test_what_did_not_change_is_not_written_again(void **state) {
        struct Fixture *f = *state;
        _cleanup_(copied_clear) struct Copied first = { 0 }, second = { 0 };
        char path[64], content[5000];

        MUST(make_directories(scratch_directory, scratch("data/chroma")) == 0);
        for (int i = 0; i < 200; i++) {
                (void) snprintf(path, sizeof path, "%s/data/chroma/%03d", scratch_directory, i);
                memset(content, i, sizeof content);
                scratch_write(path, content, sizeof content);
        }
        assert_success(f, copy(f, scratch("first"), NULL, &first));
        assert_listed(&first);
        assert_int_equal(first.copy.bytes, 200 * sizeof content);
        seal(&first);
        for (int i = 0; i < 2; i++) { /* one in a hundred */
                (void) snprintf(
                        path, sizeof path, "%s/data/chroma/%03d", scratch_directory, i * 70);
                memset(content, 0xee, sizeof content);
                scratch_write(path, content, sizeof content);
        }
        assert_success(f, copy(f, scratch("second"), scratch("first"), &second));
        assert_listed(&second);
        assert_int_equal(second.copy.bytes, 200 * sizeof content);
        assert_true(second.copy.bytes_written <= 2 * sizeof content);
}

static void test_linking_asks_for_the_same_digest_and_the_same_name(void **state) {
        struct Fixture *f = *state;
        _cleanup_(copied_clear) struct Copied first = { 0 }, second = { 0 };
        struct stat same, moved, swapped;

        fixture_fill(f);
        if (has_reflinks())
                skip();
        scratch_write(scratch("data/chroma/b"), "bb", 2);
        scratch_write(scratch("data/chroma/c"), "cc", 2);
        scratch_write(scratch("data/chroma/d"), "dd", 2);
        assert_success(f, copy(f, scratch("first"), NULL, &first));
        seal(&first);
        MUST(rename(scratch("data/chroma/b"), scratch("data/chroma/moved")) >= 0);
        scratch_write(scratch("data/chroma/c"), "dd", 2); /* same size, other content */
        assert_success(f, copy(f, scratch("second"), scratch("first"), &second));
        assert_listed(&second);
        MUST(stat(scratch("second/chroma/d"), &same) >= 0);
        MUST(stat(scratch("second/chroma/moved"), &moved) >= 0);
        MUST(stat(scratch("second/chroma/c"), &swapped) >= 0);
        assert_int_equal(same.st_nlink, 2);
        assert_int_equal(moved.st_nlink, 1);
        assert_int_equal(swapped.st_nlink, 1);
}

static void change_without_pause(int ready, void *userdata) {
        int fd = open(scratch("data/chroma/changing"), O_WRONLY | O_CLOEXEC);

        (void) userdata;
        MUST(fd >= 0);
        child_ready(ready);
        for (unsigned i = 0;; i++)
                MUST(pwrite(fd, &i, sizeof i, (off_t) (i % 100000)) == sizeof i);
}

static void test_what_keeps_changing_is_kept_as_it_was_read_and_told(void **state) {
        struct Fixture *f = *state;
        _cleanup_(copied_clear) struct Copied copied = { 0 };
        struct Child child;
        int r;

        MUST(make_directories(scratch_directory, scratch("data/chroma")) == 0);
        scratch_write(scratch("data/chroma/changing"), "", 0);
        MUST(truncate(scratch("data/chroma/changing"), 32 << 20) >= 0);
        child = child_start(change_without_pause, NULL);
        r = copy(f, scratch("target"), NULL, &copied);
        child_kill(&child);
        assert_success(f, r);
        assert_listed(&copied);
        assert_int_equal(json_object_array_length(copied.warnings), 1);
        assert_int_equal(fixture_count(f, EVENT_BACKUP_WARNING), 1);
        assert_non_null(strstr(f->notices[0].message, "chroma/changing kept changing"));
}

static struct Fixture *current;
static size_t asked;

/* Called before each entry of a directory is looked at. */
static void remove_all(void) {
        if (asked++ == 1)
                MUST(remove_tree_at(AT_FDCWD, current->layout->chroma) == 0);
}

static void test_what_vanishes_meanwhile_is_not_missed(void **state) {
        struct Fixture *f = *state;
        _cleanup_(copied_clear) struct Copied copied = { 0 };

        fixture_fill(f);
        current = f;
        f->asked = remove_all;
        assert_success(f, copy(f, scratch("target"), NULL, &copied));
        assert_listed(&copied);
        assert_true(copied.copy.files < 3);
        assert_int_equal(json_object_array_length(copied.warnings), 0);
}

static void test_companions_of_databases_are_left_out_and_files_like_them_not(void **state) {
        static const char *const names[] = { "x.sqlite3-wal", "x.sqlite3-shm", "x.sqlite3-journal",
                "x-wal", "sqlite3-wal", "x.sqlite3.bak", "X.SQLITE3-WAL" };
        struct Fixture *f = *state;
        _cleanup_(copied_clear) struct Copied copied = { 0 };
        char name[64];

        MUST(make_directories(scratch_directory, scratch("data/chroma")) == 0);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                (void) snprintf(name, sizeof name, "data/chroma/%s", names[i]);
                scratch_write(scratch(name), "x", 1);
        }
        assert_success(f, copy(f, scratch("target"), NULL, &copied));
        assert_listed(&copied);
        assert_int_equal(copied.copy.files, 4);
        assert_false(scratch_exists(scratch("target/chroma/x.sqlite3-wal")));
}

static void test_stopped_it_says_so(void **state) {
        struct Fixture *f = *state;
        size_t stops = 0;

        fixture_fill(f);
        for (size_t at = 1;; at++) {
                _cleanup_(copied_clear) struct Copied copied = { 0 };
                int r;

                fixture_forget(f);
                f->checks = 0;
                f->stop_at = at;
                r = copy(f, scratch("target"), NULL, &copied);
                MUST(remove_tree_at(AT_FDCWD, scratch("target")) == 0);
                if (r >= 0)
                        break;
                assert_int_equal(r, -EINTR);
                assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
                stops++;
        }
        assert_true(stops >= 4);
}

static void test_no_room_is_no_space(void **state) {
        struct Fixture *f = *state;
        _cleanup_(copied_clear) struct Copied copied = { 0 };
        char *data = calloc(1, 1 << 20);

        MUST(data && make_directories(scratch_directory, scratch("data/chroma")) == 0);
        scratch_write(scratch("data/chroma/large"), data, 1 << 20);
        free(data);
        if (!scratch_mount("256k"))
                skip();
        assert_int_equal(copy(f, scratch("mount/target"), NULL, &copied), -ENOSPC);
        assert_int_equal(f->failure.event, EVENT_NO_SPACE);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_what_did_not_change_is_not_written_again),
                ON_ROOT(test_linking_asks_for_the_same_digest_and_the_same_name),
                ON_ROOT(test_what_keeps_changing_is_kept_as_it_was_read_and_told),
                ON_ROOT(test_what_vanishes_meanwhile_is_not_missed),
                ON_ROOT(test_companions_of_databases_are_left_out_and_files_like_them_not),
                ON_ROOT(test_stopped_it_says_so),
                ON_ROOT(test_no_room_is_no_space),
        };

        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
