/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/unit/database.h"

#define NOTES "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
#define FILL(n)                                                                                    \
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < " #n ")"         \
        "INSERT INTO notes(body) SELECT hex(randomblob(100)) FROM c;"

/* The whole content as one text, which the caller frees. */
static char *content(const char *path) {
        sqlite3 *db = database_open(path);
        char *text = database_text(db,
                "SELECT count(*) || group_concat(id || body) FROM "
                "(SELECT id, body FROM notes ORDER BY id)");

        database_close(db);
        return text;
}

static void assert_self_contained(const char *path) {
        static const char *const suffixes[] = { "-wal", "-shm", "-journal" };
        char name[PATH_MAX];
        struct stat st;
        size_t size;

        for (size_t i = 0; i < 3; i++) {
                (void) snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
                assert_false(scratch_exists(name));
        }
        _cleanup_free_ char *data = scratch_read(path, &size);
        assert_true(size >= 512);
        assert_int_equal(data[18], 1);
        assert_int_equal(data[19], 1);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
}

static enum CopyMethod copy_with(
        const struct Operation *operation, const char *source, const char *target) {
        _cleanup_failure_ struct Failure failure = { 0 };
        enum CopyMethod method = COPY_LINKED;

        if (sqlite_copy(operation, source, target, &method, &failure) < 0)
                fail_msg("%s", failure_message(&failure));
        assert_false(failure_is_set(&failure));
        assert_true(method == COPY_CLONED || method == COPY_READ_WRITE);
        assert_self_contained(target);

        sqlite3 *db = database_open(target);
        _cleanup_free_ char *verdict = database_text(db, "PRAGMA integrity_check");
        database_close(db);
        assert_string_equal(verdict, "ok");
        return method;
}

static enum CopyMethod copy(const char *source, const char *target) {
        return copy_with(NULL, source, target);
}

static void assert_copy_fails(const char *source, const char *target, int result,
        enum EventId event, const char *at_fault) {
        _cleanup_failure_ struct Failure failure = { 0 };
        enum CopyMethod method = COPY_LINKED;

        assert_int_equal(sqlite_copy(NULL, source, target, &method, &failure), result);
        assert_string_equal(event_code(failure.event), event_code(event));
        assert_string_equal(failure.path, at_fault);
        assert_non_null(strstr(failure_message(&failure), at_fault));
        assert_non_null(strchr(failure_message(&failure), ';')); /* what to do */
        assert_int_equal(method, COPY_LINKED);
}

/* Content. */

static void test_copy_has_all_that_the_source_has(void **state) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void) state;
        database_make(scratch("source.db"),
                "PRAGMA application_id=1096045379; PRAGMA user_version=7;" NOTES FILL(5000));
        before = content(scratch("source.db"));
        copy(scratch("source.db"), scratch("copy.db"));
        after = content(scratch("copy.db"));
        assert_string_equal(after, before);
        assert_int_equal(
                database_file_int64(scratch("copy.db"), "PRAGMA application_id"), 1096045379);
        assert_int_equal(database_file_int64(scratch("copy.db"), "PRAGMA user_version"), 7);
}

static void test_copy_keeps_page_size_and_vacuum_mode(void **state) {
        static const int sizes[] = { 512, 1024, 4096, 65536 };
        static const char *const journals[] = { "DELETE", "WAL" };

        (void) state;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                for (int vacuum = 0; vacuum <= 2; vacuum++)
                        for (size_t k = 0; k < 2; k++) {
                                _cleanup_free_ char *before = NULL, *after = NULL;
                                char sql[1024];

                                (void) snprintf(sql, sizeof sql,
                                        "PRAGMA page_size=%d; PRAGMA auto_vacuum=%d;"
                                        "PRAGMA journal_mode=%s;" NOTES FILL(
                                                3000) "DELETE FROM notes WHERE id %% 3 = 0;",
                                        sizes[i], vacuum, journals[k]);
                                database_make(scratch("source.db"), sql);
                                before = content(scratch("source.db"));
                                copy(scratch("source.db"), scratch("copy.db"));
                                after = content(scratch("copy.db"));
                                assert_string_equal(after, before);
                                assert_int_equal(
                                        database_file_int64(scratch("copy.db"), "PRAGMA page_size"),
                                        sizes[i]);
                                assert_int_equal(database_file_int64(
                                                         scratch("copy.db"), "PRAGMA auto_vacuum"),
                                        vacuum);
                                assert_int_equal(remove_tree_at(AT_FDCWD, scratch("source.db")), 0);
                                assert_int_equal(
                                        remove_tree_at(AT_FDCWD, scratch("source.db-wal")), 0);
                                assert_int_equal(
                                        remove_tree_at(AT_FDCWD, scratch("source.db-shm")), 0);
                                assert_int_equal(unlink(scratch("copy.db")), 0);
                        }
}

