/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Copies of databases, and what is always true of them. Included behind cmocka.h.
 */

#include "lib/base/sqlite.h"
#include "tests/unit/database.h"

#define NOTES "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
#define FILL(n)                                                                                    \
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < " #n ")"         \
        "INSERT INTO notes(body) SELECT hex(randomblob(100)) FROM c;"

/* The whole content as one text, which the caller frees. */
static inline char *content(const char *path) {
        sqlite3 *db = database_open(path);
        char *text = database_text(db,
                "SELECT count(*) || group_concat(id || body) FROM "
                "(SELECT id, body FROM notes ORDER BY id)");

        database_close(db);
        return text;
}

static inline void assert_self_contained(const char *path) {
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

static inline enum CopyMethod copy_with(
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

static inline enum CopyMethod copy(const char *source, const char *target) {
        return copy_with(NULL, source, target);
}

static inline void assert_copy_fails(const char *source, const char *target, int result,
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

/* The bytes of a source, to compare before with after. */
struct State {
        char *main, *log;
        size_t main_size, log_size;
};

static inline struct State state_of(const char *main, const char *log) {
        struct State state = { 0 };

        state.main = scratch_read(main, &state.main_size);
        state.log = scratch_read(log, &state.log_size);
        return state;
}

static inline bool is_same(struct State *one, struct State *two) {
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
