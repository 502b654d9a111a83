/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/proof.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "lib/backup/private-daemon.h"
#include "lib/backup/proof-query.h"
#include "lib/base/http-client.h"
#include "lib/base/json-build.h"
#include "lib/base/lock.h"

#define ANSWER_MS 30000
#define BUDGET    100000  /* characters of context: room for any chunk */
#define NO_QUERY  "proof" /* where there is nothing that could be found */

enum {
        HTTP_OK = 200,
        HTTP_UNAVAILABLE = 503,
};

static const struct {
        const char *name;
        const char *question; /* as it is named in a failure */
        const char *path;
} checks[PROOF_CHECK_COUNT_] = {
        [PROOF_START] = { "start", "the start of the daemon", NULL },
        [PROOF_HEALTH] = { "health", "GET /health", "/health" },
        [PROOF_STATS] = { "stats", "GET /stats", "/stats" },
        [PROOF_PROJECTS] = { "projects", "GET /projects", "/projects" },
        [PROOF_CONTEXT] = { "context", "POST /context/build", "/context/build" },
};

/* What stands in /stats under the name of the table that it counts. A migration keeps these tables
 * and their rows, so that a snapshot of an earlier schema compares as well. */
static const char *const counted[] = { "documents", "chunks", "interactions", "memories" };

struct Proof {
        struct Operation operation; /* on the root that is served */
        const struct ProofExpectation *expected;
        struct ProofResult *result;
        struct PrivateDaemon *daemon;
        bool lock_held; /* by the caller */
        uint64_t chunks;
};

/* Outcomes. */

__attribute__((format(printf, 4, 5))) static int done(struct Proof *proof, enum ProofCheck check,
        enum ProofOutcome outcome, const char *format, ...) {
        va_list arguments;
        int length;

        proof->result->checks[check].outcome = outcome;
        va_start(arguments, format);
        length = vasprintf(&proof->result->checks[check].detail, format, arguments);
        va_end(arguments);
        if (length >= 0)
                return 0;
        proof->result->checks[check].detail = NULL;
        return -ENOMEM;
}

/* `came` is what it was instead, as part of a sentence. */
__attribute__((format(printf, 5, 6))) static int broken(struct Proof *proof, enum ProofCheck check,
        struct Failure *failure, const char *expected, const char *came, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int length;

        va_start(arguments, came);
        length = vasprintf(&text, came, arguments);
        va_end(arguments);
        if (length < 0) {
                text = NULL;
                return failure_out_of_memory(failure);
        }
        if (done(proof, check, PROOF_BROKEN, "%s", text) < 0)
                return failure_out_of_memory(failure);
        return failure_set(failure, EVENT_PROOF_FAILED, 0, proof->operation.layout->root,
                "The data in %s is not served as it should be: %s was to give %s, and gave %s; "
                "validate the snapshot that it is of, or take another",
                proof->operation.layout->root, checks[check].question, expected, text);
}

/* Asking. */

static const char *text_of(json_object *object, const char *key) {
        json_object *value = json_typed_member(object, key, json_type_string);

        return value ? json_object_get_string(value) : "";
}

static bool has_code(const struct HttpAnswer *answer, const char *code) {
        return answer->status == HTTP_UNAVAILABLE &&
                strcmp(text_of(answer->body, "code"), code) == 0;
}

static int ask(struct Proof *proof, enum ProofCheck check, json_object *body, const char *expected,
        struct HttpAnswer *ret_answer, struct Failure *failure) {
        const struct HttpRequest request = {
                .socket = private_daemon_socket(proof->daemon),
                .path = checks[check].path,
                .body = body,
                .deadline_ms =
                        proof->expected->answer_ms > 0 ? proof->expected->answer_ms : ANSWER_MS,
        };
        _cleanup_free_ char *problem = NULL, *end = NULL;
        int r;

        r = http_request(&proof->operation, &request, ret_answer, &problem);
        if (r >= 0)
                return 0;
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r == -EINTR)
                return operation_check(&proof->operation, failure);
        end = r == -ETIMEDOUT ? NULL : private_daemon_end(proof->daemon);
        return broken(proof, check, failure, expected, "%s%s%s", problem, end ? ": " : "",
                end ? end : "");
}