static void test_database_without_a_table_is_copied(void **state) {
        (void) state;
        database_make(scratch("source.db"), "PRAGMA user_version=3; VACUUM");
        copy(scratch("source.db"), scratch("copy.db"));
        assert_int_equal(database_file_int64(scratch("copy.db"), "PRAGMA user_version"), 3);
}

static void test_any_name_and_a_link_to_the_source_will_do(void **state) {
        static const char *const names[] = { "with blank", "question?mode=ro", "file:x",
                "new\nline", "\xff\xfe" };

        (void) state;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                char target[64];

                (void) snprintf(target, sizeof target, "copy of %s", names[i]);
                database_make(scratch(names[i]), NOTES FILL(10));
                copy(scratch(names[i]), scratch(target));
        }
        assert_int_equal(symlink("with blank", scratch("link")), 0);
        copy(scratch("link"), scratch("copy of link"));
}

static void test_copy_goes_to_another_file_system(void **state) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void) state;
        if (!scratch_mount("8m"))
                skip();
        database_make(scratch("source.db"), "PRAGMA journal_mode=WAL;" NOTES FILL(5000));
        before = content(scratch("source.db"));
        assert_int_equal(copy(scratch("source.db"), scratch("mount/copy.db")), COPY_READ_WRITE);
        after = content(scratch("mount/copy.db"));
        assert_string_equal(after, before);
}

/* The write-ahead log and the journal. */

/* Leaves `userdata`, a database, with most of its content in the log. */
static sqlite3 *fill_log(const char *path) {
        sqlite3 *db = database_open(path);

        database_execute(db,
                "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;" NOTES
                        FILL(10) "PRAGMA wal_checkpoint(TRUNCATE);" FILL(
                                3000) "DELETE FROM notes WHERE id = 5;");
        return db;
}

static void fill_log_and_wait(int ready, void *userdata) {
        (void) fill_log(userdata);
        child_ready(ready);
        for (;;)
                (void) pause();
}

static void fill_log_and_die(int ready, void *userdata) {
        (void) fill_log(userdata);
        child_ready(ready);
        _exit(0);
}

struct State {
        char *main, *log;
        size_t main_size, log_size;
};

static struct State state_of(const char *main, const char *log) {
        struct State state = { 0 };

        state.main = scratch_read(main, &state.main_size);
        state.log = scratch_read(log, &state.log_size);
        return state;
}

static bool is_same(struct State *one, struct State *two) {
        bool same = one->main_size == two->main_size &&
                memcmp(one->main, two->main, one->main_size) == 0 && !one->log == !two->log &&
                one->log_size == two->log_size &&
                (!one->log || memcmp(one->log, two->log, one->log_size) == 0);

        free(one->main);
        free(one->log);
        free(two->main);
        free(two->log);
        return same;
}

static void test_copy_has_what_is_only_in_the_log_and_leaves_it_there(void **state) {
        static void (*const bodies[])(int, void *) = { fill_log_and_wait, fill_log_and_die };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                char name[16], log[32], target[16];
                struct Child child;
                struct State before, after;

                (void) snprintf(name, sizeof name, "source-%zu", i);
                (void) snprintf(log, sizeof log, "%s-wal", name);
                (void) snprintf(target, sizeof target, "copy-%zu", i);
                child = child_start(bodies[i], (void *) scratch(name));
                if (bodies[i] == fill_log_and_die)
                        assert_int_equal(child_wait(&child), 0);

                before = state_of(scratch(name), scratch(log));
                assert_true(before.log_size > 100000);
                assert_true(before.main_size < 20000);
                enum CopyMethod method = copy(scratch(name), scratch(target));
                after = state_of(scratch(name), scratch(log));
                assert_true(is_same(&before, &after) || method == COPY_CLONED);
                if (bodies[i] == fill_log_and_wait)
                        child_kill(&child);
                assert_int_equal(
                        database_file_int64(scratch(target), "SELECT count(*) FROM notes"), 3009);
        }
}

