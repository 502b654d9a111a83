/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * POST /query, POST /context/build.
 */

#include <limits.h>

#include "daemon/document.h"
#include "daemon/fields.h"
#include "daemon/handlers.h"
#include "lib/base/json-document.h"
#include "lib/knowledge/hybrid.h"
#include "lib/knowledge/pack.h"

/* Where nothing says how many chunks a pack is to be made of, four times as many are looked for as
 * long as all that was found is in it and more than a quarter of it is empty, up to so many. */
#define PACK_CHUNKS_MAX 160

/* What both ask for. */
struct Question {
        uint64_t started_ms;
        json_object *fields;
        const char *prompt;
        const char *project_name; /* as asked for; NULL: everything */
        uint64_t top_k;
        bool is_open; /* it said nothing of top_k */
        uint64_t budget;
        bool explain;
        struct RegistryView *view; /* NULL where no project was asked for */
        struct Failure stale;      /* why that is not the registry on disk */
        const struct Project *project;
        struct Retrieval *retrieval;
};

static void question_clear(struct Question *question) {
        (void) json_object_put(question->fields);
        (void) registry_view_release(question->view);
        failure_clear(&question->stale);
        (void) retrieval_free(question->retrieval);
}

static int parse(
        const struct Request *request, struct Question *question, struct Response *response) {
        int r;

        r = fields_parse(request, FIELD_REQUIRED, &question->fields, response);
        if (r < 0)
                return r;
        r = field_text(question->fields, "prompt", FIELD_REQUIRED, &question->prompt, response);
        if (r < 0)
                return r;
        r = field_text(
                question->fields, "project", FIELD_OPTIONAL, &question->project_name, response);
        if (r < 0)
                return r;
        r = field_number(
                question->fields, "top_k", 1, RETRIEVE_TOP_K_MAX, &question->top_k, response);
        if (r < 0)
                return r;
        r = field_number(
                question->fields, "budget", 1, PACK_BUDGET_MAX, &question->budget, response);
        if (r < 0)
                return r;
        return field_flag(question->fields, "explain", &question->explain, response);
}

static int ask(struct Worker *worker, const struct Request *request, struct Question *question,
        struct Response *response) {
        int r;

        question->started_ms = monotonic_ms();
        question->budget = PACK_BUDGET_DEFAULT;
        r = parse(request, question, response);
        if (r < 0)
                return r;
        question->is_open = question->top_k == 0;
        if (question->is_open)
                question->top_k = RETRIEVE_TOP_K_DEFAULT;
        if (!question->project_name)
                return 0;
        /* One that is not known is never a search over everything. */
        r = worker_registry(worker, &question->view, &question->stale, response);
        return r < 0 ? r
                     : worker_project(question->view->registry, question->project_name,
                               &question->project, response);
}

static int find(struct Worker *worker, struct Question *question, struct Response *response) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Operation operation = worker_operation(worker);
        struct Store *store;
        int r = worker_store(worker, &store, response);

        if (r < 0)
                return r;
        question->retrieval = retrieval_free(question->retrieval);
        r = hybrid_retrieve(&operation, worker->daemon->vectors, store, question->project,
                question->prompt, (size_t) question->top_k, &question->retrieval, &failure);
        return r < 0 ? response_failure(response, &failure) : 0;
}

/* What was found and is answered, where that was asked for. */
static int explain(struct Worker *worker, struct Question *question, struct Response *response) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Store *store;
        int r;

        if (!question->explain)
                return 0;
        r = worker_store(worker, &store, response);
        if (r < 0)
                return r;
        r = retrieve_explain(store, question->project, question->prompt, (size_t) question->top_k,
                question->retrieval, &failure);
        return r < 0 ? response_failure(response, &failure) : 0;
}

static bool wants_more(const struct Question *question, const struct Pack *pack) {
        const struct Retrieval *retrieval = question->retrieval;

        if (!question->is_open || question->top_k >= PACK_CHUNKS_MAX ||
                retrieval->n_chunks < question->top_k ||
                pack->total_chars > question->budget - question->budget / 4)
                return false;
        for (size_t i = 0; i < retrieval->n_chunks; i++)
                if (pack->selection->decisions[i] == PACK_DROPPED_BUDGET)
                        return false;
        return true;
}

