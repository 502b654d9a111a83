/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <endian.h>

#include "lib/base/sqlite.h"
#include "tests/unit/database.h"

/*
 * SQLite takes the check of a database whose last table is a view or a virtual table for a partial
 * one, and does not compare the freelist with the tables (see lib/base/sqlite-check.c). Ours must
 * not end so: a page that is free and used at once is overwritten by the next insert.
 */
static void test_page_that_is_free_and_used_at_once_is_found_in_our_schema(void **state) {
        static const char gone[] =
                "CREATE TABLE gone AS SELECT zeroblob(100000); DROP TABLE gone; PRAGMA "
                "wal_checkpoint(TRUNCATE);";
        _cleanup_free_ char *problem = NULL, *unchecked = NULL;
        _cleanup_sqlite_ sqlite3 *db = NULL;
        uint32_t trunk, used = htobe32(2);
        int fd;

        (void) state;
        assert_int_equal(sqlite_open(scratch("x.db"), SQLITE_MODE_CREATE, &db, NULL), 0);
        assert_int_equal(schema_migrate(db, NULL), 0);
        database_execute(db, gone);
        db = sqlite_close(db);

        /* The first entry of the first page of the freelist: file format §1.5. */
        fd = open(scratch("x.db"), O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, &trunk, 4, 32), 4);
        assert_int_not_equal(trunk, 0);
        assert_int_equal(pwrite(fd, &used, 4, ((off_t) be32toh(trunk) - 1) * 4096 + 8), 4);
        (void) close(fd);

        assert_int_equal(sqlite_open(scratch("x.db"), SQLITE_MODE_IMMUTABLE, &db, NULL), 0);
        assert_int_equal(sqlite_check_integrity(NULL, db, &problem, &unchecked, NULL), 0);
        assert_non_null(problem);
        assert_null(unchecked);
}

static void test_our_schema_is_sound_and_all_of_it_is_checked(void **state) {
        _cleanup_free_ char *problem = NULL, *unchecked = NULL;
        _cleanup_sqlite_ sqlite3 *db = NULL;

        (void) state;
        assert_int_equal(sqlite_open(scratch("x.db"), SQLITE_MODE_CREATE, &db, NULL), 0);
        assert_int_equal(schema_migrate(db, NULL), 0);
        database_execute(db,
                "INSERT INTO documents VALUES (1, 'vault', 'a.md', 'A', '[]', '[]', 1, 1, 1, 1, "
                "'x',"
                " 1); INSERT INTO chunks VALUES (1, 1, 0, 'A', '[]', '', 1, 2, 3, 'words');"
                "PRAGMA wal_checkpoint(TRUNCATE);");
        db = sqlite_close(db);
        assert_int_equal(sqlite_open(scratch("x.db"), SQLITE_MODE_IMMUTABLE, &db, NULL), 0);
        assert_int_equal(sqlite_check_integrity(NULL, db, &problem, &unchecked, NULL), 0);
        assert_null(problem);
        assert_null(unchecked);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_page_that_is_free_and_used_at_once_is_found_in_our_schema,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_our_schema_is_sound_and_all_of_it_is_checked,
                        scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