/* With a transaction so large that its pages are in the file already, and with it killed. */
static void die_in_transaction(int ready, void *userdata) {
        sqlite3 *db = database_open(userdata);

        database_execute(db,
                "PRAGMA journal_mode=DELETE; PRAGMA cache_size=5; BEGIN;"
                "UPDATE notes SET body = 'never committed';");
        child_ready(ready);
        _exit(0);
}

static void test_transaction_that_a_crash_interrupted_is_not_in_the_copy(void **state) {
        const char *source = database_make(scratch("source.db"), NOTES FILL(5000));
        struct State before = state_of(source, "/nonexistent"), crashed, after;
        _cleanup_free_ char *now = NULL, *expected = content(source);
        struct Child child = child_start(die_in_transaction, (void *) source);

        (void) state;
        assert_int_equal(child_wait(&child), 0);
        crashed = state_of(source, "/nonexistent");
        assert_true(scratch_exists(scratch("source.db-journal")));
        copy(source, scratch("copy.db"));
        now = content(scratch("copy.db"));
        assert_string_equal(now, expected);
        after = state_of(source, "/nonexistent");
        assert_int_equal(after.main_size, before.main_size);
        assert_false(is_same(&before, &crashed)); /* it was hot */
        free(after.main);
}

static void hold_snapshot(int ready, void *userdata) {
        sqlite3 *db = database_open(userdata);

        database_execute(db, "BEGIN; SELECT count(*) FROM notes;");
        child_ready(ready);
        for (;;)
                (void) pause();
}

/* No checkpoint can finish then, so that a clone of the main file would be old. */
static void test_reader_of_an_old_state_keeps_nothing_out_of_the_copy(void **state) {
        const char *source =
                database_make(scratch("source.db"), "PRAGMA journal_mode=WAL;" NOTES FILL(1000));
        struct Child reader = child_start(hold_snapshot, (void *) source);
        sqlite3 *writer = database_open(source);

        (void) state;
        database_execute(writer, FILL(1000));
        enum CopyMethod method = copy(source, scratch("copy.db"));
        child_kill(&reader);
        database_close(writer);
        assert_int_equal(method, COPY_READ_WRITE);
        assert_int_equal(
                database_file_int64(scratch("copy.db"), "SELECT count(*) FROM notes"), 2000);
}

/* Others write meanwhile. */

struct Writer {
        const char *path;
        _Atomic unsigned *commits; /* shared with the writing process */
        unsigned seen;
        unsigned calls;
        bool wait; /* for commits between two steps */
};

static void write_without_pause(int ready, void *userdata) {
        const struct Writer *writer = userdata;
        sqlite3 *db = database_open(writer->path);

        for (unsigned i = 0;; i++) {
                /* Pages all over the file, and two tables that must agree. */
                database_execute(db,
                        "BEGIN IMMEDIATE; UPDATE a SET n = n + 1;"
                        "UPDATE notes SET body = hex(randomblob(100)) WHERE id % 501 = 0;"
                        "INSERT INTO notes(body) VALUES ('more');"
                        "UPDATE b SET n = n + 1; COMMIT;");
                atomic_fetch_add(writer->commits, 1);
                if (i == 3)
                        child_ready(ready);
        }
}

/* Between two steps of the copy, the writer commits three times. */
static void let_write(const char *what, uint64_t done, uint64_t total, void *userdata) {
        const struct timespec moment = { .tv_nsec = 1000000 };
        struct Writer *writer = userdata;
        uint64_t deadline = monotonic_ms() + 60000;

        (void) what;
        MUST(done <= total);
        writer->calls++;
        while (writer->wait && done < total && atomic_load(writer->commits) < writer->seen + 3) {
                MUST(monotonic_ms() < deadline);
                (void) nanosleep(&moment, NULL);
        }
        writer->seen = atomic_load(writer->commits);
}