static int build(struct Worker *worker, struct Question *question, struct Pack **ret_pack,
        struct Response *response) {
        const char *project_id = question->project ? question->project->id : NULL;

        for (;; question->top_k *= 4) {
                _cleanup_pack_ struct Pack *pack = NULL;
                int r = find(worker, question, response);

                if (r < 0)
                        return r;
                if (pack_build(question->retrieval, project_id, question->prompt, question->budget,
                            &pack) < 0)
                        return response_out_of_memory(response);
                if (!wants_more(question, pack)) {
                        *ret_pack = STEAL(pack);
                        return 0;
                }
        }
}

/* Answers. A member that memory ran out for is null, and the next allocation fails as well: whoever
 * makes the document has its own NULL to tell by. */

/* Six digits say all there is to say about a rank. */
static json_object *score_to_json(double score) {
        char text[32];

        (void) snprintf(text, sizeof text, "%.6g", score);
        return json_object_new_double_s(score, text);
}

static json_object *content_to_json(const char *content, size_t size) {
        return json_object_new_string_len(content, size < INT_MAX ? (int) size : INT_MAX);
}

static json_object *explanation_to_json(const struct Explanation *explanation) {
        json_object *object = json_object_new_object(), *terms = json_object_new_array();

        for (size_t i = 0; terms && i < explanation->n_terms; i++) {
                const struct TermScore *score = &explanation->terms[i];
                json_object *term = json_object_new_object();

                document_add(term, "term", document_text(score->term));
                document_add(term, "from", document_text(score->typical ? "feedback" : "prompt"));
                document_add(term, "weight", score_to_json(score->weight));
                document_add(term, "frequency", json_object_new_int64(score->frequency));
                document_add(term, "span_frequency", json_object_new_int64(score->span_frequency));
                document_add(term, "score", score_to_json(score->score));
                document_append(terms, term);
        }
        document_add(object, "terms", terms);
        document_add(object, "proximity", score_to_json(explanation->proximity));
        document_add(object, "lead", score_to_json(explanation->lead));
        return object;
}

static json_object *chunk_to_json(const struct Chunk *chunk) {
        json_object *object = json_object_new_object();

        document_add(object, "chunk_id", json_object_new_int64(chunk->id));
        document_add(object, "source_file", document_text(chunk->source_file));
        document_add(object, "title", document_text(chunk->title));
        document_add(object, "heading_path", document_text_list(chunk->heading_path));
        document_add(object, "start_line", json_object_new_uint64(chunk->start_line));
        document_add(object, "end_line", json_object_new_uint64(chunk->end_line));
        document_add(object, "score", score_to_json(chunk->score));
        document_add(object, "char_count", json_object_new_uint64(chunk->char_count));
        document_add(object, "content", content_to_json(chunk->content, chunk->content_size));
        if (chunk->explanation)
                document_add(object, "explain", explanation_to_json(chunk->explanation));
        return object;
}

/* Its best chunk, but for what it holds and where that stands. */
static json_object *passage_to_json(const struct Passage *passage) {
        json_object *object = chunk_to_json(passage->best), *ids = json_object_new_array();

        for (size_t i = 0; ids && i < passage->n_chunks; i++)
                document_append(ids, json_object_new_int64(passage->chunks[i]->id));
        document_add(object, "chunk_ids", ids);
        document_add(object, "start_line", json_object_new_uint64(passage->start_line));
        document_add(object, "end_line", json_object_new_uint64(passage->end_line));
        document_add(object, "char_count", json_object_new_uint64(passage->char_count));
        document_add(object, "content", content_to_json(passage->content, passage->content_size));
        document_add(object, "cut", json_object_new_boolean(passage->cut));
        return object;
}

static json_object *degraded_to_json(const struct Question *question) {
        json_object *list = document_text_list(question->retrieval->degraded);
        const struct Failure *stale = &question->stale;
        _cleanup_free_ char *text = NULL;

        if (!failure_is_set(stale))
                return list;
        if (asprintf(&text, "%s: %s", event_code(stale->event), failure_message(stale)) < 0)
                text = NULL;
        document_append(list, document_text(text));
        return list;
}

