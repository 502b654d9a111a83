/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/vectors.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/credential.h"
#include "lib/base/server-url.h"
#include "lib/knowledge/vector-failure.h"

#define TEXT_SHORT 1000 /* bytes that every model takes */
#define COUNT_MS   3000 /* who asks for the state of all waits no longer, whatever a query may */

struct Vectors {
        const struct Config *config;
        char *store_url; /* without a slash at its end */
        const char *embedding_url;
        char *key; /* NULL: none */

        pthread_mutex_t mutex; /* all below */
        HttpRequestFunction *request;
        struct ChromaCollection collection; /* as it was found last; no id: not yet */

        /* The last failure, while it lasts. */
        const char *code; /* NULL: none */
        char *message;
        int error;
        int64_t retry_at; /* by the clock */
        uint64_t changes; /* how often it began, was found again, or ended */
};

/* Set up. */

int vectors_open(
        const struct Config *config, struct Vectors **ret_vectors, struct Failure *failure) {
        _cleanup_vectors_ struct Vectors *vectors = NULL;
        size_t length;
        int r;

        *ret_vectors = NULL;
        if (!config->vector_store || config->vector_store[0] == '\0')
                return 0;
        vectors = calloc(1, sizeof *vectors);
        if (!vectors)
                return failure_out_of_memory(failure);
        (void) pthread_mutex_init(&vectors->mutex, NULL);
        vectors->config = config;
        vectors->embedding_url = server_url_of(config->embedding, "openai:");
        vectors->store_url = strdup(server_url_of(config->vector_store, "chroma:"));
        if (!vectors->store_url)
                return failure_out_of_memory(failure);
        for (length = strlen(vectors->store_url);
                length > 0 && vectors->store_url[length - 1] == '/'; length--)
                vectors->store_url[length - 1] = '\0';
        r = credential_load_token("embedding-api-key", &vectors->key, failure);
        if (r < 0)
                return r;
        *ret_vectors = STEAL(vectors);
        return 0;
}

struct Vectors *vectors_close(struct Vectors *vectors) {
        if (!vectors)
                return NULL;
        (void) pthread_mutex_destroy(&vectors->mutex);
        chroma_collection_clear(&vectors->collection);
        (void) credential_free(vectors->key);
        free(vectors->store_url);
        free(vectors->message);
        free(vectors);
        return NULL;
}

void vectors_speak_by(struct Vectors *vectors, HttpRequestFunction *request) {
        vectors->request = request;
}

static int load(
        struct Vectors *vectors, HttpRequestFunction **ret_request, struct Failure *failure) {
        _cleanup_free_ char *problem = NULL;
        int r = 0;

        (void) pthread_mutex_lock(&vectors->mutex);
        if (!vectors->request)
                r = http_module_load(&vectors->request, &problem);
        *ret_request = vectors->request;
        (void) pthread_mutex_unlock(&vectors->mutex);
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0)
                return vector_failure(failure, VECTOR_MODULE, -r,
                        "%s; install AtoCore whole, with libcurl", problem ? problem : "A module");
        return 0;
}

int vectors_connect(struct Vectors *vectors, const struct Operation *operation,
        uint64_t deadline_ms, struct Chroma *ret_chroma, struct Embedder *ret_embedder,
        struct Failure *failure) {
        HttpRequestFunction *request;
        int r;

        r = load(vectors, &request, failure);
        if (r < 0)
                return r;
        *ret_chroma = (struct Chroma){ .request = request,
                .operation = operation,
                .url = vectors->store_url,
                .deadline_ms = deadline_ms };
        *ret_embedder = (struct Embedder){ .request = request,
                .url = vectors->embedding_url,
                .model = vectors->config->embedding_model,
                .key = vectors->key };
        return 0;
}

