/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/backup/proof.h"

#include <errno.h>

#include "lib/base/lock.h"
#include "store-fixture.h"
#include "tests/unit/fake-daemon.h"

#define REGISTRY                                                                                   \
        "{\"projects\":[{\"id\":\"p05\",\"aliases\":[],\"description\":\"\",\"ingest_roots\":"     \
        "[{\"source\":\"vault\",\"subpath\":\"a\",\"label\":\"\"}]}]}"

static void write_registry(struct StoreFixture *f, const char *text) {
        MUST(make_directories(f->root, f->layout->sources) == 0);
        _cleanup_free_ char *directory = strdup(f->layout->registry);
        *strrchr(directory, '/') = '\0';
        MUST(make_directories(f->root, directory) == 0);
        MUST(write_file_atomic_at(AT_FDCWD, f->layout->registry, text, strlen(text)) == 0);
}

/* Two documents and three chunks, the first without a word, and a registry; closed again. */
static int proof_setup(void **state) {
        if (fixture_new_with_store(state) < 0)
                return -1;
        struct StoreFixture *f = *state;
        int64_t one = fixture_add_document(f, "vault", "a/one.md");
        int64_t two = fixture_add_document(f, "vault", "two.md");

        (void) fixture_add_chunk(f, one, "\xf0\x9f\x8c\x8d", "[]", "\xf0\x9f\x8c\x8d !?");
        (void) fixture_add_chunk(f, one, "One", "[\"Optics\"]", "The interferometer has a mirror.");
        (void) fixture_add_chunk(f, two, "Two", "[]", "M\xc3\xbchle am Bach");
        f->store = store_close(f->store);
        MUST(make_directories(f->root, f->layout->tmp) == 0);
        write_registry(f, REGISTRY);
        real_daemon();
        return 0;
}

static int proof_teardown(void **state) {
        forget_daemons();
        return fixture_free(state);
}

/* Nothing is left of a daemon, whatever came of it. */
static int prove(struct StoreFixture *f, int lock_fd, const struct ProofExpectation *expected,
        struct ProofResult *ret_result) {
        int r;

        failure_clear(&f->failure);
        r = proof_run(&f->operation, f->layout, lock_fd, expected, ret_result, &f->failure);
        assert_true((r < 0) == failure_is_set(&f->failure));
        assert_no_child();
        assert_int_equal(scratch_entries(f->layout->tmp), 0);
        return r;
}

static json_object *counts_of(const char *text) {
        json_object *counts = json_tokener_parse(text);

        MUST(counts);
        return counts;
}

