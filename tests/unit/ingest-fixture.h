/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sources in a storage root of its own (store-fixture.h), what an ingest of them did, and what the
 * database holds then.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <utime.h>

#include "index-fixture.h"
#include "lib/knowledge/ingest.h"
#include "store-fixture.h"

/* Files are as old as this: stat(2) proves that they did not change. */
#define OLD (time_t) 1700000000

static inline const char *path_of(struct StoreFixture *f, const char *name) {
        static char path[512];

        (void) snprintf(path, sizeof path, "%s/%s", f->root, name);
        return path;
}

static inline void set_time(struct StoreFixture *f, const char *name, time_t time) {
        const struct utimbuf times = { time, time };

        assert_return_code(utime(path_of(f, name), &times), errno);
}

static inline void write_bytes(
        struct StoreFixture *f, const char *name, const char *data, size_t size) {
        char *path = strdup(path_of(f, name)), *slash;

        assert_non_null(path);
        slash = strrchr(path, '/');
        *slash = '\0';
        assert_int_equal(make_directories(f->root, path), 0);
        *slash = '/';
        assert_int_equal(write_file_atomic_at(AT_FDCWD, path, data, size), 0);
        free(path);
        set_time(f, name, OLD);
}

static inline void write_text(struct StoreFixture *f, const char *name, const char *text) {
        write_bytes(f, name, text, strlen(text));
}

/* `n` files below a directory. */
static inline void write_many(struct StoreFixture *f, const char *directory, int n) {
        for (int i = 0; i < n; i++) {
                char name[128], text[64];

                (void) snprintf(name, sizeof name, "%s/%03d.md", directory, i);
                (void) snprintf(text, sizeof text, "# Note %d\n\ntext %d\n", i, i);
                write_text(f, name, text);
        }
}

static inline void remove_file(struct StoreFixture *f, const char *name) {
        assert_int_equal(remove_tree_at(AT_FDCWD, path_of(f, name)), 0);
}

static inline struct IngestResult *ingest_of(struct StoreFixture *f,
        const struct Project *const *projects, size_t n, bool allow_mass_removal) {
        struct IngestResult *result = NULL;

        assert_success(f,
                ingest_run(&f->operation, projects, n, allow_mass_removal, &result, &f->failure));
        return result;
}

static inline struct IngestResult *ingest(struct StoreFixture *f) {
        return ingest_of(f, NULL, 0, false);
}

/* `seen indexed unchanged removed +chunks -chunks`, then one line for each error; caller frees. */
static inline char *result_text(const struct IngestResult *result) {
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        if (!stream)
                abort();
        (void) fprintf(stream,
                "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " +%" PRIu64 " -%" PRIu64,
                result->files_seen, result->files_indexed, result->files_unchanged,
                result->files_removed, result->chunks_added, result->chunks_removed);
        for (size_t i = 0; i < result->n_errors; i++)
                (void) fprintf(stream, "\n%s: %s", result->errors[i].path, result->errors[i].error);
        if (fclose(stream) != 0)
                abort();
        return text;
}

static inline void expect_result(const struct IngestResult *result, const char *expected) {
        _cleanup_free_ char *text = result_text(result);

        assert_string_equal(text, expected);
}

static inline void expect(struct StoreFixture *f, const char *expected) {
        _cleanup_ingest_result_ struct IngestResult *result = ingest(f);

        expect_result(result, expected);
}

/* `[event] message`, one line for each. */
struct Notices {
        char text[1024];
};

static inline void take_notice(const struct Event *event, const char *message, void *userdata) {
        struct Notices *notices = userdata;
        size_t n = strlen(notices->text);

        assert_non_null(event->path);
        (void) snprintf(notices->text + n, sizeof notices->text - n, "[%s] %s\n",
                event_code(event->id), message);
}

static inline void take_notices(struct StoreFixture *f, struct Notices *notices) {
        f->operation.notice = take_notice;
        f->operation.userdata = notices;
}

static inline void open_store(struct StoreFixture *f) {
        if (!f->store)
                assert_success(
                        f, store_open(&f->operation, SQLITE_MODE_READ, &f->store, &f->failure));
}

/* All rows of a query, columns with | between them, rows with newlines. */
static inline void expect_rows(struct StoreFixture *f, const char *sql, const char *expected) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        open_store(f);
        assert_success(f, sqlite_prepare(store_database(f->store), sql, &statement, &f->failure));
        while (sqlite3_step(statement) == SQLITE_ROW) {
                for (int i = 0; i < sqlite3_column_count(statement); i++)
                        (void) fprintf(stream, "%s%s", i > 0 ? "|" : "",
                                (const char *) sqlite3_column_text(statement, i));
                (void) fputc('\n', stream);
        }
        assert_int_equal(fclose(stream), 0);
        assert_string_equal(text, expected);
        free(text);
}

static inline void expect_sound_index(struct StoreFixture *f) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Store *writer = NULL;

        assert_int_equal(store_open(&f->operation, SQLITE_MODE_WRITE, &writer, &failure), 0);
        assert_index_is_of_its_chunks(store_database(writer));
        store_close(writer);
        expect_rows(f, "PRAGMA integrity_check", "ok\n");
        expect_rows(f, "PRAGMA foreign_key_check", "");
}