int vectors_check_collection(const struct Vectors *vectors,
        const struct ChromaCollection *collection, const char *store, struct Failure *failure) {
        const char *model = vectors->config->embedding_model;

        if (collection->store[0] == '\0' || strcmp(collection->store, store) != 0)
                return vector_failure(failure, VECTOR_FOREIGN, EMEDIUMTYPE,
                        "The collection " CHROMA_COLLECTION
                        " of the vector store %s is of another database; give this one a Chroma of "
                        "its own, or delete the collection if nobody needs it",
                        vectors->store_url);
        if (strcmp(collection->model, model) != 0)
                return vector_failure(failure, VECTOR_MODEL, EMEDIUMTYPE,
                        "The vectors were made by the model \"%s\", and embedding_model= is "
                        "\"%s\"; "
                        "run atocore-ingest --reembed",
                        collection->model, model);
        /* Room is made by it before the first vector is seen. */
        if (collection->dimension == 0 || collection->dimension > EMBEDDING_DIMENSION_MAX)
                return vector_failure(failure, VECTOR_DIMENSION, EMEDIUMTYPE,
                        "The collection " CHROMA_COLLECTION
                        " of the vector store %s does not say how many numbers there are in a "
                        "vector of it (atocore_dimension in its metadata, from 1 to %d); run "
                        "atocore-ingest --reembed",
                        vectors->store_url, EMBEDDING_DIMENSION_MAX);
        return 0;
}

/* A failure, and for how long it is believed. */

/* 0 when it may be tried; `*ret_changes` is for conclude(). */
static int check_pause(struct Vectors *vectors, const struct Operation *operation,
        uint64_t *ret_changes, struct Failure *failure) {
        int r = 0;

        (void) pthread_mutex_lock(&vectors->mutex);
        *ret_changes = vectors->changes;
        if (vectors->code) {
                int64_t left = vectors->retry_at - clock_now(operation->clock);

                /* A clock that was set back is no reason to wait longer. */
                if (left > 0 && left <= VECTORS_PAUSE_SECONDS)
                        r = vector_failure(failure, vectors->code, vectors->error,
                                "%s (not asked again for %" PRIi64 " s)", vectors->message, left);
        }
        (void) pthread_mutex_unlock(&vectors->mutex);
        return r;
}

/* Questions that go on beside each other end in any order: one that began before the last change
 * tells of a server as it was before. Otherwise whoever got the last answer of a server that dies
 * would report that it is back. */
static bool is_outdated(const struct Vectors *vectors, uint64_t changes) {
        return vectors->changes != changes;
}

static void fall_out(struct Vectors *vectors, const struct Operation *operation, uint64_t changes,
        const struct Failure *failure) {
        const char *code = failure->code ? failure->code : event_code(failure->event);
        _cleanup_free_ char *message = strdup(failure_message(failure));
        bool changed = false;

        (void) pthread_mutex_lock(&vectors->mutex);
        if (message && !is_outdated(vectors, changes)) {
                changed = !vectors->code || strcmp(vectors->code, code) != 0;
                free(vectors->message);
                vectors->message = STEAL(message);
                vectors->code = code;
                vectors->error = failure->error;
                vectors->retry_at = clock_now(operation->clock) + VECTORS_PAUSE_SECONDS;
                vectors->changes++;
        }
        (void) pthread_mutex_unlock(&vectors->mutex);
        if (changed)
                operation_notice(operation,
                        &(struct Event){ .id = EVENT_VECTORS_UNAVAILABLE, .error = failure->error },
                        "Searching without vectors: %s: %s", code, failure_message(failure));
}

static void come_back(
        struct Vectors *vectors, const struct Operation *operation, uint64_t changes) {
        bool changed;

        (void) pthread_mutex_lock(&vectors->mutex);
        changed = vectors->code && !is_outdated(vectors, changes);
        if (changed) {
                vectors->code = NULL;
                vectors->changes++;
        }
        (void) pthread_mutex_unlock(&vectors->mutex);
        if (changed)
                operation_notice(operation, &(struct Event){ .id = EVENT_VECTORS_BACK },
                        "Searching with vectors again");
}

/* Being stopped, or short of memory, says nothing about the servers; nor does it when a text of
 * `size` bytes is refused that is too long for many a model. */
