/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/vectors.h"

#include <errno.h>

#include "lib/knowledge/vector-failure.h"
#include "store-fixture.h"

/* Both servers, as a function: what they answer is for the test to say. */
static struct {
        int asked, embedded;
        int store_error, embedding_error; /* errno value; 0: they answer */
        const char *id;                   /* of the collection; a query of another is 404 */
        const char *known;                /* the id that it is found by */
        int notices[2];                   /* VECTORS_UNAVAILABLE, VECTORS_BACK */
        void (*meanwhile)(void);          /* once, before a query is answered */
        uint64_t takes_ms;                /* for each answer */
        uint64_t left_ms;                 /* that the last of them was given */
} servers;

static json_object *parse(const char *text) {
        json_object *object = json_tokener_parse(text);

        assert_non_null(object);
        return object;
}

static int answer(struct HttpAnswer *ret_answer, long status, const char *text) {
        *ret_answer = (struct HttpAnswer){ .status = status, .body = parse(text) };
        return 0;
}

static int fail_with(int error, char **ret_problem) {
        *ret_problem = strdup("no answer");
        return -error;
}

static int speak(const struct Operation *operation, const struct HttpRequest *request,
        struct HttpAnswer *ret_answer, char **ret_problem) {
        char text[512];

        (void) operation;
        assert_true(request->deadline_ms >= 1 && request->deadline_ms <= 300);
        servers.asked++;
        servers.left_ms = request->deadline_ms;
        for (uint64_t end = monotonic_ms() + servers.takes_ms; monotonic_ms() < end;)
                ;
        if (strcmp(request->url, "http://e/v1/embeddings") == 0) {
                servers.embedded++;
                return servers.embedding_error
                        ? fail_with(servers.embedding_error, ret_problem)
                        : answer(ret_answer, 200, "{\"data\": [{\"embedding\": [1, 2]}]}");
        }
        assert_string_equal(request->url, "http://c");
        if (servers.store_error)
                return fail_with(servers.store_error, ret_problem);
        if (strstr(request->path, "/collections/atocore")) {
                (void) snprintf(text, sizeof text,
                        "{\"id\": \"%s\", \"metadata\": {\"atocore_model\": \"m\", "
                        "\"atocore_dimension\": 2, \"atocore_store\": \"s\", "
                        "\"atocore_token\": \"t\"}}",
                        servers.known);
                return answer(ret_answer, 200, text);
        }
        if (!strstr(request->path, servers.id))
                return answer(ret_answer, 404, "{\"error\": \"NotFoundError\"}");
        if (servers.meanwhile) {
                void (*meanwhile)(void) = servers.meanwhile;

                servers.meanwhile = NULL;
                meanwhile();
                if (servers.store_error == ETIMEDOUT)
                        return fail_with(servers.store_error, ret_problem);
        }
        if (strstr(request->path, "/count"))
                return answer(ret_answer, 200, "3");
        return answer(ret_answer, 200,
                "{\"ids\": [[\"7\", \"5\"]], \"metadatas\": [[{\"digest\": \"d\"}, null]]}");
}

static void notice(const struct Event *event, const char *message, void *userdata) {
        (void) message, (void) userdata;
        assert_true(event->id == EVENT_VECTORS_UNAVAILABLE || event->id == EVENT_VECTORS_BACK);
        servers.notices[event->id == EVENT_VECTORS_BACK]++;
}

static struct Vectors *open_vectors(struct StoreFixture *f) {
        static char store[] = "chroma:http://c/", embedding[] = "openai:http://e/v1/embeddings",
                    model[] = "m";
        struct Vectors *vectors = NULL;

        memset(&servers, 0, sizeof servers);
        servers.id = servers.known = "ab-1";
        f->config.vector_store = store;
        f->config.embedding = embedding;
        f->config.embedding_model = model;
        f->config.vector_timeout_ms = 300;
        f->operation.notice = notice;
        (void) unsetenv("CREDENTIALS_DIRECTORY");
        assert_success(f, vectors_open(&f->config, &vectors, &f->failure));
        assert_non_null(vectors);
        vectors_speak_by(vectors, speak);
        return vectors;
}

