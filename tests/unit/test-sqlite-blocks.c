/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/sqlite-blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/sqlite.h"
#include "tests/unit/database.h"

/* A default VFS that counts how it is read, and has a bad sector. */
static sqlite3_vfs *system_vfs, test_vfs;
static const sqlite3_io_methods *system_methods;
static sqlite3_io_methods test_methods;
static struct {
        size_t calls, bytes;
        sqlite3_int64 bad; /* where it is; -1: nowhere */
} disk = { .bad = -1 };

static int read_disk(sqlite3_file *file, void *buffer, int size, sqlite3_int64 at) {
        disk.calls++;
        disk.bytes += (size_t) size;
        if (disk.bad >= at && disk.bad < at + size)
                return SQLITE_IOERR_READ;
        return system_methods->xRead(file, buffer, size, at);
}

static int open_disk(
        sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags) {
        int code = system_vfs->xOpen(system_vfs, path, file, flags, ret_flags);

        (void) vfs;
        if (code == SQLITE_OK) {
                system_methods = file->pMethods;
                test_methods = *system_methods;
                test_methods.xRead = read_disk;
                file->pMethods = &test_methods;
        }
        return code;
}

static int group_setup(void **state) {
        (void) state;
        system_vfs = sqlite3_vfs_find(NULL);
        MUST(system_vfs);
        test_vfs = *system_vfs;
        test_vfs.zName = "test-disk";
        test_vfs.xOpen = open_disk;
        MUST(sqlite3_vfs_register(&test_vfs, 1) == SQLITE_OK);
        return 0;
}

static sqlite3 *open_immutable(const char *path) {
        _cleanup_failure_ struct Failure failure = { 0 };
        sqlite3 *db = NULL;

        if (sqlite_open(path, SQLITE_MODE_IMMUTABLE, &db, &failure) < 0)
                fail_msg("%s: %s", path, failure_message(&failure));
        return db;
}

/* Rows in an order that has nothing to do with that of the pages, some of them over many pages. */
static const char *make(const char *name, int page_size, int rows) {
        char sql[512];

        (void) snprintf(sql, sizeof sql,
                "PRAGMA page_size=%d; CREATE TABLE t(id INTEGER PRIMARY KEY, x, y);"
                "CREATE INDEX t_x ON t(x);"
                "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d)"
                "INSERT INTO t SELECT i, (i * 7919) %% 10007,"
                " printf('%%.*c', CASE WHEN i %% 50 THEN i %% 300 ELSE 40000 END, 'y') FROM c;",
                page_size, rows);
        return database_make(scratch(name), sql);
}

#define SUM "SELECT sum(id * x + length(y)) FROM t INDEXED BY t_x WHERE x >= 0"

static void test_what_is_read_is_what_is_there(void **state) {
        static const int page_sizes[] = { 512, 4096, 65536 }, rows[] = { 0, 10, 3000 };

        (void) state;
        for (size_t p = 0; p < 3; p++)
                for (size_t r = 0; r < 3; r++) {
                        const char *path = make("a.db", page_sizes[p], rows[r]);
                        sqlite3 *plain = database_open(path);
                        char *expected = database_text(plain, "SELECT coalesce((" SUM "), 0)");
                        _cleanup_sqlite_ sqlite3 *db = open_immutable(path);
                        char *sum = database_text(db, "SELECT coalesce((" SUM "), 0)");
                        char *check = database_text(db, "PRAGMA integrity_check");

                        assert_string_equal(sum, expected);
                        assert_string_equal(check, "ok");
                        free(sum);
                        free(check);
                        free(expected);
                        database_close(plain);
                        assert_int_equal(unlink(path), 0);
                }
}

static void test_a_check_reads_long_and_seldom(void **state) {
        (void) state;
        _cleanup_sqlite_ sqlite3 *db = open_immutable(make("a.db", 4096, 20000));
        size_t pages = (size_t) database_int64(db, "PRAGMA page_count");

        disk.calls = disk.bytes = 0;
        free(database_text(db, "PRAGMA integrity_check"));
        /* Each twice, as the check does. */
        if (pages < 4000 || disk.calls > pages / 3 || disk.bytes > 3 * pages * 4096)
                fail_msg("%zu pages in %zu calls, %zu bytes", pages, disk.calls, disk.bytes);
}

static void test_a_bad_sector_is_one_of_its_page_only(void **state) {
        (void) state;
        const char *path = database_make(scratch("a.db"),
                "CREATE TABLE good(x); CREATE TABLE bad(x); INSERT INTO good VALUES ('good');"
                "INSERT INTO bad VALUES ('bad')");
        _cleanup_sqlite_ sqlite3 *db = open_immutable(path);
        sqlite3_stmt *statement;

        disk.bad = database_int64(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'bad'");
        disk.bad = (disk.bad - 1) * 4096 + 17;
        sqlite_close(db);
        db = open_immutable(path);
        for (int again = 0; again < 2; again++) {
                char *good = database_text(db, "SELECT x FROM good");

                assert_string_equal(good, "good");
                free(good);
                assert_int_equal(
                        sqlite3_prepare_v2(db, "SELECT x FROM bad", -1, &statement, NULL), 0);
                assert_int_equal(sqlite3_step(statement), SQLITE_IOERR_READ);
                (void) sqlite3_finalize(statement);
        }
        disk.bad = -1;
}

static void test_a_file_that_was_cut_is_damaged(void **state) {
        (void) state;
        const char *path = make("a.db", 4096, 3000);
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        for (off_t size = st.st_size - 4096; size > st.st_size / 2; size -= 60000) {
                assert_int_equal(truncate(path, size), 0);
                sqlite3 *db = NULL;

                assert_int_equal(sqlite_open(path, SQLITE_MODE_IMMUTABLE, &db, NULL), -EBADMSG);
        }
}

int main(void) {
#define TEST(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_what_is_read_is_what_is_there),
                TEST(test_a_check_reads_long_and_seldom),
                TEST(test_a_bad_sector_is_one_of_its_page_only),
                TEST(test_a_file_that_was_cut_is_damaged),
        };
        return cmocka_run_group_tests(tests, group_setup, NULL);
}