static int conclude(struct Vectors *vectors, const struct Operation *operation, uint64_t changes,
        int r, size_t size, struct Failure *cause, struct Failure *failure) {
        if (r >= 0)
                come_back(vectors, operation, changes);
        else if (cause->event == EVENT_VECTORS_FAILED && !(r == -EREMOTEIO && size > TEXT_SHORT))
                fall_out(vectors, operation, changes, cause);
        if (r < 0 && failure && !failure_is_set(failure))
                failure_move(failure, cause);
        return r;
}

/* The collection. */

static int copy_collection(
        const struct ChromaCollection *collection, struct ChromaCollection *ret_copy) {
        *ret_copy = *collection;
        ret_copy->model = strdup(collection->model ? collection->model : "");
        return ret_copy->model ? 0 : -ENOMEM;
}

static bool recall_collection(struct Vectors *vectors, struct ChromaCollection *ret_collection) {
        bool known;

        (void) pthread_mutex_lock(&vectors->mutex);
        known = vectors->collection.id[0] != '\0' &&
                copy_collection(&vectors->collection, ret_collection) >= 0;
        (void) pthread_mutex_unlock(&vectors->mutex);
        return known;
}

static void remember_collection(
        struct Vectors *vectors, const struct ChromaCollection *collection) {
        (void) pthread_mutex_lock(&vectors->mutex);
        chroma_collection_clear(&vectors->collection);
        if (collection && copy_collection(collection, &vectors->collection) < 0)
                vectors->collection.id[0] = '\0';
        (void) pthread_mutex_unlock(&vectors->mutex);
}

static int find_collection(struct Vectors *vectors, const struct Chroma *chroma, const char *store,
        struct ChromaCollection *ret_collection, struct Failure *failure) {
        _cleanup_chroma_collection_ struct ChromaCollection collection = { 0 };
        bool found = true;
        int r;

        if (!recall_collection(vectors, &collection)) {
                r = chroma_find(chroma, &found, &collection, failure);
                if (r < 0)
                        return r;
        }
        if (!found)
                return vector_failure(failure, VECTOR_EMPTY, ENOENT,
                        "The vector store %s has no collection " CHROMA_COLLECTION
                        " yet; run atocore-ingest",
                        vectors->store_url);
        r = vectors_check_collection(vectors, &collection, store, failure);
        if (r < 0) {
                remember_collection(vectors, NULL);
                return r;
        }
        remember_collection(vectors, &collection);
        *ret_collection = collection;
        collection = (struct ChromaCollection){ 0 };
        return 0;
}

/* Both questions, within what is left of the time. */

struct Question {
        struct Vectors *vectors;
        const struct Operation *operation;
        const char *store;
        uint64_t end_ms; /* monotonic_ms() */
        struct Chroma chroma;
        struct Embedder embedder;
};

static uint64_t left(const struct Question *question) {
        uint64_t now = monotonic_ms();

        return now < question->end_ms ? question->end_ms - now : 1;
}

static int begin(struct Question *question, struct Vectors *vectors,
        const struct Operation *operation, const char *store, uint64_t end_ms,
        struct Failure *failure) {
        *question = (struct Question){
                .vectors = vectors, .operation = operation, .store = store, .end_ms = end_ms
        };
        return vectors_connect(vectors, operation, left(question), &question->chroma,
                &question->embedder, failure);
}

/* A collection that was made anew since (--reembed) has another id: looked up once more. `ask` may
 * be called twice. */
static int with_collection(struct Question *question,
        int (*ask)(struct Question *question, const struct ChromaCollection *collection,
                void *userdata, struct Failure *failure),
        void *userdata, struct Failure *failure) {
        for (int i = 0;; i++) {
                _cleanup_chroma_collection_ struct ChromaCollection collection = { 0 };
                _cleanup_failure_ struct Failure cause = { 0 };
                int r;

                question->chroma.deadline_ms = left(question);
                r = find_collection(
                        question->vectors, &question->chroma, question->store, &collection, &cause);
                if (r >= 0)
                        r = ask(question, &collection, userdata, &cause);
                if (r >= 0)
                        return r;
                /* Whatever it was, it may have changed by the next time. */
                remember_collection(question->vectors, NULL);
                if (r == -ENOENT && i == 0 && collection.id[0] != '\0')
                        continue;
                if (failure && !failure_is_set(failure))
                        failure_move(failure, &cause);
                return r;
        }
}

