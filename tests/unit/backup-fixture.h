/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A storage root with a database, a registry and a vector store in the scratch directory, and an
 * operation that remembers what it was told and stops or interferes when asked to.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/backup/snapshot.h"
#include "lib/base/json-document.h"
#include "tests/unit/database.h"

#define NOW       INT64_C(1775541600) /* 20260407T060000Z */
#define NOW_STAMP "20260407T060000Z"

struct Notice {
        enum EventId id;
        char *path;
        char *message;
};

struct Fixture {
        struct Layout *layout;
        struct Config config; /* nothing in it but what a test puts there */
        struct Clock clock;
        struct Operation operation;
        struct Failure failure;
        struct Notice notices[32];
        size_t n_notices;

        size_t checks;       /* how often it was asked whether to stop */
        size_t stop_at;      /* 1: the first time, …; 0: never */
        void (*asked)(void); /* instead of work that goes on beside it; maybe NULL */
        void (*progress)(const char *what);
};

static inline void fixture_notice(const struct Event *event, const char *message, void *userdata) {
        struct Fixture *f = userdata;
        struct Notice *notice = &f->notices[f->n_notices++];

        MUST(f->n_notices < sizeof f->notices / sizeof f->notices[0]);
        notice->id = event->id;
        notice->path = event->path ? strdup(event->path) : NULL;
        notice->message = strdup(message);
}

static inline bool fixture_cancelled(void *userdata) {
        struct Fixture *f = userdata;

        f->checks++;
        if (f->asked)
                f->asked();
        return f->stop_at > 0 && f->checks >= f->stop_at;
}

static inline void fixture_progress(
        const char *what, uint64_t done, uint64_t total, void *userdata) {
        struct Fixture *f = userdata;

        (void) done;
        (void) total;
        if (f->progress)
                f->progress(what);
}

static inline int fixture_setup(void **state) {
        struct Fixture *f = calloc(1, sizeof *f);

        MUST(f && scratch_setup(state) == 0);
        MUST(layout_new(scratch_directory, &f->layout) == 0);
        f->clock = (struct Clock){ .frozen = true, .now = NOW };
        f->operation = (struct Operation){ .layout = f->layout,
                .config = &f->config,
                .clock = &f->clock,
                .program = "test",
                .cancelled = fixture_cancelled,
                .progress = fixture_progress,
                .notice = fixture_notice,
                .userdata = f };
        MUST(make_directories(scratch_directory, f->layout->snapshots) == 0);
        *state = f;
        return 0;
}

static inline void fixture_forget(struct Fixture *f) {
        for (size_t i = 0; i < f->n_notices; i++) {
                free(f->notices[i].path);
                free(f->notices[i].message);
        }
        f->n_notices = 0;
        failure_clear(&f->failure);
        f->failure = (struct Failure){ 0 };
}

static inline int fixture_teardown(void **state) {
        struct Fixture *f = *state;

        fixture_forget(f);
        layout_free(f->layout);
        free(f);
        return scratch_teardown(state);
}

/* Data for a snapshot with some of everything. */
static inline void fixture_fill(struct Fixture *f) {
        MUST(make_directories(scratch_directory, f->layout->database_dir) == 0);
        MUST(make_directories(scratch_directory, scratch("config")) == 0);
        MUST(make_directories(scratch_directory, scratch("data/chroma/index")) == 0);
        database_make(f->layout->database,
                "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
                "INSERT INTO notes(body) VALUES ('one'), ('two');");
        scratch_write(f->layout->registry, "{\"projects\":[]}\n", 16);
        scratch_write(scratch("data/chroma/index/a.bin"), "0123456789", 10);
        scratch_write(scratch("data/chroma/empty"), "", 0);
        database_make(scratch("data/chroma/chroma.sqlite3"), "CREATE TABLE t(x)");
}

#define assert_success(f, expression)                                                              \
        do {                                                                                       \
                if ((expression) < 0)                                                              \
                        fail_msg("%s: %s", #expression, failure_message(&(f)->failure));           \
        } while (false)

static inline struct Snapshot *fixture_create(struct Fixture *f, bool include_chroma) {
        const struct SnapshotOptions options = { .include_chroma = include_chroma };
        struct Snapshot *snapshot = NULL;

        assert_success(f, snapshot_create(&f->operation, &options, &snapshot, &f->failure));
        return snapshot;
}

static inline size_t fixture_count(const struct Fixture *f, enum EventId id) {
        size_t n = 0;

        for (size_t i = 0; i < f->n_notices; i++)
                n += f->notices[i].id == id;
        return n;
}

/* "" for a member that is not there or null. */
static inline const char *json_text_of(json_object *object, const char *key) {
        json_object *value = NULL;

        (void) json_object_object_get_ex(object, key, &value);
        return value ? json_object_get_string(value) : "";
}

static inline json_object *json_member(json_object *object, const char *key) {
        json_object *value = NULL;

        assert_true(json_object_object_get_ex(object, key, &value));
        return value;
}

/* The document as others would read it back; the caller puts it. */
static inline json_object *json_again(json_object *object) {
        const char *text = json_object_to_json_string(object);
        json_object *again = NULL;
        char *problem = NULL;

        if (json_document_parse(text, strlen(text), 32, &again, &problem) < 0)
                fail_msg("%s: %s", problem, text);
        return again;
}
