/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/watch.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "ingest-fixture.h"
#include "scratch.h"

/* The kernel has told of a change by the time that the call which made it returns: nothing is
 * waited for here. */
#define NOW 1

struct WatchFixture {
        struct StoreFixture *store;
        struct Watch *watch;
        struct Changes changes;
};

static struct WatchFixture fixture;

static int setup(void **state) {
        if (fixture_new(state) < 0)
                return -1;
        struct StoreFixture *f = *state;
        fixture = (struct WatchFixture){ .store = f };
        write_text(f, "data/db/x", "");
        write_text(f, "sources/vault/a/b/note.md", "text");
        write_text(f, "sources/vault/.git/config.md", "text");
        write_text(f, "sources/drive/paper.txt", "text");
        assert_success(f, watch_new(f->layout, &fixture.watch, &f->failure));
        assert_success(f, watch_begin(fixture.watch, &f->operation, &f->failure));
        return 0;
}

static int teardown(void **state) {
        (void) watch_free(fixture.watch);
        changes_clear(&fixture.changes);
        return fixture_free(state);
}

/* What was told since the last time: `vault/a.md drive/b`, or `everything`. */
static void expect_told(const char *expected) {
        char text[1024] = "";

        assert_false(watch_read(fixture.watch, &fixture.changes, NOW));
        if (fixture.changes.everything)
                strcpy(text, "everything ");
        for (size_t i = 0; i < fixture.changes.n; i++) {
                strcat(text, fixture.changes.parts[i].source);
                strcat(text, "/");
                strcat(text, fixture.changes.parts[i].path);
                strcat(text, " ");
        }
        changes_clear(&fixture.changes);
        assert_string_equal(text, expected);
}

/* path_of() has one buffer. */
static void rename_file(struct StoreFixture *f, const char *from, const char *to) {
        _cleanup_free_ char *old = strdup(path_of(f, from));

        assert_return_code(rename(old, path_of(f, to)), errno);
}

static void make_directory(struct StoreFixture *f, const char *name) {
        assert_return_code(mkdir(path_of(f, name), 0750), errno);
}

/* As editors and clients that synchronise do; write_text() of the fixture is such a one itself. */
static void overwrite(struct StoreFixture *f, const char *name) {
        int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

        assert_return_code(fd, errno);
        assert_int_equal(write(fd, "new\n", 4), 4);
        assert_return_code(close(fd), errno);
}

static void test_each_directory_that_is_read_is_watched(void **state) {
        (void) state;
        /* vault, vault/a, vault/a/b, drive; not .git. */
        assert_int_equal(watch_count(fixture.watch), 4);
        expect_told("");
}

static void test_files_are_told_by_their_paths(void **state) {
        struct StoreFixture *f = *state;

        overwrite(f, "sources/vault/a/b/note.md");
        overwrite(f, "sources/vault/new.org");
        expect_told("vault/a/b/note.md vault/new.org ");
        assert_return_code(chmod(path_of(f, "sources/drive/paper.txt"), 0600), errno);
        expect_told("drive/paper.txt ");
        assert_return_code(unlink(path_of(f, "sources/drive/paper.txt")), errno);
        expect_told("drive/paper.txt ");
}

static void test_a_file_that_stays_open_is_told(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_close_ int fd =
                open(path_of(f, "sources/vault/a/b/note.md"), O_WRONLY | O_CLOEXEC);

        assert_int_equal(write(fd, "more", 4), 4);
        expect_told("vault/a/b/note.md ");
        assert_int_equal(write(fd, "more", 4), 4);
        expect_told("vault/a/b/note.md ");
}

static void test_what_no_ingest_looks_at_is_not_told(void **state) {
        struct StoreFixture *f = *state;

        overwrite(f, "sources/vault/picture.png");
        overwrite(f, "sources/vault/.hidden.md");
        overwrite(f, "sources/vault/.git/more.md");
        make_directory(f, "sources/vault/.trash");
        overwrite(f, "sources/other.md");
        expect_told("");
}

static void test_a_client_that_renames_what_it_wrote_is_told_by_the_final_name(void **state) {
        struct StoreFixture *f = *state;

        overwrite(f, "sources/vault/a/.syncthing.note.md.tmp");
        overwrite(f, "sources/vault/a/other.md.part");
        expect_told("");
        rename_file(f, "sources/vault/a/.syncthing.note.md.tmp", "sources/vault/a/note.md");
        rename_file(f, "sources/vault/a/other.md.part", "sources/vault/a/other.md");
        expect_told("vault/a/note.md vault/a/other.md ");
}