struct Search {
        const char *prompt;
        size_t n_wanted;
        char *const *directories;
        float *vector; /* of the prompt, once it is known */
        size_t dimension;
        struct ChromaRecord *records;
        size_t n;
};

static int search(struct Question *question, const struct ChromaCollection *collection,
        void *userdata, struct Failure *failure) {
        struct Search *search = userdata;
        int r;

        if (!search->vector) {
                r = embed(question->operation, &question->embedder, &search->prompt, 1,
                        (size_t) collection->dimension, left(question), &search->vector,
                        &search->dimension, failure);
                if (r < 0)
                        return r;
        }
        if (search->dimension != collection->dimension)
                return vector_failure(failure, VECTOR_DIMENSION, EBADMSG,
                        "The vectors of the vector store were exchanged meanwhile");
        question->chroma.deadline_ms = left(question);
        return chroma_query(&question->chroma, collection, search->vector, search->n_wanted,
                search->directories, &search->records, &search->n, failure);
}

static int search_until(struct Vectors *vectors, const struct Operation *operation,
        const char *store, const char *prompt, size_t n, char *const *directories, uint64_t end_ms,
        struct ChromaRecord **ret_records, size_t *ret_n, struct Failure *failure) {
        struct Search asked = { .prompt = prompt, .n_wanted = n, .directories = directories };
        _cleanup_failure_ struct Failure cause = { 0 };
        struct Question question;
        uint64_t changes;
        int r;

        r = check_pause(vectors, operation, &changes, failure);
        if (r < 0)
                return r;
        r = begin(&question, vectors, operation, store, end_ms, &cause);
        if (r >= 0)
                r = with_collection(&question, search, &asked, &cause);
        free(asked.vector);
        r = conclude(vectors, operation, changes, r, strlen(prompt), &cause, failure);
        if (r < 0)
                return r;
        *ret_records = asked.records;
        *ret_n = asked.n;
        return 0;
}

int vectors_search(struct Vectors *vectors, const struct Operation *operation, const char *store,
        const char *prompt, size_t n, char *const *directories, struct ChromaRecord **ret_records,
        size_t *ret_n, struct Failure *failure) {
        return search_until(vectors, operation, store, prompt, n, directories,
                monotonic_ms() + vectors->config->vector_timeout_ms, ret_records, ret_n, failure);
}

static int count(struct Question *question, const struct ChromaCollection *collection,
        void *userdata, struct Failure *failure) {
        question->chroma.deadline_ms = left(question);
        return chroma_count(&question->chroma, collection, userdata, failure);
}

static bool is_failing(struct Vectors *vectors) {
        bool failing;

        (void) pthread_mutex_lock(&vectors->mutex);
        failing = vectors->code != NULL;
        (void) pthread_mutex_unlock(&vectors->mutex);
        return failing;
}

int vectors_count(struct Vectors *vectors, const struct Operation *operation, const char *store,
        uint64_t *ret_n, struct Failure *failure) {
        _cleanup_failure_ struct Failure cause = { 0 };
        uint64_t timeout = vectors->config->vector_timeout_ms;
        uint64_t end_ms = monotonic_ms() + (timeout < COUNT_MS ? timeout : COUNT_MS);
        struct Question question;
        uint64_t changes;
        int r;

        /* That vectors can be counted does not say that texts can be embedded again. */
        if (is_failing(vectors)) {
                _cleanup_free_ struct ChromaRecord *records = NULL;
                size_t n;

                r = search_until(vectors, operation, store, "health", 1, NULL, end_ms, &records, &n,
                        failure);
                if (r < 0)
                        return r;
        }
        r = check_pause(vectors, operation, &changes, failure);
        if (r < 0)
                return r;
        r = begin(&question, vectors, operation, store, end_ms, &cause);
        if (r >= 0)
                r = with_collection(&question, count, ret_n, &cause);
        return conclude(vectors, operation, changes, r, 0, &cause, failure);
}
