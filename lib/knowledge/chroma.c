/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/chroma.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/text-stream.h"
#include "lib/base/text.h"
#include "lib/knowledge/vector-failure.h"

#define COLLECTIONS "/api/v2/tenants/default_tenant/databases/default_database/collections"

enum {
        HTTP_OK = 200,
        HTTP_CREATED = 201,
        HTTP_NOT_FOUND = 404,
};

/* Asking. */

static int no_answer(
        const struct Chroma *chroma, int error, const char *problem, struct Failure *failure) {
        /* One that is killed is the same outage to who was being answered and to who comes next. */
        bool gone = error == ECONNREFUSED || error == ECONNRESET;
        const char *code = error == ETIMEDOUT ? VECTOR_TIMEOUT
                : gone                        ? VECTOR_UNREACHABLE
                                              : VECTOR_STORE;
        int r;

        if (error == ENOMEM)
                return failure_out_of_memory(failure);
        r = error == EINTR ? operation_check(chroma->operation, failure) : 0;
        if (r < 0)
                return r;
        return vector_failure(failure, code, error,
                "The vector store %s gave %s; see whether Chroma runs there", chroma->url,
                problem ? problem : "no answer");
}

static int wrong(const struct Chroma *chroma, struct Failure *failure) {
        return vector_failure(failure, VECTOR_STORE, EBADMSG,
                "The vector store %s answered with what is not Chroma's API v2; see whether "
                "vector_store= in atocore.conf leads to a Chroma server of version 1 or later",
                chroma->url);
}

/* Any status but those that are as they should be. */
static int refused(
        const struct Chroma *chroma, const struct HttpAnswer *answer, struct Failure *failure) {
        json_object *message = json_typed_member(answer->body, "message", json_type_string);
        _cleanup_free_ char *text = text_escape(message ? json_object_get_string(message) : "");

        return vector_failure(failure, VECTOR_STORE, EIO,
                "The vector store %s answered with status %ld (%.200s); see its own log",
                chroma->url, answer->status, text && *text ? text : "without a word");
}

/* `body` NULL: none. What is not found is an answer for who expects that. */
static int ask(const struct Chroma *chroma, const char *method, const char *path, const char *body,
        struct HttpAnswer *ret_answer, struct Failure *failure) {
        const struct HttpRequest request = {
                .url = chroma->url,
                .path = path,
                .method = method,
                .text = body,
                .deadline_ms = chroma->deadline_ms,
        };
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *problem = NULL;
        int r;

        r = chroma->request(chroma->operation, &request, &answer, &problem);
        if (r < 0)
                return no_answer(chroma, -r, problem, failure);
        if (answer.status != HTTP_OK && answer.status != HTTP_CREATED &&
                answer.status != HTTP_NOT_FOUND)
                return refused(chroma, &answer, failure);
        *ret_answer = answer;
        answer = (struct HttpAnswer){ 0 };
        return 0;
}

/* The same of the collection, which must be there. */
static int ask_of(const struct Chroma *chroma, const struct ChromaCollection *collection,
        const char *method, const char *verb, const char *body, struct HttpAnswer *ret_answer,
        struct Failure *failure) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, COLLECTIONS "/%s%s", collection->id, verb) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = ask(chroma, method, path, body, ret_answer, failure);
        if (r < 0 || ret_answer->status != HTTP_NOT_FOUND)
                return r;
        http_answer_clear(ret_answer);
        return vector_failure(failure, VECTOR_EMPTY, ENOENT,
                "The collection " CHROMA_COLLECTION " is gone from the vector store %s; run "
                "atocore-ingest",
                chroma->url);
}

/* Writing JSON: vectors are many numbers, and a tree of objects of each would be large. */

static void write_text(FILE *stream, const char *text) {
        _cleanup_json_ json_object *string = json_object_new_string(text);
        const char *quoted =
                string ? json_object_to_json_string_ext(string, JSON_C_TO_STRING_PLAIN) : NULL;

        /* Where memory ran out this is no JSON, and the server refuses it, whole. */
        if (quoted)
                (void) fputs(quoted, stream);
}