/* The code of what failed, or NULL. */
static const char *search(struct StoreFixture *f, struct Vectors *vectors) {
        _cleanup_free_ struct ChromaRecord *records = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        size_t n = 0;
        int r = vectors_search(
                vectors, &f->operation, "s", "prompt", 10, NULL, &records, &n, &failure);

        if (r < 0) {
                assert_int_equal(failure.event, EVENT_VECTORS_FAILED);
                return failure.code;
        }
        assert_int_equal(n, 2);
        assert_int_equal(records[0].id, 7);
        assert_string_equal(records[0].digest, "d");
        assert_string_equal(records[1].digest, "");
        return NULL;
}

static void test_none_are_configured(void **state) {
        struct StoreFixture *f = *state;
        static char none[] = "";
        struct Vectors *vectors = NULL;

        f->config.vector_store = none;
        assert_success(f, vectors_open(&f->config, &vectors, &f->failure));
        assert_null(vectors);
}

static void test_the_collection_is_looked_up_once(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);

        assert_null(search(f, vectors));
        assert_int_equal(servers.asked, 3);
        assert_null(search(f, vectors));
        assert_int_equal(servers.asked, 5);
        /* Made anew meanwhile: looked up again, and the prompt is not embedded twice for it. */
        servers.id = servers.known = "cd-2";
        assert_null(search(f, vectors));
        assert_int_equal(servers.asked, 9);
        assert_int_equal(servers.embedded, 3);
        assert_int_equal(servers.notices[0] + servers.notices[1], 0);
}

static void test_a_server_that_failed_is_left_alone_until_the_clock_says(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);
        int asked;

        servers.store_error = ECONNREFUSED;
        assert_string_equal(search(f, vectors), VECTOR_UNREACHABLE);
        asked = servers.asked;
        f->clock.now += VECTORS_PAUSE_SECONDS - 1;
        assert_string_equal(search(f, vectors), VECTOR_UNREACHABLE);
        assert_int_equal(servers.asked, asked);
        f->clock.now += 1;
        assert_string_equal(search(f, vectors), VECTOR_UNREACHABLE);
        assert_true(servers.asked > asked);
        assert_int_equal(servers.notices[0], 1); /* nothing has changed */

        servers.store_error = 0;
        f->clock.now += VECTORS_PAUSE_SECONDS;
        assert_null(search(f, vectors));
        assert_int_equal(servers.notices[1], 1);
}

static void test_a_server_that_is_killed_is_told_once(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);

        servers.store_error = ECONNRESET; /* in the middle of an answer */
        assert_string_equal(search(f, vectors), VECTOR_UNREACHABLE);
        f->clock.now += VECTORS_PAUSE_SECONDS;
        servers.store_error = ECONNREFUSED;
        assert_string_equal(search(f, vectors), VECTOR_UNREACHABLE);
        assert_int_equal(servers.notices[0], 1);
}

static void test_a_clock_that_is_set_back_does_not_make_it_wait(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);

        servers.store_error = ECONNREFUSED;
        assert_string_equal(search(f, vectors), VECTOR_UNREACHABLE);
        servers.store_error = 0;
        f->clock.now -= 3600;
        assert_null(search(f, vectors));
}

static void test_counting_does_not_hide_that_nothing_can_be_embedded(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);
        _cleanup_failure_ struct Failure failure = { 0 };
        uint64_t n = 0;

        assert_success(f, vectors_count(vectors, &f->operation, "s", &n, &f->failure));
        assert_int_equal(n, 3);
        assert_int_equal(servers.embedded, 0);

        servers.embedding_error = ETIMEDOUT;
        assert_string_equal(search(f, vectors), VECTOR_TIMEOUT);
        f->clock.now += VECTORS_PAUSE_SECONDS;
        assert_true(vectors_count(vectors, &f->operation, "s", &n, &failure) < 0);
        assert_string_equal(failure.code, VECTOR_TIMEOUT);
        servers.embedding_error = 0;
        f->clock.now += VECTORS_PAUSE_SECONDS;
        assert_success(f, vectors_count(vectors, &f->operation, "s", &n, &f->failure));
        assert_int_equal(servers.notices[0], 1);
        assert_int_equal(servers.notices[1], 1);
}

