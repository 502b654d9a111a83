/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/embedding.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/text.h"
#include "lib/knowledge/vector-failure.h"

enum {
        HTTP_OK = 200,
        HTTP_BAD_REQUEST = 400,
        HTTP_UNAUTHORIZED = 401,
        HTTP_FORBIDDEN = 403,
        HTTP_NOT_FOUND = 404,
        HTTP_TOO_MANY = 429,
        HTTP_UNAVAILABLE = 503,
};

static json_object *question(const struct Embedder *embedder, const char *const *texts, size_t n) {
        _cleanup_json_ json_object *object = json_object_new_object();
        _cleanup_json_ json_object *input = json_object_new_array();

        if (!object || !input)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if (!json_append(input, json_object_new_string(texts[i])))
                        return NULL;
        if (embedder->model[0] != '\0' &&
                !json_set(object, "model", json_object_new_string(embedder->model)))
                return NULL;
        return json_set(object, "input", STEAL(input)) &&
                        json_set(object, "encoding_format", json_object_new_string("float"))
                ? STEAL(object)
                : NULL;
}

static int no_answer(const struct Operation *operation, const struct Embedder *embedder, int error,
        const char *problem, struct Failure *failure) {
        int r;

        if (error == ENOMEM)
                return failure_out_of_memory(failure);
        r = error == EINTR ? operation_check(operation, failure) : 0;
        if (r < 0)
                return r;
        return vector_failure(failure, error == ETIMEDOUT ? VECTOR_TIMEOUT : VECTOR_EMBEDDING,
                error, "The embedding server %s gave %s; see whether it runs", embedder->url,
                problem ? problem : "no answer");
}

/* What the server says of it, in one of two forms: {"error": {"message": …}}, {"error": …}. */
static const char *message_of(json_object *body) {
        json_object *error, *message;

        if (!json_object_is_type(body, json_type_object) ||
                !json_object_object_get_ex(body, "error", &error))
                return "";
        if (json_object_is_type(error, json_type_string))
                return json_object_get_string(error);
        return json_object_is_type(error, json_type_object) &&
                        json_object_object_get_ex(error, "message", &message) &&
                        json_object_is_type(message, json_type_string)
                ? json_object_get_string(message)
                : "";
}

/* Texts that are too long are refused with 400, 413, 422 or 500. The rest is of the server, and
 * would be the same for all texts. */
static bool is_of_texts(long status) {
        return status >= HTTP_BAD_REQUEST && status != HTTP_UNAUTHORIZED &&
                status != HTTP_FORBIDDEN && status != HTTP_NOT_FOUND && status != HTTP_TOO_MANY &&
                status != HTTP_UNAVAILABLE;
}

static int refused(
        const struct Embedder *embedder, const struct HttpAnswer *answer, struct Failure *failure) {
        _cleanup_free_ char *message = text_escape(message_of(answer->body));
        bool key = answer->status == HTTP_UNAUTHORIZED || answer->status == HTTP_FORBIDDEN;

        return vector_failure(failure, VECTOR_EMBEDDING,
                is_of_texts(answer->status) ? EREMOTEIO : EIO,
                "The embedding server %s answered with status %ld%s%.200s%s; %s", embedder->url,
                answer->status, message && *message ? " (" : "", message ? message : "",
                message && *message ? ")" : "",
                key ? "put its key into the credential embedding-api-key"
                    : "see its own log, and embedding= and embedding_model= in atocore.conf");
}

__attribute__((format(printf, 3, 4))) static int wrong(
        const struct Embedder *embedder, struct Failure *failure, const char *format, ...) {
        _cleanup_free_ char *what = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&what, format, arguments);
        va_end(arguments);
        if (r < 0) {
                what = NULL;
                return failure_out_of_memory(failure);
        }
        return vector_failure(failure, VECTOR_EMBEDDING, EBADMSG,
                "The embedding server %s answered with %s; embedding= must lead to an "
                "OpenAI-compatible /v1/embeddings",
                embedder->url, what);
}