static json_object *retrieval_to_json(const struct Question *question) {
        const struct Retrieval *retrieval = question->retrieval;
        json_object *object = json_object_new_object();

        document_add(object, "mode", json_object_new_string(retrieval->mode));
        document_add(object, "candidates", json_object_new_uint64(retrieval->candidates));
        document_add(object, "degraded", degraded_to_json(question));
        return object;
}

static json_object *chunks_to_json(const struct Retrieval *retrieval) {
        json_object *list = json_object_new_array();

        for (size_t i = 0; list && i < retrieval->n_chunks; i++)
                document_append(list, chunk_to_json(&retrieval->chunks[i]));
        return list;
}

static json_object *passages_to_json(const struct PackSelection *selection) {
        json_object *list = json_object_new_array();

        for (size_t i = 0; list && i < selection->n_passages; i++)
                document_append(list, passage_to_json(selection->passages[i]));
        return list;
}

static json_object *dropped_chunk(int64_t id, const char *reason) {
        json_object *object = json_object_new_object();

        document_add(object, "chunk_id", json_object_new_int64(id));
        document_add(object, "reason", json_object_new_string(reason));
        return object;
}

static json_object *dropped_to_json(
        const struct Retrieval *retrieval, const struct PackSelection *selection) {
        static const char *const reasons[] = {
                [PACK_DROPPED_BUDGET] = "budget",
                [PACK_DROPPED_DUPLICATE] = "duplicate",
        };
        json_object *list = json_object_new_array();

        for (size_t i = 0; list && i < retrieval->n_chunks; i++)
                if (selection->decisions[i] != PACK_USED)
                        document_append(list,
                                dropped_chunk(
                                        retrieval->chunks[i].id, reasons[selection->decisions[i]]));
        for (size_t i = 0; list && i < retrieval->n_stale; i++)
                document_append(list, dropped_chunk(retrieval->stale[i], "stale"));
        return list;
}

static json_object *project_to_json(const struct Question *question) {
        json_object *object;

        if (!question->project)
                return NULL;
        object = json_object_new_object();
        document_add(object, "id", document_text(question->project->id));
        document_add(object, "matched", document_text(question->project_name));
        return object;
}

static json_object *duration(const struct Question *question) {
        return json_object_new_uint64(monotonic_ms() - question->started_ms);
}

void handle_query(struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_(question_clear) struct Question question = { 0 };
        json_object *object;

        if (ask(worker, request, &question, response) < 0 ||
                find(worker, &question, response) < 0 || explain(worker, &question, response) < 0)
                return;
        object = json_object_new_object();
        if (object) {
                document_add(object, "chunks", chunks_to_json(question.retrieval));
                document_add(object, "retrieval", retrieval_to_json(&question));
                document_add(object, "duration_ms", duration(&question));
        }
        response_json(response, HTTP_OK, object);
}

void handle_context_build(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_(question_clear) struct Question question = { 0 };
        _cleanup_pack_ struct Pack *pack = NULL;
        json_object *object;

        if (ask(worker, request, &question, response) < 0 ||
                build(worker, &question, &pack, response) < 0 ||
                explain(worker, &question, response) < 0)
                return;
        object = json_object_new_object();
        if (object) {
                document_add(object, "formatted_context", document_text(pack->formatted_context));
                document_add(object, "full_prompt", document_text(pack->full_prompt));
                document_add(
                        object, "chunks_used", json_object_new_uint64(pack->selection->n_passages));
                document_add(object, "total_chars", json_object_new_uint64(pack->total_chars));
                document_add(object, "budget", json_object_new_uint64(question.budget));
                document_add(object, "budget_remaining",
                        json_object_new_uint64(question.budget - pack->total_chars));
                document_add(object, "duration_ms", duration(&question));
                document_add(object, "project", project_to_json(&question));
                document_add(object, "retrieval", retrieval_to_json(&question));
                document_add(object, "chunks", passages_to_json(pack->selection));
                document_add(
                        object, "dropped", dropped_to_json(question.retrieval, pack->selection));
        }
        response_json(response, HTTP_OK, object);
}
