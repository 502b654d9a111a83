/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>

#include "tests/unit/copy-fixture.h"

/* Others write meanwhile. */

struct Writer {
        const char *path;
        int commits[2]; /* a pipe: one byte for each, as long as there is room */
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
                MUST(write(writer->commits[1], "c", 1) == 1 || errno == EAGAIN);
                if (i == 3)
                        child_ready(ready);
        }
}

/* Comes back when `n` commits were made from now on. */
static void wait_for_commits(const struct Writer *writer, unsigned n) {
        struct pollfd readable = { .fd = writer->commits[0], .events = POLLIN };
        char bytes[4096];

        while (poll(&readable, 1, 0) > 0)
                MUST(read(writer->commits[0], bytes, sizeof bytes) > 0);
        for (unsigned i = 0; i < n; i++)
                MUST(poll(&readable, 1, 60000) == 1 && read(writer->commits[0], bytes, 1) == 1);
}

static void let_write(const char *what, uint64_t done, uint64_t total, void *userdata) {
        struct Writer *writer = userdata;

        (void) what;
        MUST(done <= total);
        writer->calls++;
        if (writer->wait && done < total)
                wait_for_commits(writer, 3);
}

static void copy_while_written(const char *journal, bool wait) {
        struct Writer writer = { .path = scratch("source.db"), .wait = wait };
        struct Operation operation = { .progress = let_write, .userdata = &writer };
        struct Child child;
        char sql[1024];

        assert_int_equal(pipe2(writer.commits, O_CLOEXEC | O_NONBLOCK), 0);
        (void) snprintf(sql, sizeof sql,
                "PRAGMA page_size=512; PRAGMA journal_mode=%s;" NOTES
                "CREATE TABLE a(n); INSERT INTO a VALUES(0);" FILL(
                        25000) "CREATE TABLE b(n); INSERT INTO b VALUES(0);",
                journal);
        database_make(writer.path, sql);
        child = child_start(write_without_pause, &writer);
        enum CopyMethod method = copy_with(&operation, writer.path, scratch("copy.db"));
        wait_for_commits(&writer, 1); /* it is still at it */
        child_kill(&child);
        (void) close(writer.commits[0]);
        (void) close(writer.commits[1]);
        if (method == COPY_READ_WRITE)
                assert_in_range(writer.calls, 3, 10); /* and did not start over */

        sqlite3 *db = database_open(scratch("copy.db"));
        int64_t n = database_int64(db, "SELECT n FROM a");
        assert_true(n >= 4);
        assert_int_equal(database_int64(db, "SELECT n FROM b"), n);
        assert_int_equal(database_int64(db, "SELECT count(*) FROM notes"), 25000 + n);
        database_close(db);
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

static void hold_transaction(int ready, void *userdata) {
        sqlite3 *db = database_open(userdata);

        database_execute(db, "BEGIN IMMEDIATE; DELETE FROM notes;");
        child_ready(ready);
        for (;;)
                (void) pause();
}

/* Its pages could be on their way into the file. */
static void test_no_clone_is_made_of_a_transaction_half_way(void **state) {
        static const char *const journals[] = { "DELETE", "WAL" };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                char source[16], target[16], sql[256];
                struct Child writer;

                (void) snprintf(source, sizeof source, "source-%zu", i);
                (void) snprintf(target, sizeof target, "copy-%zu", i);
                (void) snprintf(
                        sql, sizeof sql, "PRAGMA journal_mode=%s;" NOTES FILL(1000), journals[i]);
                database_make(scratch(source), sql);
                writer = child_start(hold_transaction, (void *) scratch(source));
                enum CopyMethod method = copy(scratch(source), scratch(target));
                child_kill(&writer);
                assert_int_equal(method, COPY_READ_WRITE);
                assert_int_equal(
                        database_file_int64(scratch(target), "SELECT count(*) FROM notes"), 1000);
        }
}

/* As soon as something is copied, the source becomes a fraction of what it was. */
static void shrink(int ready, void *userdata) {
        sqlite3 *db = database_open(scratch("source.db"));
        uint64_t deadline = monotonic_ms() + 60000;
        struct stat st = { 0 };

        (void) userdata;
        database_execute(db, "BEGIN IMMEDIATE; DELETE FROM notes WHERE id > 10;");
        child_ready(ready);
        while (stat(scratch("copy.db"), &st) < 0 || st.st_size == 0)
                MUST(monotonic_ms() < deadline && sched_yield() >= 0);
        database_execute(db, "COMMIT");
        database_close(db);
}

static void test_source_that_shrinks_leaves_nothing_behind_the_copy(void **state) {
        struct stat source, target;
        struct Child writer;

        (void) state;
        database_make(scratch("source.db"), "PRAGMA auto_vacuum=FULL;" NOTES FILL(5000));
        writer = child_start(shrink, NULL);
        enum CopyMethod method = copy(scratch("source.db"), scratch("copy.db"));
        assert_int_equal(child_wait(&writer), 0);
        assert_int_equal(stat(scratch("source.db"), &source), 0);
        assert_int_equal(stat(scratch("copy.db"), &target), 0);
        assert_true(source.st_size < 50000);
        assert_true(method != COPY_CLONED || target.st_size == source.st_size);
        int64_t rows = database_file_int64(scratch("copy.db"), "SELECT count(*) FROM notes");
        assert_true(rows == 10 || (rows == 5000 && method == COPY_READ_WRITE));
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
                assert_cloned_where_possible(copy(path, scratch(target)));
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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_writer_without_pause_neither_tears_nor_delays_the_copy, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(test_writer_with_a_journal_does_not_tear_the_copy,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_locks_of_other_connections_survive_the_copy,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_no_process_and_no_descriptor_is_left, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_no_clone_is_made_of_a_transaction_half_way,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_source_that_shrinks_leaves_nothing_behind_the_copy, scratch_setup,
                        scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