/* Into `values`, which has room for `dimension` numbers. */
static int take_numbers(const struct Embedder *embedder, json_object *vector, size_t dimension,
        float *values, struct Failure *failure) {
        bool any = false;

        for (size_t i = 0; i < dimension; i++) {
                json_object *number = json_object_array_get_idx(vector, i);

                if (!json_object_is_type(number, json_type_double) &&
                        !json_object_is_type(number, json_type_int))
                        return wrong(embedder, failure, "a vector that is not of numbers");
                values[i] = (float) json_object_get_double(number);
                if (!isfinite(values[i]))
                        return wrong(embedder, failure, "a number that is not finite");
                any = any || values[i] > 0 || values[i] < 0;
        }
        return any ? 0 : wrong(embedder, failure, "a vector of zeros");
}

/* Which text an entry is of: by its index, and by its place where it has none. */
static size_t index_of(json_object *entry, size_t place, size_t n) {
        json_object *index = json_typed_member(entry, "index", json_type_int);
        int64_t value = index ? json_object_get_int64(index) : (int64_t) place;

        return value >= 0 && (uint64_t) value < n ? (size_t) value : n;
}

static int check_dimension(
        const struct Embedder *embedder, size_t found, size_t expected, struct Failure *failure) {
        if (found == 0 || found > EMBEDDING_DIMENSION_MAX)
                return wrong(embedder, failure, "a vector of %zu numbers", found);
        if (expected == 0 || found == expected)
                return 0;
        return vector_failure(failure, VECTOR_DIMENSION, EBADMSG,
                "The embedding server %s answered with a vector of %zu numbers, where the vector "
                "store has %zu; if the model was changed on purpose, run atocore-ingest --reembed",
                embedder->url, found, expected);
}

static int take(const struct Embedder *embedder, json_object *body, size_t n, size_t dimension,
        float **ret_values, size_t *ret_dimension, struct Failure *failure) {
        json_object *data = json_typed_member(body, "data", json_type_array);
        _cleanup_free_ float *values = NULL;
        _cleanup_free_ bool *seen = calloc(n, sizeof *seen);
        int r;

        if (!seen)
                return failure_out_of_memory(failure);
        if (!data)
                return wrong(embedder, failure, "no list of vectors");
        if (json_object_array_length(data) != n)
                return wrong(embedder, failure, "%zu vectors for %zu texts",
                        json_object_array_length(data), n);
        for (size_t i = 0; i < n; i++) {
                json_object *entry = json_object_array_get_idx(data, i);
                json_object *vector = json_typed_member(entry, "embedding", json_type_array);
                size_t index = index_of(entry, i, n);

                if (!vector || index == n || seen[index])
                        return wrong(embedder, failure, "an entry that is no vector of a text");
                seen[index] = true;
                r = check_dimension(embedder, json_object_array_length(vector), dimension, failure);
                if (r < 0)
                        return r;
                if (!values) {
                        dimension = json_object_array_length(vector);
                        values = calloc(n * dimension, sizeof *values);
                        if (!values)
                                return failure_out_of_memory(failure);
                }
                r = take_numbers(embedder, vector, dimension, values + index * dimension, failure);
                if (r < 0)
                        return r;
        }
        *ret_values = STEAL(values);
        *ret_dimension = dimension;
        return 0;
}

int embed(const struct Operation *operation, const struct Embedder *embedder,
        const char *const *texts, size_t n, size_t dimension, uint64_t deadline_ms,
        float **ret_values, size_t *ret_dimension, struct Failure *failure) {
        _cleanup_json_ json_object *body = question(embedder, texts, n);
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *problem = NULL;
        const struct HttpRequest request = {
                .url = embedder->url,
                .path = "",
                .body = body,
                .bearer = embedder->key,
                .deadline_ms = deadline_ms,
        };
        int r;

        if (!body)
                return failure_out_of_memory(failure);
        r = embedder->request(operation, &request, &answer, &problem);
        if (r < 0)
                return no_answer(operation, embedder, -r, problem, failure);
        if (answer.status != HTTP_OK)
                return refused(embedder, &answer, failure);
        return take(embedder, answer.body, n, dimension, ret_values, ret_dimension, failure);
}