static void assert_says(const char *text, const char *part) {
        if (!text || !strstr(text, part))
                fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* It fails at `check`, which is the last that is reached. */
static void assert_broken(struct StoreFixture *f, const struct ProofExpectation *expected,
        enum ProofCheck check, const char *message) {
        _cleanup_proof_result_ struct ProofResult result = { 0 };

        assert_true(prove(f, -1, expected, &result) < 0);
        assert_string_equal(event_code(f->failure.event), "proof_failed");
        assert_string_equal(f->failure.path, f->root);
        assert_says(f->failure.message, message);
        for (int i = 0; i < PROOF_CHECK_COUNT_; i++)
                if (i >= (int) check)
                        assert_int_equal(result.checks[i].outcome,
                                i == (int) check ? PROOF_BROKEN : PROOF_NOT_REACHED);
                else
                        assert_true(result.checks[i].outcome == PROOF_PASSED);
}

static void test_data_that_can_be_served_is_proved(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_json_ json_object *counts = counts_of(
                "{\"documents\":2,\"chunks\":3,\"interactions\":0,\"state\":9,\"memories\":null}");
        const struct ProofExpectation expected = { .counts = counts };
        _cleanup_proof_result_ struct ProofResult result = { 0 };
        _cleanup_json_ json_object *json = NULL;

        assert_success(f, prove(f, -1, &expected, &result));
        for (int i = 0; i < PROOF_CHECK_COUNT_; i++)
                if (result.checks[i].outcome != PROOF_PASSED)
                        fail_msg("%s: %s", proof_check_name((enum ProofCheck) i),
                                result.checks[i].detail);
        assert_false(result.foreign);
        assert_says(result.checks[PROOF_STATS].detail, "counted: 3");
        assert_says(result.checks[PROOF_PROJECTS].detail, "Projects: 1");
        assert_says(result.checks[PROOF_CONTEXT].detail, " of 3");

        json = proof_result_to_json(&result);
        assert_non_null(json);
        json_object *checks = NULL, *name = NULL;
        assert_true(json_object_object_get_ex(json, "checks", &checks));
        assert_int_equal(json_object_array_length(checks), PROOF_CHECK_COUNT_);
        assert_true(json_object_object_get_ex(
                json_object_array_get_idx(checks, PROOF_CONTEXT), "outcome", &name));
        assert_string_equal(json_object_get_string(name), "passed");
}

/* As a restore does it. */
static void test_it_is_proved_under_the_lock_of_a_restore(void **state) {
        struct StoreFixture *f = *state;
        const struct ProofExpectation expected = { 0 };
        _cleanup_proof_result_ struct ProofResult result = { 0 };
        _cleanup_lock_ struct Lock *gate = NULL, *store = NULL;
        _cleanup_free_ char *before = NULL, *after = NULL;
        struct Lock *other = NULL;

        assert_success(f,
                lock_acquire(f->layout->gate_lock, LOCK_MODE_EXCLUSIVE, &f->operation, &gate,
                        &f->failure));
        assert_success(f,
                lock_acquire(f->layout->store_lock, LOCK_MODE_EXCLUSIVE, &f->operation, &store,
                        &f->failure));
        before = scratch_read(f->layout->store_lock, NULL);
        assert_success(f, prove(f, lock_fd(store), &expected, &result));
        assert_int_equal(result.checks[PROOF_CONTEXT].outcome, PROOF_PASSED);

        /* It is still ours alone, with our name. */
        after = scratch_read(f->layout->store_lock, NULL);
        assert_string_equal(after, before);
        assert_int_equal(
                lock_acquire(f->layout->store_lock, LOCK_MODE_SHARED, &f->operation, &other, NULL),
                -EAGAIN);
        assert_true((fcntl(lock_fd(store), F_GETFD) & FD_CLOEXEC) != 0);
}

static void test_without_that_lock_the_daemon_waits_in_vain(void **state) {
        struct StoreFixture *f = *state;
        const struct ProofExpectation expected = { .ready_ms = 300 };
        _cleanup_lock_ struct Lock *gate = NULL;

        assert_success(f,
                lock_acquire(f->layout->gate_lock, LOCK_MODE_EXCLUSIVE, &f->operation, &gate,
                        &f->failure));
        assert_broken(f, &expected, PROOF_START, "was to serve within 300 ms, and does not");
}

static void test_another_number_of_rows_is_told(void **state) {
        static const struct {
                const char *counts;
                const char *message;
        } cases[] = {
                { "{\"documents\":3}", "GET /stats was to give 3 documents, and gave 2;" },
                { "{\"documents\":2,\"chunks\":0}",
                        "GET /stats was to give 0 chunks, and gave 3;" },
                { "{\"interactions\":1}", "GET /stats was to give 1 interactions, and gave 0;" },
                { "{\"memories\":7}", "GET /stats was to give 7 memories, and gave 0;" },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                _cleanup_json_ json_object *counts = counts_of(cases[i].counts);
                const struct ProofExpectation expected = { .counts = counts };

                assert_broken(*state, &expected, PROOF_STATS, cases[i].message);
        }
}

static void test_a_query_of_the_callers_must_find_something(void **state) {
        struct StoreFixture *f = *state;
        const struct ProofExpectation good = { .query = "mirror" }, bad = { .query = "zzyzx" };
        _cleanup_proof_result_ struct ProofResult result = { 0 };

        assert_success(f, prove(f, -1, &good, &result));
        assert_says(result.checks[PROOF_CONTEXT].detail, "Chunks used: 1 of 3");
        assert_broken(f, &bad, PROOF_CONTEXT,
                "POST /context/build was to give 200 and at least one chunk, and gave none for the "
                "words \"zzyzx\"");
}

static void test_an_index_that_finds_nothing_is_told(void **state) {
        struct StoreFixture *f = *state;
        const struct ProofExpectation expected = { 0 };

        assert_success(f, store_open(&f->operation, SQLITE_MODE_WRITE, &f->store, &f->failure));
        fixture_execute(f, "DELETE FROM postings; DELETE FROM terms");
        f->store = store_close(f->store);
        assert_broken(f, &expected, PROOF_CONTEXT, "and gave none for the words ");
}

static void test_an_empty_database_is_fine(void **state) {
        struct StoreFixture *f = *state;
        const struct ProofExpectation expected = { 0 };
        _cleanup_proof_result_ struct ProofResult result = { 0 };

        assert_success(f, store_open(&f->operation, SQLITE_MODE_WRITE, &f->store, &f->failure));
        fixture_execute(f, "DELETE FROM chunks; DELETE FROM documents");
        f->store = store_close(f->store);
        assert_success(f, prove(f, -1, &expected, &result));
        assert_says(result.checks[PROOF_CONTEXT].detail, "Chunks used: 0 of 0");
}

static void test_a_registry_that_is_not_there_or_broken_is_a_warning(void **state) {
        struct StoreFixture *f = *state;
        const struct ProofExpectation expected = { 0 };

        for (size_t i = 0; i < 2; i++) {
                _cleanup_proof_result_ struct ProofResult result = { 0 };

                if (i == 0)
                        MUST(unlink(f->layout->registry) >= 0);
                else
                        write_registry(f, "{");
                assert_success(f, prove(f, -1, &expected, &result));
                assert_int_equal(result.checks[PROOF_PROJECTS].outcome, PROOF_WARNED);
                assert_says(result.checks[PROOF_PROJECTS].detail, "project-registry.json");
                assert_int_equal(result.checks[PROOF_CONTEXT].outcome, PROOF_PASSED);
        }
}

static void replace_database(struct StoreFixture *f, const void *data, size_t size) {
        MUST(remove_tree_at(AT_FDCWD, f->layout->database_dir) == 0);
        MUST(make_directories(f->root, f->layout->database_dir) == 0);
        if (data)
                MUST(write_file_atomic_at(AT_FDCWD, f->layout->database, data, size) == 0);
}

static void test_a_foreign_database_is_only_looked_at(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_json_ json_object *counts = counts_of("{\"documents\":5}");
        const struct ProofExpectation expected = { .counts = counts };
        _cleanup_proof_result_ struct ProofResult result = { 0 };
        sqlite3 *db = NULL;

        replace_database(f, NULL, 0);
        MUST(sqlite3_open(f->layout->database, &db) == SQLITE_OK);
        MUST(sqlite3_exec(db, "CREATE TABLE documents(x)", NULL, NULL, NULL) == SQLITE_OK);
        MUST(sqlite3_close(db) == SQLITE_OK);
        assert_success(f, prove(f, -1, &expected, &result));
        assert_true(result.foreign);
        assert_int_equal(result.checks[PROOF_HEALTH].outcome, PROOF_WARNED);
        assert_says(result.checks[PROOF_HEALTH].detail, f->layout->database);
        for (int i = PROOF_STATS; i < PROOF_CHECK_COUNT_; i++)
                assert_int_equal(result.checks[i].outcome, PROOF_SKIPPED);
}

static void test_a_database_that_cannot_be_read_is_told(void **state) {
        struct StoreFixture *f = *state;
        const struct ProofExpectation expected = { 0 };

        replace_database(f, "no database at all, whatever its name is", 40);
        assert_broken(f, &expected, PROOF_HEALTH,
                "GET /health was to give a database that can be read, and gave one that cannot: ");
        replace_database(f, NULL, 0);
        assert_broken(f, &expected, PROOF_HEALTH, "There is no database at ");
}

static void test_a_daemon_that_ends_is_told_with_its_last_words(void **state) {
        const struct ProofExpectation expected = { 0 };

        fake_daemon("ends when ready");
        assert_broken(*state, &expected, PROOF_HEALTH,
                "GET /health was to give 200 and the state of the database, and gave no answer (");
        assert_says(((struct StoreFixture *) *state)->failure.message,
                "): it ended with status 3: last words; ");
        assert_fake_is_gone();
}

static void test_a_daemon_that_does_not_come_up_is_told(void **state) {
        const struct ProofExpectation expected = { .ready_ms = 1 };

        MUST(setenv(PRIVATE_DAEMON_VARIABLE, "/bin/false", 1) >= 0);
        assert_broken(*state, &(struct ProofExpectation){ 0 }, PROOF_START, "ended with status 1;");
        fake_daemon("is never ready");
        assert_broken(*state, &expected, PROOF_START, "within 1 ms");
        assert_fake_is_gone();
}

static void test_an_answer_that_does_not_come_is_told(void **state) {
        const struct ProofExpectation expected = { .answer_ms = 50, .stop_ms = 1 };

        fake_daemon("accepts and is silent");
        assert_broken(*state, &expected, PROOF_HEALTH, "and gave no answer within 50 ms; ");
        assert_fake_is_gone();
}

struct Cancel {
        unsigned asked;
        unsigned at;
};

static bool cancelled(void *userdata) {
        struct Cancel *cancel = userdata;

        return ++cancel->asked >= cancel->at;
}

/* At every point where it is asked, until it is over before. */
static void test_it_can_be_cancelled_anywhere(void **state) {
        struct StoreFixture *f = *state;
        const struct ProofExpectation expected = { 0 };
        struct Cancel cancel = { .at = 1 };
        int r = -EINTR;

        f->operation.cancelled = cancelled;
        f->operation.userdata = &cancel;
        for (; r == -EINTR; cancel.at += cancel.at < 4 ? 1 : cancel.at / 2) {
                _cleanup_proof_result_ struct ProofResult result = { 0 };

                cancel.asked = 0;
                r = prove(f, -1, &expected, &result);
                assert_true(r >= 0 || f->failure.event == EVENT_INTERRUPTED);
                assert_true(r >= 0 || cancel.asked >= cancel.at);
                for (int i = 0; i < PROOF_CHECK_COUNT_; i++)
                        assert_true(result.checks[i].outcome != PROOF_BROKEN);
        }
        assert_success(f, r);
        assert_true(cancel.at > 4);
}

#define ON_DATA(test) cmocka_unit_test_setup_teardown(test, proof_setup, proof_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_DATA(test_data_that_can_be_served_is_proved),
                ON_DATA(test_it_is_proved_under_the_lock_of_a_restore),
                ON_DATA(test_without_that_lock_the_daemon_waits_in_vain),
                ON_DATA(test_another_number_of_rows_is_told),
                ON_DATA(test_a_query_of_the_callers_must_find_something),
                ON_DATA(test_an_index_that_finds_nothing_is_told),
                ON_DATA(test_an_empty_database_is_fine),
                ON_DATA(test_a_registry_that_is_not_there_or_broken_is_a_warning),
                ON_DATA(test_a_foreign_database_is_only_looked_at),
                ON_DATA(test_a_database_that_cannot_be_read_is_told),
                ON_DATA(test_a_daemon_that_ends_is_told_with_its_last_words),
                ON_DATA(test_a_daemon_that_does_not_come_up_is_told),
                ON_DATA(test_an_answer_that_does_not_come_is_told),
                ON_DATA(test_it_can_be_cancelled_anywhere),
        };
        fake_daemon_if_asked();
        (void) signal(SIGPIPE, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