static void copy_while_written(const char *journal, bool wait) {
        struct Writer writer = { .path = scratch("source.db"), .wait = wait };
        struct Operation operation = { .progress = let_write, .userdata = &writer };
        struct Child child;
        char sql[1024];

        writer.commits = mmap(NULL, sizeof *writer.commits, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        MUST(writer.commits != MAP_FAILED);
        (void) snprintf(sql, sizeof sql,
                "PRAGMA page_size=512; PRAGMA journal_mode=%s; PRAGMA synchronous=OFF;" NOTES
                "CREATE TABLE a(n); INSERT INTO a VALUES(0);" FILL(
                        25000) "CREATE TABLE b(n); INSERT INTO b VALUES(0);",
                journal);
        database_make(writer.path, sql);
        child = child_start(write_without_pause, &writer);
        writer.seen = atomic_load(writer.commits);
        enum CopyMethod method = copy_with(&operation, writer.path, scratch("copy.db"));
        /* It is still at it. */
        unsigned commits = atomic_load(writer.commits);
        while (atomic_load(writer.commits) == commits)
                (void) sched_yield();
        child_kill(&child);
        if (method == COPY_READ_WRITE)
                assert_in_range(writer.calls, 3, 10);

        sqlite3 *db = database_open(scratch("copy.db"));
        int64_t n = database_int64(db, "SELECT n FROM a");
        assert_true(n >= 4);
        assert_int_equal(database_int64(db, "SELECT n FROM b"), n);
        assert_int_equal(database_int64(db, "SELECT count(*) FROM notes"), 25000 + n);
        database_close(db);
        (void) munmap(writer.commits, sizeof *writer.commits);
}

static void test_writer_without_pause_neither_tears_nor_delays_the_copy(void **state) {
        (void) state;
        copy_while_written("WAL", true);
}

/* Here a reader keeps writers out, so that none can commit between two steps. */
static void test_writer_with_a_journal_does_not_tear_the_copy(void **state) {
        (void) state;
        copy_while_written("DELETE", false);
}

/* Locks of this process. */

/* Does this process's parent have a lock on the file? */
static int parent_has_lock(void *userdata) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int fd = open(userdata, O_RDWR | O_CLOEXEC);

        MUST(fd >= 0 && fcntl(fd, F_GETLK, &lock) >= 0);
        return lock.l_type != F_UNLCK && lock.l_pid == getppid();
}

static void test_locks_of_other_connections_survive_the_copy(void **state) {
        static const char *const journals[] = { "DELETE", "WAL" };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                char source[16], log_index[32], target[16], sql[256];
                const char *path;

                (void) snprintf(source, sizeof source, "source-%zu", i);
                (void) snprintf(log_index, sizeof log_index, "source-%zu-shm", i);
                (void) snprintf(target, sizeof target, "copy-%zu", i);
                (void) snprintf(
                        sql, sizeof sql, "PRAGMA journal_mode=%s;" NOTES FILL(1000), journals[i]);
                path = database_make(scratch(source), sql);

                _cleanup_sqlite_ sqlite3 *reader = NULL;
                assert_int_equal(sqlite_open(path, SQLITE_MODE_READ, &reader, NULL), 0);
                assert_int_equal(
                        sqlite_execute(reader, "BEGIN; SELECT count(*) FROM notes", NULL), 0);
                assert_int_equal(child_ask(parent_has_lock, (void *) path), 1);
                copy(path, scratch(target));
                assert_int_equal(child_ask(parent_has_lock, (void *) path), 1);
                if (i == 1)
                        assert_int_equal(
                                child_ask(parent_has_lock, (void *) scratch(log_index)), 1);

                /* A failed one as well. */
                assert_copy_fails(
                        path, scratch(target), -EEXIST, EVENT_WRITE_FAILED, scratch(target));
                assert_int_equal(child_ask(parent_has_lock, (void *) path), 1);

                /* What the design forbids: so this test would see it. */
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                (void) close(fd);
                assert_int_equal(child_ask(parent_has_lock, (void *) path), 0);
        }
}