static void write_vector(FILE *stream, const float *vector, size_t dimension) {
        for (size_t i = 0; i < dimension; i++)
                (void) fprintf(stream, "%c%.9g", i == 0 ? '[' : ',', (double) vector[i]);
        (void) fputc(']', stream);
}

static void write_ids(FILE *stream, const int64_t *ids, size_t n) {
        for (size_t i = 0; i < n; i++)
                (void) fprintf(stream, "%c\"%" PRIi64 "\"", i == 0 ? '[' : ',', ids[i]);
        (void) fputc(']', stream);
}

static void write_metadata(FILE *stream, const struct ChromaCollection *collection) {
        (void) fputs("{\"atocore_model\":", stream);
        write_text(stream, collection->model);
        (void) fprintf(stream, ",\"atocore_dimension\":%" PRIu64, collection->dimension);
        (void) fprintf(stream, ",\"atocore_store\":\"%s\"", collection->store);
        (void) fprintf(stream, ",\"atocore_token\":\"%s\"}", collection->token);
}

/* The collection. */

void chroma_collection_clear(struct ChromaCollection *collection) {
        free(collection->model);
        *collection = (struct ChromaCollection){ 0 };
}

static bool take_text(json_object *object, const char *name, char *text, size_t size) {
        json_object *value = json_typed_member(object, name, json_type_string);

        return value && (size_t) snprintf(text, size, "%s", json_object_get_string(value)) < size;
}

/* Metadata that is not ours, or none, is told by the store that it is of: "". */
static int take_collection(const struct Chroma *chroma, json_object *body,
        struct ChromaCollection *ret_collection, struct Failure *failure) {
        _cleanup_chroma_collection_ struct ChromaCollection collection = { 0 };
        json_object *metadata = json_typed_member(body, "metadata", json_type_object);
        json_object *model = json_typed_member(metadata, "atocore_model", json_type_string);
        json_object *dimension = json_typed_member(metadata, "atocore_dimension", json_type_int);

        if (!take_text(body, "id", collection.id, sizeof collection.id) ||
                strspn(collection.id, "0123456789abcdefABCDEF-") != strlen(collection.id))
                return wrong(chroma, failure);
        if (!take_text(metadata, "atocore_store", collection.store, sizeof collection.store))
                collection.store[0] = '\0';
        if (!take_text(metadata, "atocore_token", collection.token, sizeof collection.token))
                collection.token[0] = '\0';
        collection.dimension = dimension ? json_object_get_uint64(dimension) : 0;
        collection.model = strdup(model ? json_object_get_string(model) : "");
        if (!collection.model)
                return failure_out_of_memory(failure);
        *ret_collection = collection;
        collection = (struct ChromaCollection){ 0 };
        return 0;
}

int chroma_find(const struct Chroma *chroma, bool *ret_found,
        struct ChromaCollection *ret_collection, struct Failure *failure) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        json_object *error;
        int r;

        r = ask(chroma, NULL, COLLECTIONS "/" CHROMA_COLLECTION, NULL, &answer, failure);
        if (r < 0)
                return r;
        *ret_found = answer.status != HTTP_NOT_FOUND;
        if (*ret_found)
                return take_collection(chroma, answer.body, ret_collection, failure);
        /* A server of another kind knows no such path either. */
        error = json_typed_member(answer.body, "error", json_type_string);
        return error && strcmp(json_object_get_string(error), "NotFoundError") == 0
                ? 0
                : wrong(chroma, failure);
}

int chroma_create(
        const struct Chroma *chroma, struct ChromaCollection *collection, struct Failure *failure) {
        _cleanup_chroma_collection_ struct ChromaCollection created = { 0 };
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *body = NULL;
        size_t size;
        FILE *stream = text_stream_open(&body, &size);
        int r;

        if (!stream)
                return failure_out_of_memory(failure);
        (void) fputs("{\"name\":\"" CHROMA_COLLECTION "\",\"get_or_create\":true,"
                     "\"configuration\":{\"hnsw\":{\"space\":\"cosine\"}},\"metadata\":",
                stream);
        write_metadata(stream, collection);
        (void) fputc('}', stream);
        if (fclose(stream) != 0)
                return failure_out_of_memory(failure);
        r = ask(chroma, NULL, COLLECTIONS, body, &answer, failure);
        if (r >= 0)
                r = take_collection(chroma, answer.body, &created, failure);
        if (r < 0)
                return r;
        chroma_collection_clear(collection);
        *collection = created;
        created = (struct ChromaCollection){ 0 };
        return 0;
}