/* The same, for who wants 200. */
static int wrong_status(struct Proof *proof, enum ProofCheck check, const char *expected,
        const struct HttpAnswer *answer, struct Failure *failure) {
        return broken(proof, check, failure, expected, "%ld (%s)", answer->status,
                text_of(answer->body, "detail"));
}

/* The checks. */

static int check_start(struct Proof *proof, int lock_fd, struct Failure *failure) {
        const struct PrivateDaemonOptions options = {
                .store_lock_fd = lock_fd,
                .ready_ms = proof->expected->ready_ms,
                .stop_ms = proof->expected->stop_ms,
        };
        int r;

        r = private_daemon_start(
                &proof->operation, proof->operation.layout, &options, &proof->daemon, failure);
        if (r < 0)
                return r;
        return done(proof, PROOF_START, PROOF_PASSED, "It serves");
}

/* A database of something else can be backed up and restored as any other. That the daemon is
 * degraded, and why, is all that can be asked of it then. */
static int check_foreign(struct Proof *proof, const char *detail, struct Failure *failure) {
        static const char expected[] = "a database that can be read";
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        int r;

        r = ask(proof, PROOF_STATS, NULL, "an answer", &answer, failure);
        if (r < 0)
                return r;
        if (!has_code(&answer, event_code(EVENT_DATABASE_FOREIGN)))
                return broken(
                        proof, PROOF_HEALTH, failure, expected, "one that cannot: %s", detail);
        proof->result->foreign = true;
        return done(proof, PROOF_HEALTH, PROOF_WARNED, "%s", detail);
}

static int check_health(struct Proof *proof, struct Failure *failure) {
        static const char expected[] = "200 and the state of the database";
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        json_object *database;
        int r;

        r = ask(proof, PROOF_HEALTH, NULL, expected, &answer, failure);
        if (r < 0)
                return r;
        if (answer.status != HTTP_OK)
                return wrong_status(proof, PROOF_HEALTH, expected, &answer, failure);
        database = json_typed_member(json_typed_member(answer.body, "checks", json_type_object),
                "database", json_type_object);
        if (!database)
                return broken(proof, PROOF_HEALTH, failure, expected, "another document");
        if (strcmp(text_of(database, "status"), "ok") != 0)
                return check_foreign(proof, text_of(database, "detail"), failure);
        return done(proof, PROOF_HEALTH, PROOF_PASSED,
                "The database can be read; all in all it is %s", text_of(answer.body, "status"));
}

static int compare_count(struct Proof *proof, json_object *stats, const char *table,
        uint64_t *n_compared, struct Failure *failure) {
        json_object *expected = json_typed_member(proof->expected->counts, table, json_type_int);
        json_object *found = json_typed_member(stats, table, json_type_int);
        _cleanup_free_ char *text = NULL;

        if (!expected)
                return 0;
        if (found && json_object_get_uint64(found) == json_object_get_uint64(expected)) {
                (*n_compared)++;
                return 0;
        }
        if (asprintf(&text, "%" PRIu64 " %s", json_object_get_uint64(expected), table) < 0) {
                text = NULL;
                return failure_out_of_memory(failure);
        }
        if (!found)
                return broken(proof, PROOF_STATS, failure, text, "no number");
        return broken(proof, PROOF_STATS, failure, text, "%" PRIu64, json_object_get_uint64(found));
}

static int check_stats(struct Proof *proof, struct Failure *failure) {
        static const char expected[] = "200 and numbers";
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        json_object *chunks;
        uint64_t n = 0;
        int r;

        r = ask(proof, PROOF_STATS, NULL, expected, &answer, failure);
        if (r < 0)
                return r;
        if (answer.status != HTTP_OK)
                return wrong_status(proof, PROOF_STATS, expected, &answer, failure);
        for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++) {
                r = compare_count(proof, answer.body, counted[i], &n, failure);
                if (r < 0)
                        return r;
        }
        chunks = json_typed_member(answer.body, "chunks", json_type_int);
        if (!chunks)
                return broken(proof, PROOF_STATS, failure, expected, "no number of chunks");
        proof->chunks = json_object_get_uint64(chunks);
        return done(proof, PROOF_STATS, PROOF_PASSED,
                "Tables that have as many rows as the snapshot counted: %" PRIu64, n);
}