static void test_no_process_and_no_descriptor_is_left(void **state) {
        size_t before, after;

        (void) state;
        database_make(scratch("source.db"), "PRAGMA journal_mode=WAL;" NOTES FILL(100));
        before = scratch_entries("/proc/self/fd");
        copy(scratch("source.db"), scratch("copy.db"));
        assert_copy_fails(scratch("source.db"), scratch("copy.db"), -EEXIST, EVENT_WRITE_FAILED,
                scratch("copy.db"));
        after = scratch_entries("/proc/self/fd");
        assert_int_equal(after, before);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

/* What cannot be copied. */

static void test_what_is_no_database_is_not_copied(void **state) {
        (void) state;
        scratch_write(scratch("empty"), "", 0);
        scratch_write(scratch("text"), "not a database", 14);
        assert_int_equal(mkdir(scratch("directory"), 0700), 0);
        assert_int_equal(mkfifo(scratch("pipe"), 0600), 0);
        static const char *const names[] = { "empty", "text", "directory", "pipe" };
        for (size_t i = 0; i < 4; i++)
                assert_copy_fails(scratch(names[i]), scratch("copy.db"), -EBADMSG,
                        EVENT_DATABASE_INVALID, scratch(names[i]));
        assert_copy_fails(scratch("none"), scratch("copy.db"), -ENOENT, EVENT_DATABASE_MISSING,
                scratch("none"));
        assert_int_equal(scratch_entries(scratch_directory), 4);
}

static void test_existing_target_is_not_touched(void **state) {
        _cleanup_free_ char *kept = NULL;

        (void) state;
        database_make(scratch("source.db"), NOTES FILL(100));
        scratch_write(scratch("file"), "kept", 4);
        assert_int_equal(mkdir(scratch("directory"), 0700), 0);
        assert_int_equal(symlink(scratch("elsewhere"), scratch("link")), 0);
        static const char *const names[] = { "file", "directory", "link", "source.db" };
        for (size_t i = 0; i < 4; i++)
                assert_copy_fails(scratch("source.db"), scratch(names[i]), -EEXIST,
                        EVENT_WRITE_FAILED, scratch(names[i]));
        kept = scratch_read(scratch("file"), NULL);
        assert_string_equal(kept, "kept");
        assert_false(scratch_exists(scratch("elsewhere")));
}

static int copy_as_nobody(void *userdata) {
        struct Failure failure = { 0 };
        enum CopyMethod method;

        become_nobody();
        return -sqlite_copy(NULL, userdata, scratch("copy.db"), &method, &failure);
}

static void test_target_that_cannot_be_made_is_reported(void **state) {
        const char *source = database_make(scratch("source.db"), NOTES FILL(100));

        (void) state;
        assert_copy_fails(source, scratch("none/copy.db"), -ENOENT, EVENT_WRITE_FAILED,
                scratch("none/copy.db"));
        assert_int_equal(chmod(scratch_directory, 0755), 0);
        assert_int_equal(chmod(source, 0644), 0);
        if (geteuid() == 0)
                assert_int_equal(child_ask(copy_as_nobody, (void *) source), EACCES);
        if (!scratch_mount("64k"))
                return;
        scratch_make_read_only();
        assert_copy_fails(source, scratch("mount/copy.db"), -EROFS, EVENT_WRITE_FAILED,
                scratch("mount/copy.db"));
}

static int copy_up_to_limits(void *userdata) {
        const char *source = userdata, *target = scratch("copy.db");
        struct stat st;

        MUST(stat(source, &st) >= 0);
        for (uint64_t limit = 0; limit < (uint64_t) st.st_size; limit += 60000) {
                struct Failure failure = { 0 };
                enum CopyMethod method;
                int r;

                limit_file_size(limit);
                r = sqlite_copy(NULL, source, target, &method, &failure);
                if (r != -EFBIG || failure.event != EVENT_WRITE_FAILED ||
                        strcmp(failure.path, target) != 0) {
                        (void) fprintf(stderr, "%d: %s\n", r, failure_message(&failure));
                        return 1;
                }
                failure_clear(&failure);
                MUST(unlink(target) >= 0);
        }
        return 0;
}

static void test_limit_of_file_sizes_ends_the_copy_wherever_it_is(void **state) {
        const char *source = database_make(scratch("source.db"), NOTES FILL(5000));
        struct State before = state_of(source, "/nonexistent"), after;

        (void) state;
        assert_int_equal(child_ask(copy_up_to_limits, (void *) source), 0);
        after = state_of(source, "/nonexistent");
        assert_true(is_same(&before, &after));
}

static void test_full_disk_ends_the_copy_wherever_it_is(void **state) {
        static char block[4096];
        bool done = false;
        const char *source, *target;

        (void) state;
        if (!scratch_mount("1m"))
                skip();
        /* In WAL mode, so that the last step has to write too. */
        source = database_make(scratch("source.db"), "PRAGMA journal_mode=WAL;" NOTES FILL(1000));
        target = scratch("mount/copy.db");
        for (unsigned pages = 0; pages < 120 && !done; pages += pages < 60 ? 15 : 1) {
                struct Failure failure = { 0 };
                enum CopyMethod method;
                int fd = open(scratch("mount/fill"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), r;

                while (write_all(fd, block, sizeof block) >= 0)
                        ;
                MUST(ftruncate(fd, lseek(fd, 0, SEEK_END) - (off_t) pages * 4096) >= 0);
                (void) close(fd);
                r = sqlite_copy(NULL, source, target, &method, &failure);
                done = r == 0;
                if (!done &&
                        (r != -ENOSPC || failure.event != EVENT_NO_SPACE ||
                                strcmp(failure.path, target) != 0))
                        fail_msg("%u pages left: %d: %s", pages, r, failure_message(&failure));
                failure_clear(&failure);
                if (done)
                        assert_self_contained(target);
                assert_int_equal(remove_tree_at(AT_FDCWD, scratch("mount/fill")), 0);
                for (size_t i = 0; i < 4 && !done; i++) {
                        static const char *const leftovers[] = { "mount/copy.db",
                                "mount/copy.db-wal", "mount/copy.db-shm", "mount/copy.db-journal" };
                        assert_int_equal(remove_tree_at(AT_FDCWD, scratch(leftovers[i])), 0);
                }
        }
        assert_true(done);
}

static bool is_cancelled(void *userdata) {
        const struct Writer *writer = userdata;

        return writer->calls >= 2;
}

static void test_cancelled_copy_ends_half_way(void **state) {
        struct Writer writer = { 0 };
        struct Operation operation = {
                .progress = let_write, .cancelled = is_cancelled, .userdata = &writer
        };
        _cleanup_failure_ struct Failure failure = { 0 };
        enum CopyMethod method = COPY_LINKED;
        _Atomic unsigned none = 0;
        struct stat source, target;

        (void) state;
        if (!scratch_mount("16m"))
                skip(); /* a clone has no half */
        writer.commits = &none;
        database_make(scratch("source.db"), "PRAGMA page_size=512;" NOTES FILL(40000));
        assert_int_equal(sqlite_copy(&operation, scratch("source.db"), scratch("mount/copy.db"),
                                 &method, &failure),
                -EINTR);
        assert_int_equal(failure.event, EVENT_INTERRUPTED);
        assert_int_equal(writer.calls, 2);
        assert_int_equal(stat(scratch("source.db"), &source), 0);
        assert_int_equal(stat(scratch("mount/copy.db"), &target), 0);
        assert_true(target.st_size < source.st_size);
}

/* Damage is for the check of the copy to find: it is copied as it is. */
static void test_damaged_pages_are_copied_as_they_are(void **state) {
        enum CopyMethod method;
        struct stat st;

        (void) state;
        database_make(scratch("source.db"), NOTES FILL(5000));
        assert_int_equal(stat(scratch("source.db"), &st), 0);
        database_damage(scratch("source.db"), st.st_size / 4096 / 2 * 4096, 4096);
        assert_int_equal(
                sqlite_copy(NULL, scratch("source.db"), scratch("copy.db"), &method, NULL), 0);
        sqlite3 *db = database_open(scratch("copy.db"));
        _cleanup_free_ char *verdict = database_text(db, "PRAGMA integrity_check");
        database_close(db);
        assert_string_not_equal(verdict, "ok");
}

static void test_truncated_source_is_not_copied(void **state) {
        struct stat st;

        (void) state;
        database_make(scratch("source.db"), NOTES FILL(5000));
        assert_int_equal(stat(scratch("source.db"), &st), 0);
        assert_int_equal(truncate(scratch("source.db"), st.st_size / 2), 0);
        assert_copy_fails(scratch("source.db"), scratch("copy.db"), -EBADMSG,
                EVENT_DATABASE_INVALID, scratch("source.db"));
        assert_false(scratch_exists(scratch("copy.db")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_copy_has_all_that_the_source_has, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copy_keeps_page_size_and_vacuum_mode, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_database_without_a_table_is_copied, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_any_name_and_a_link_to_the_source_will_do,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copy_goes_to_another_file_system, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copy_has_what_is_only_in_the_log_and_leaves_it_there, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_transaction_that_a_crash_interrupted_is_not_in_the_copy, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_reader_of_an_old_state_keeps_nothing_out_of_the_copy, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_writer_without_pause_neither_tears_nor_delays_the_copy, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(test_writer_with_a_journal_does_not_tear_the_copy,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_locks_of_other_connections_survive_the_copy,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_no_process_and_no_descriptor_is_left, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_is_no_database_is_not_copied, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_existing_target_is_not_touched, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_target_that_cannot_be_made_is_reported,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_limit_of_file_sizes_ends_the_copy_wherever_it_is, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(test_full_disk_ends_the_copy_wherever_it_is,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_cancelled_copy_ends_half_way, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_damaged_pages_are_copied_as_they_are, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_truncated_source_is_not_copied, scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