int chroma_describe(const struct Chroma *chroma, const struct ChromaCollection *collection,
        struct Failure *failure) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *body = NULL;
        size_t size;
        FILE *stream = text_stream_open(&body, &size);

        if (!stream)
                return failure_out_of_memory(failure);
        (void) fputs("{\"new_metadata\":", stream);
        write_metadata(stream, collection);
        (void) fputc('}', stream);
        if (fclose(stream) != 0)
                return failure_out_of_memory(failure);
        return ask_of(chroma, collection, "PUT", "", body, &answer, failure);
}

int chroma_drop(const struct Chroma *chroma, struct Failure *failure) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };

        return ask(chroma, "DELETE", COLLECTIONS "/" CHROMA_COLLECTION, NULL, &answer, failure);
}

int chroma_count(const struct Chroma *chroma, const struct ChromaCollection *collection,
        uint64_t *ret_n, struct Failure *failure) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        int r;

        r = ask_of(chroma, collection, NULL, "/count", NULL, &answer, failure);
        if (r < 0)
                return r;
        if (!json_object_is_type(answer.body, json_type_int))
                return wrong(chroma, failure);
        *ret_n = json_object_get_uint64(answer.body);
        return 0;
}

/* Records. */

static bool parse_id(const char *text, int64_t *ret_id) {
        char again[32];

        *ret_id = strtoll(text, NULL, 10);
        (void) snprintf(again, sizeof again, "%" PRIi64, *ret_id);
        return *ret_id > 0 && strcmp(again, text) == 0;
}

/* Two lists that belong together; `metadatas` may be NULL. */
static int take_records(const struct Chroma *chroma, json_object *ids, json_object *metadatas,
        struct ChromaRecord **ret_records, size_t *ret_n, struct Failure *failure) {
        _cleanup_free_ struct ChromaRecord *records = NULL;
        size_t n;

        if (!json_object_is_type(ids, json_type_array) ||
                (metadatas && !json_object_is_type(metadatas, json_type_array)))
                return wrong(chroma, failure);
        n = json_object_array_length(ids);
        if (metadatas && json_object_array_length(metadatas) != n)
                return wrong(chroma, failure);
        records = calloc(n + 1, sizeof *records);
        if (!records)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < n; i++) {
                json_object *id = json_object_array_get_idx(ids, i);

                if (!json_object_is_type(id, json_type_string) ||
                        !parse_id(json_object_get_string(id), &records[i].id))
                        return vector_failure(failure, VECTOR_STORE, EBADMSG,
                                "The collection " CHROMA_COLLECTION " of the vector store %s holds "
                                "a record that AtoCore has not written; run atocore-ingest "
                                "--reembed",
                                chroma->url);
                if (metadatas &&
                        !take_text(json_object_array_get_idx(metadatas, i), "digest",
                                records[i].digest, sizeof records[i].digest))
                        records[i].digest[0] = '\0';
        }
        *ret_records = STEAL(records);
        *ret_n = n;
        return 0;
}

int chroma_list(const struct Chroma *chroma, const struct ChromaCollection *collection,
        uint64_t offset, bool digests, struct ChromaRecord **ret_records, size_t *ret_n,
        struct Failure *failure) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        json_object *ids, *metadatas = NULL;
        char body[128];
        int r;

        (void) snprintf(body, sizeof body, "{\"limit\":%d,\"offset\":%" PRIu64 ",\"include\":[%s]}",
                CHROMA_PAGE, offset, digests ? "\"metadatas\"" : "");
        r = ask_of(chroma, collection, NULL, "/get", body, &answer, failure);
        if (r < 0)
                return r;
        if (digests) {
                metadatas = json_typed_member(answer.body, "metadatas", json_type_array);
                if (!metadatas)
                        return wrong(chroma, failure);
        }
        ids = json_typed_member(answer.body, "ids", json_type_array);
        if (ids && json_object_array_length(ids) > CHROMA_PAGE)
                return wrong(chroma, failure);
        return take_records(chroma, ids, metadatas, ret_records, ret_n, failure);
}

