/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/prompt-words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/sqlite.h"
#include "lib/base/text-stream.h"

/* That of chunks_fts (schema.c); a test compares them. */
#define TOKENIZER "porter"
static const char *tokenizer_arguments[] = { "unicode61", "remove_diacritics", "2" };

/* Sorted. Each is in so many chunks that it tells nothing about any of them. */
static const char *const common_words[] = { "a", "about", "an", "and", "are", "as", "at", "be",
        "been", "but", "by", "can", "could", "did", "do", "does", "for", "from", "had", "has",
        "have", "how", "i", "if", "in", "into", "is", "it", "its", "may", "me", "might", "must",
        "my", "no", "nor", "not", "of", "on", "or", "our", "shall", "should", "so", "such", "than",
        "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "to",
        "us", "was", "we", "were", "what", "when", "where", "which", "who", "whom", "why", "will",
        "with", "would", "you", "your" };

struct CommonKey {
        const char *text;
        size_t size;
};

static int compare_common(const void *key, const void *entry) {
        const struct CommonKey *k = key;
        const char *word = *(const char *const *) entry;
        int order = strncasecmp(k->text, word, k->size);

        return order != 0 ? order : -(word[k->size] != '\0');
}

static bool is_common(const char *text, size_t size) {
        struct CommonKey key = { text, size };

        return bsearch(&key, common_words, sizeof common_words / sizeof common_words[0],
                sizeof common_words[0], compare_common);
}

struct Search {
        const char *prompt;
        struct PromptWords *words;
        bool common; /* take common words too */
};

static bool is_known(const struct PromptWords *words, const char *stem, size_t size) {
        for (size_t i = 0; i < words->n_words; i++)
                if (words->words[i].stem_size == size &&
                        memcmp(words->words[i].stem, stem, size) == 0)
                        return true;
        return false;
}

static int take_token(
        void *userdata, int flags, const char *stem, int stem_size, int start, int end) {
        struct Search *search = userdata;
        struct PromptWords *words = search->words;
        const char *text = search->prompt + start;
        size_t size = (size_t) (end - start);

        (void) flags;
        if ((!search->common && is_common(text, size)) || is_known(words, stem, (size_t) stem_size))
                return SQLITE_OK;
        if (words->n_words == PROMPT_WORDS_MAX) {
                words->cut = true;
                return SQLITE_DONE;
        }
        char *copy = strndup(stem, (size_t) stem_size);
        if (!copy)
                return SQLITE_NOMEM;
        words->words[words->n_words++] = (struct PromptWord){
                .text = text, .size = size, .stem = copy, .stem_size = (size_t) stem_size
        };
        return SQLITE_OK;
}

/* https://sqlite.org/fts5.html#extending_fts5 */
static int find_api(sqlite3 *db, fts5_api **ret_api, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        fts5_api *api = NULL;
        int r;

        r = sqlite_prepare(db, "SELECT fts5(?1)", &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", NULL) != SQLITE_OK ||
                sqlite3_step(statement) != SQLITE_ROW || !api)
                return sqlite_failure(db, failure, "find the tokenizer");
        *ret_api = api;
        return 0;
}

static int tokenize(sqlite3 *db, struct Search *search, struct Failure *failure) {
        fts5_tokenizer tokenizer;
        Fts5Tokenizer *instance;
        fts5_api *api = NULL;
        void *context;
        int r, code;

        r = find_api(db, &api, failure);
        if (r < 0)
                return r;
        if (api->xFindTokenizer(api, TOKENIZER, &context, &tokenizer) != SQLITE_OK)
                return failure_set(failure, EVENT_INTERNAL_ERROR, ENOTSUP, NULL,
                        "SQLite has no tokenizer " TOKENIZER "; use the packaged libsqlite3");
        if (tokenizer.xCreate(context, tokenizer_arguments,
                    sizeof tokenizer_arguments / sizeof tokenizer_arguments[0],
                    &instance) != SQLITE_OK)
                return failure_out_of_memory(failure);

        code = tokenizer.xTokenize(instance, search, FTS5_TOKENIZE_QUERY, search->prompt,
                (int) strlen(search->prompt), take_token);
        tokenizer.xDelete(instance);
        return code == SQLITE_OK || code == SQLITE_DONE ? 0 : failure_out_of_memory(failure);
}

int prompt_words_find(
        sqlite3 *db, const char *prompt, struct PromptWords **ret_words, struct Failure *failure) {
        _cleanup_prompt_words_ struct PromptWords *words = calloc(1, sizeof *words);
        struct Search search = { .prompt = prompt, .words = words };
        int r;

        if (!words)
                return failure_out_of_memory(failure);
        r = tokenize(db, &search, failure);
        if (r >= 0 && words->n_words == 0) {
                search.common = true;
                r = tokenize(db, &search, failure);
        }
        if (r < 0)
                return r;
        *ret_words = STEAL(words);
        return 0;
}

struct PromptWords *prompt_words_free(struct PromptWords *words) {
        if (!words)
                return NULL;
        for (size_t i = 0; i < words->n_words; i++)
                free(words->words[i].stem);
        free(words);
        return NULL;
}

char *prompt_words_expression(const struct PromptWords *words) {
        char *text = NULL;
        size_t size = 0;
        FILE *expression = text_stream_open(&text, &size);

        if (!expression)
                return NULL;
        for (size_t i = 0; i < words->n_words; i++) {
                const struct PromptWord *word = &words->words[i];

                (void) fputs(i > 0 ? " OR \"" : "\"", expression);
                for (size_t k = 0; k < word->size; k++) {
                        if (word->text[k] == '"')
                                (void) fputc('"', expression);
                        (void) fputc(word->text[k], expression);
                }
                (void) fputc('"', expression);
        }
        return fclose(expression) == 0 ? text : NULL;
}