static void test_a_new_tree_is_watched_with_what_was_made_before_it_was(void **state) {
        struct StoreFixture *f = *state;

        /* All of it before the first event is read. */
        write_text(f, "sources/vault/new/deep/er/x.md", "text");
        expect_told("vault/new ");
        assert_int_equal(watch_count(fixture.watch), 7);
        overwrite(f, "sources/vault/new/deep/er/x.md");
        overwrite(f, "sources/vault/new/deep/y.md");
        expect_told("vault/new/deep/er/x.md vault/new/deep/y.md ");
}

static void test_a_tree_that_is_renamed_is_told_under_both_names(void **state) {
        struct StoreFixture *f = *state;

        rename_file(f, "sources/vault/a", "sources/drive/moved");
        expect_told("vault/a drive/moved ");
        assert_int_equal(watch_count(fixture.watch), 4);
        overwrite(f, "sources/drive/moved/b/note.md");
        expect_told("drive/moved/b/note.md ");
        /* Twice before anything is read, and something else under the first name. */
        rename_file(f, "sources/drive/moved", "sources/vault/one");
        rename_file(f, "sources/vault/one", "sources/vault/two");
        make_directory(f, "sources/vault/one");
        expect_told("drive/moved vault/one vault/two ");
        overwrite(f, "sources/vault/two/b/note.md");
        overwrite(f, "sources/vault/one/new.md");
        expect_told("vault/two/b/note.md vault/one/new.md ");
}

static void test_a_tree_that_leaves_and_comes_back(void **state) {
        struct StoreFixture *f = *state;

        rename_file(f, "sources/vault/a", "outside");
        expect_told("vault/a ");
        assert_int_equal(watch_count(fixture.watch), 2);
        overwrite(f, "outside/b/note.md");
        expect_told("");
        rename_file(f, "outside", "sources/vault/back");
        expect_told("vault/back ");
        overwrite(f, "sources/vault/back/b/note.md");
        expect_told("vault/back/b/note.md ");
}

static void test_a_tree_that_is_removed_is_forgotten(void **state) {
        struct StoreFixture *f = *state;

        remove_file(f, "sources/vault/a");
        expect_told("vault/a ");
        assert_int_equal(watch_count(fixture.watch), 2);
        write_text(f, "sources/vault/a/c.md", "text");
        expect_told("vault/a ");
        overwrite(f, "sources/vault/a/c.md");
        expect_told("vault/a/c.md ");
}

static void test_a_name_that_is_not_utf8_is_told_by_its_directory(void **state) {
        struct StoreFixture *f = *state;

        overwrite(f, "sources/vault/a/\xff.md");
        expect_told("vault/a ");
        make_directory(f, "sources/vault/a/\xff");
        expect_told("vault/a ");
        assert_int_equal(watch_count(fixture.watch), 4);
}

static void test_a_source_that_comes_or_goes_is_everything(void **state) {
        struct StoreFixture *f = *state;

        rename_file(f, "sources/drive", "elsewhere");
        expect_told("everything ");
        assert_success(f, watch_begin(fixture.watch, &f->operation, &f->failure));
        assert_int_equal(watch_count(fixture.watch), 3);
        make_directory(f, "sources/drive");
        expect_told("everything ");
        assert_success(f, watch_begin(fixture.watch, &f->operation, &f->failure));
        assert_int_equal(watch_count(fixture.watch), 4);
        expect_told("");
}

static void test_a_source_that_is_a_link_is_watched_where_it_leads(void **state) {
        struct StoreFixture *f = *state;

        rename_file(f, "sources/vault", "vault");
        assert_return_code(symlink("../vault", path_of(f, "sources/vault")), errno);
        assert_success(f, watch_begin(fixture.watch, &f->operation, &f->failure));
        assert_int_equal(watch_count(fixture.watch), 4);
        overwrite(f, "vault/a/b/note.md");
        expect_told("vault/a/b/note.md ");
        rename_file(f, "vault", "away");
        expect_told("everything ");
}

static void test_a_database_that_was_exchanged_is_everything(void **state) {
        struct StoreFixture *f = *state;

        make_directory(f, "data/.restore-db");
        overwrite(f, "data/db/x");
        overwrite(f, "data/other");
        expect_told("");
        rename_file(f, "data/db", "data/.old");
        rename_file(f, "data/.restore-db", "data/db");
        expect_told("everything ");
}