/* A snapshot may have been taken without a registry, or with one that was broken already: it is
 * what there was. */
static int check_projects(struct Proof *proof, struct Failure *failure) {
        static const char expected[] = "200 and the projects";
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        json_object *projects;
        int r;

        r = ask(proof, PROOF_PROJECTS, NULL, expected, &answer, failure);
        if (r < 0)
                return r;
        if (has_code(&answer, "registry_missing") ||
                has_code(&answer, event_code(EVENT_REGISTRY_INVALID)))
                return done(
                        proof, PROOF_PROJECTS, PROOF_WARNED, "%s", text_of(answer.body, "detail"));
        if (answer.status != HTTP_OK)
                return wrong_status(proof, PROOF_PROJECTS, expected, &answer, failure);
        projects = json_typed_member(answer.body, "projects", json_type_array);
        if (!projects)
                return broken(proof, PROOF_PROJECTS, failure, expected, "another document");
        return done(proof, PROOF_PROJECTS, PROOF_PASSED, "Projects: %zu",
                json_object_array_length(projects));
}

/* As each reader does: under the store lock, ours or the caller's. */
static int derive_query(
        struct Proof *proof, char **ret_rare, char **ret_all, struct Failure *failure) {
        _cleanup_lock_ struct Lock *lock = NULL;
        int r;

        if (!proof->lock_held) {
                r = lock_acquire_store(&proof->operation, &lock, failure);
                if (r < 0)
                        return r;
        }
        return proof_query(&proof->operation, ret_rare, ret_all, failure);
}

static json_object *make_question(const char *query) {
        _cleanup_json_ json_object *body = json_object_new_object();

        if (!body || !json_set(body, "prompt", json_object_new_string(query)) ||
                !json_set(body, "budget", json_object_new_int(BUDGET)))
                return NULL;
        return STEAL(body);
}

/* One question. *ret_used: the chunks of the answer. That a question of ours takes too long, in a
 * database that answered all else, tells of the machine and not of the data: *ret_slow. */
static int ask_context(struct Proof *proof, const char *query, uint64_t *ret_used, bool *ret_slow,
        struct Failure *failure) {
        const char *expected = proof->chunks > 0 ? "200 and at least one chunk" : "200";
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_json_ json_object *body = make_question(query);
        json_object *used;
        int r;

        if (!body)
                return failure_out_of_memory(failure);
        r = ask(proof, PROOF_CONTEXT, body, expected, &answer, failure);
        if (r < 0)
                return r;
        *ret_slow = !proof->expected->query && has_code(&answer, event_code(EVENT_QUERY_TIMEOUT));
        if (*ret_slow)
                return done(
                        proof, PROOF_CONTEXT, PROOF_WARNED, "%s", text_of(answer.body, "detail"));
        if (answer.status != HTTP_OK)
                return wrong_status(proof, PROOF_CONTEXT, expected, &answer, failure);
        used = json_typed_member(answer.body, "chunks_used", json_type_int);
        if (!used)
                return broken(proof, PROOF_CONTEXT, failure, expected, "another document");
        *ret_used = json_object_get_uint64(used);
        return 0;
}

static int check_context(struct Proof *proof, struct Failure *failure) {
        _cleanup_free_ char *rare = NULL, *all = NULL;
        const char *queries[] = { proof->expected->query, NULL };
        uint64_t used = 0;
        bool slow = false;
        int r = 0;

        if (!queries[0] && proof->chunks > 0) {
                r = derive_query(proof, &rare, &all, failure);
                if (r < 0)
                        return r;
                queries[0] = rare;
                queries[1] = all;
        } else if (!queries[0])
                queries[0] = NO_QUERY;
        for (size_t i = 0; i < 2 && queries[i] && used == 0; i++) {
                r = ask_context(proof, queries[i], &used, &slow, failure);
                if (r < 0 || slow)
                        return r;
        }
        if (proof->chunks > 0 && used == 0)
                return broken(proof, PROOF_CONTEXT, failure, "200 and at least one chunk",
                        "none for the words \"%.200s\"", queries[1] ? queries[1] : queries[0]);
        return done(proof, PROOF_CONTEXT, PROOF_PASSED, "Chunks used: %" PRIu64 " of %" PRIu64,
                used, proof->chunks);
}