static void test_a_search_before_a_count_takes_from_its_time(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);
        uint64_t n = 0;

        servers.embedding_error = ETIMEDOUT;
        assert_string_equal(search(f, vectors), VECTOR_TIMEOUT);
        f->clock.now += VECTORS_PAUSE_SECONDS;
        servers.embedding_error = servers.asked = 0;
        servers.takes_ms = 5;
        assert_success(f, vectors_count(vectors, &f->operation, "s", &n, &f->failure));
        assert_int_equal(servers.asked, 4); /* the collection, a vector, a query; a count */
        assert_true(servers.left_ms <= 300 - 3 * 5);
}

/* A question beside another one. */
static struct {
        struct StoreFixture *f;
        struct Vectors *vectors;
} beside;

static void die_meanwhile(void) {
        servers.store_error = ECONNREFUSED;
        assert_string_equal(search(beside.f, beside.vectors), VECTOR_UNREACHABLE);
}

static void test_the_last_answer_of_a_server_that_dies_does_not_bring_it_back(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);
        _cleanup_failure_ struct Failure failure = { 0 };
        uint64_t n = 0;

        beside.f = f;
        beside.vectors = vectors;
        servers.meanwhile = die_meanwhile;
        assert_null(search(f, vectors));
        assert_string_equal(search(f, vectors), VECTOR_UNREACHABLE);
        assert_int_equal(servers.notices[0], 1);
        assert_int_equal(servers.notices[1], 0);

        /* A count neither. */
        servers.store_error = 0;
        f->clock.now += VECTORS_PAUSE_SECONDS;
        assert_null(search(f, vectors));
        servers.meanwhile = die_meanwhile;
        assert_success(f, vectors_count(vectors, &f->operation, "s", &n, &f->failure));
        assert_true(vectors_count(vectors, &f->operation, "s", &n, &failure) < 0);
        assert_int_equal(servers.notices[0], 2);
        assert_int_equal(servers.notices[1], 1);
}

static void come_back_meanwhile(void) {
        servers.embedding_error = 0;
        assert_null(search(beside.f, beside.vectors));
        servers.store_error = ETIMEDOUT; /* of the question that began before */
}

static void test_a_failure_from_before_it_came_back_is_none(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);

        beside.f = f;
        beside.vectors = vectors;
        servers.embedding_error = ETIMEDOUT;
        assert_string_equal(search(f, vectors), VECTOR_TIMEOUT);
        f->clock.now += VECTORS_PAUSE_SECONDS;
        servers.embedding_error = 0;
        servers.meanwhile = come_back_meanwhile;
        assert_string_equal(search(f, vectors), VECTOR_TIMEOUT);
        servers.store_error = 0;
        assert_null(search(f, vectors));
        assert_int_equal(servers.notices[0], 1);
        assert_int_equal(servers.notices[1], 1);
}

static void test_another_kind_of_failure_is_told_again(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_vectors_ struct Vectors *vectors = open_vectors(f);

        servers.store_error = ETIMEDOUT;
        assert_string_equal(search(f, vectors), VECTOR_TIMEOUT);
        f->clock.now += VECTORS_PAUSE_SECONDS;
        servers.store_error = ECONNREFUSED;
        assert_string_equal(search(f, vectors), VECTOR_UNREACHABLE);
        assert_int_equal(servers.notices[0], 2);
}

#define IN_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_new, fixture_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_ROOT(test_none_are_configured),
                IN_ROOT(test_the_collection_is_looked_up_once),
                IN_ROOT(test_a_server_that_failed_is_left_alone_until_the_clock_says),
                IN_ROOT(test_a_server_that_is_killed_is_told_once),
                IN_ROOT(test_a_clock_that_is_set_back_does_not_make_it_wait),
                IN_ROOT(test_counting_does_not_hide_that_nothing_can_be_embedded),
                IN_ROOT(test_a_search_before_a_count_takes_from_its_time),
                IN_ROOT(test_the_last_answer_of_a_server_that_dies_does_not_bring_it_back),
                IN_ROOT(test_a_failure_from_before_it_came_back_is_none),
                IN_ROOT(test_another_kind_of_failure_is_told_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