static void test_what_the_kernel_cannot_keep_is_everything(void **state) {
        struct StoreFixture *f = *state;
        FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        int max;

        assert_non_null(file);
        assert_int_equal(fscanf(file, "%d", &max), 1);
        (void) fclose(file);
        if (max > 100000)
                skip();
        /* Two events each, which differ from the ones before them. */
        for (int i = 0; i <= max / 2; i++) {
                overwrite(f, i % 2 == 0 ? "sources/vault/a/x.md" : "sources/vault/y.md");
                assert_return_code(
                        unlink(path_of(
                                f, i % 2 == 0 ? "sources/vault/a/x.md" : "sources/vault/y.md")),
                        errno);
        }
        bool lost = false;
        for (int i = 0; i < 100; i++)
                lost = watch_read(fixture.watch, &fixture.changes, NOW) || lost;
        assert_true(lost);
        assert_true(fixture.changes.everything);
        assert_success(f, watch_begin(fixture.watch, &f->operation, &f->failure));
        changes_clear(&fixture.changes);
        overwrite(f, "sources/vault/y.md");
        expect_told("vault/y.md ");
}

/* In a user namespace of its own, whose limit anybody may lower. -1: there is none to be had. */
static int begin_with_limit(struct StoreFixture *f, const char *limit) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                if (unshare(CLONE_NEWUSER) < 0)
                        _exit(2);
                int fd = open("/proc/sys/user/max_inotify_watches", O_WRONLY | O_CLOEXEC);
                if (fd < 0 || write(fd, limit, strlen(limit)) < 0)
                        _exit(2);
                int r = watch_begin(fixture.watch, &f->operation, &f->failure);
                if (r >= 0)
                        _exit(0);
                _exit(r == -ENOSPC && f->failure.event == EVENT_WATCH_LIMITED &&
                                        strstr(failure_message(&f->failure), "max_user_watches") &&
                                        watch_count(fixture.watch) == 0 &&
                                        watch_fd(fixture.watch) < 0
                                ? 1
                                : 3);
        }
        assert_return_code(waitpid(pid, &status, 0), errno);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_the_limit_of_watches_is_told_and_leaves_none(void **state) {
        struct StoreFixture *f = *state;
        /* Three places, and four directories. */
        int r = begin_with_limit(f, "6");

        if (r == 2)
                skip();
        assert_int_equal(r, 1);
        assert_int_equal(begin_with_limit(f, "7"), 0);
}

static void test_a_mount_over_a_source_is_everything(void **state) {
        struct StoreFixture *f = *state;

        if (!scratch_unshare_mounts())
                skip();
        watch_look_at_mounts(fixture.watch, &fixture.changes, NOW);
        expect_told("");
        if (mount("tmpfs", path_of(f, "sources/vault/a"), "tmpfs", 0, "size=64k") < 0)
                skip();
        watch_look_at_mounts(fixture.watch, &fixture.changes, NOW);
        bool everything = fixture.changes.everything;
        assert_return_code(umount2(path_of(f, "sources/vault/a"), MNT_DETACH), errno);
        assert_true(everything);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_each_directory_that_is_read_is_watched),
                TEST(test_files_are_told_by_their_paths),
                TEST(test_a_file_that_stays_open_is_told),
                TEST(test_what_no_ingest_looks_at_is_not_told),
                TEST(test_a_client_that_renames_what_it_wrote_is_told_by_the_final_name),
                TEST(test_a_new_tree_is_watched_with_what_was_made_before_it_was),
                TEST(test_a_tree_that_is_renamed_is_told_under_both_names),
                TEST(test_a_tree_that_leaves_and_comes_back),
                TEST(test_a_tree_that_is_removed_is_forgotten),
                TEST(test_a_name_that_is_not_utf8_is_told_by_its_directory),
                TEST(test_a_source_that_comes_or_goes_is_everything),
                TEST(test_a_source_that_is_a_link_is_watched_where_it_leads),
                TEST(test_a_database_that_was_exchanged_is_everything),
                TEST(test_what_the_kernel_cannot_keep_is_everything),
                TEST(test_the_limit_of_watches_is_told_and_leaves_none),
                TEST(test_a_mount_over_a_source_is_everything),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