/* All of it. */

static int run_checks(struct Proof *proof, int lock_fd, struct Failure *failure) {
        static int (*const functions[PROOF_CHECK_COUNT_])(struct Proof *, struct Failure *) = {
                [PROOF_HEALTH] = check_health,
                [PROOF_STATS] = check_stats,
                [PROOF_PROJECTS] = check_projects,
                [PROOF_CONTEXT] = check_context,
        };
        int r = 0;

        for (size_t i = 0; i < PROOF_CHECK_COUNT_ && r >= 0; i++) {
                uint64_t before = monotonic_ms();

                if (proof->result->foreign) {
                        proof->result->checks[i].outcome = PROOF_SKIPPED;
                        continue;
                }
                r = operation_check(&proof->operation, failure);
                if (r >= 0)
                        r = functions[i] ? functions[i](proof, failure)
                                         : check_start(proof, lock_fd, failure);
                if (r < 0 && r != -EINTR)
                        proof->result->checks[i].outcome = PROOF_BROKEN;
                proof->result->checks[i].duration_ms = monotonic_ms() - before;
        }
        return r == -ENOMEM ? failure_out_of_memory(failure) : r;
}

int proof_run(const struct Operation *operation, const struct Layout *layout, int store_lock_fd,
        const struct ProofExpectation *expected, struct ProofResult *ret_result,
        struct Failure *failure) {
        struct Proof proof = {
                .operation = *operation,
                .expected = expected,
                .result = ret_result,
                .lock_held = store_lock_fd >= 0,
        };
        uint64_t before = monotonic_ms();
        int r;

        *ret_result = (struct ProofResult){ 0 };
        proof.operation.layout = layout;
        r = run_checks(&proof, store_lock_fd, failure);
        private_daemon_stop(proof.daemon);
        ret_result->duration_ms = monotonic_ms() - before;
        return r;
}

/* Telling. */

const char *proof_check_name(enum ProofCheck check) {
        return checks[check].name;
}

const char *proof_outcome_name(enum ProofOutcome outcome) {
        static const char *const names[] = {
                [PROOF_NOT_REACHED] = "not_reached",
                [PROOF_PASSED] = "passed",
                [PROOF_WARNED] = "warned",
                [PROOF_SKIPPED] = "skipped",
                [PROOF_BROKEN] = "failed",
        };

        return names[outcome];
}

static json_object *check_to_json(const struct ProofResult *result, size_t i) {
        _cleanup_json_ json_object *object = json_object_new_object();
        const char *detail = result->checks[i].detail;

        if (!object ||
                !json_set(object, "name",
                        json_object_new_string(proof_check_name((enum ProofCheck) i))) ||
                !json_set(object, "outcome",
                        json_object_new_string(proof_outcome_name(result->checks[i].outcome))))
                return NULL;
        if (detail ? !json_set(object, "detail", json_object_new_string(detail))
                   : json_object_object_add(object, "detail", NULL) < 0)
                return NULL;
        if (!json_set(object, "duration_ms", json_object_new_uint64(result->checks[i].duration_ms)))
                return NULL;
        return STEAL(object);
}

json_object *proof_result_to_json(const struct ProofResult *result) {
        _cleanup_json_ json_object *object = json_object_new_object();
        json_object *list;

        if (!object || !json_set(object, "checks", json_object_new_array()))
                return NULL;
        list = json_typed_member(object, "checks", json_type_array);
        for (size_t i = 0; i < PROOF_CHECK_COUNT_; i++)
                if (!json_append(list, check_to_json(result, i)))
                        return NULL;
        if (!json_set(object, "database_foreign", json_object_new_boolean(result->foreign)) ||
                !json_set(object, "duration_ms", json_object_new_uint64(result->duration_ms)))
                return NULL;
        return STEAL(object);
}

void proof_result_clear(struct ProofResult *result) {
        for (size_t i = 0; i < PROOF_CHECK_COUNT_; i++)
                free(result->checks[i].detail);
        *result = (struct ProofResult){ 0 };
}