int chroma_upsert(const struct Chroma *chroma, const struct ChromaCollection *collection,
        const struct ChromaEntry *entries, size_t n, struct Failure *failure) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *body = NULL;
        size_t size;
        FILE *stream = text_stream_open(&body, &size);

        if (!stream)
                return failure_out_of_memory(failure);
        (void) fputs("{\"ids\":[", stream);
        for (size_t i = 0; i < n; i++)
                (void) fprintf(stream, "%s\"%" PRIi64 "\"", i > 0 ? "," : "", entries[i].record.id);
        (void) fputs("],\"metadatas\":[", stream);
        for (size_t i = 0; i < n; i++) {
                (void) fprintf(stream, "%s{\"digest\":\"%s\",\"directory\":", i > 0 ? "," : "",
                        entries[i].record.digest);
                write_text(stream, entries[i].directory);
                (void) fputc('}', stream);
        }
        (void) fputs("],\"embeddings\":[", stream);
        for (size_t i = 0; i < n; i++) {
                (void) fputs(i > 0 ? "," : "", stream);
                write_vector(stream, entries[i].vector, collection->dimension);
        }
        (void) fputs("]}", stream);
        if (fclose(stream) != 0)
                return failure_out_of_memory(failure);
        return ask_of(chroma, collection, NULL, "/upsert", body, &answer, failure);
}

int chroma_delete(const struct Chroma *chroma, const struct ChromaCollection *collection,
        const int64_t *ids, size_t n, struct Failure *failure) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *body = NULL;
        size_t size;
        FILE *stream = text_stream_open(&body, &size);

        if (!stream)
                return failure_out_of_memory(failure);
        (void) fputs("{\"ids\":", stream);
        write_ids(stream, ids, n);
        (void) fputc('}', stream);
        if (fclose(stream) != 0)
                return failure_out_of_memory(failure);
        return ask_of(chroma, collection, NULL, "/delete", body, &answer, failure);
}

static char *query_text(const float *vector, size_t dimension, size_t n, char *const *directories) {
        char *body = NULL;
        size_t size;
        FILE *stream = text_stream_open(&body, &size);

        if (!stream)
                return NULL;
        (void) fprintf(stream, "{\"n_results\":%zu,\"include\":[\"metadatas\"],", n);
        if (directories) {
                (void) fputs("\"where\":{\"directory\":{\"$in\":[", stream);
                for (size_t i = 0; directories[i]; i++) {
                        (void) fputs(i > 0 ? "," : "", stream);
                        write_text(stream, directories[i]);
                }
                (void) fputs("]}},", stream);
        }
        (void) fputs("\"query_embeddings\":[", stream);
        write_vector(stream, vector, dimension);
        (void) fputs("]}", stream);
        return fclose(stream) == 0 ? body : NULL;
}

int chroma_query(const struct Chroma *chroma, const struct ChromaCollection *collection,
        const float *vector, size_t n, char *const *directories, struct ChromaRecord **ret_records,
        size_t *ret_n, struct Failure *failure) {
        _cleanup_free_ char *body = query_text(vector, collection->dimension, n, directories);
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        json_object *ids, *metadatas;
        int r;

        if (!body)
                return failure_out_of_memory(failure);
        r = ask_of(chroma, collection, NULL, "/query", body, &answer, failure);
        if (r < 0)
                return r;
        /* Both are lists with one list for each vector of the question. */
        ids = json_typed_member(answer.body, "ids", json_type_array);
        metadatas = json_typed_member(answer.body, "metadatas", json_type_array);
        if (!ids || !metadatas || json_object_array_length(ids) != 1 ||
                json_object_array_length(metadatas) != 1)
                return wrong(chroma, failure);
        return take_records(chroma, json_object_array_get_idx(ids, 0),
                json_object_array_get_idx(metadatas, 0), ret_records, ret_n, failure);
}
