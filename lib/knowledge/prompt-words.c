/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/prompt-words.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

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

#define ENOUGH 1 /* ends the analysis */

static bool is_known(const struct PromptWords *words, const char *term, size_t size) {
        for (size_t i = 0; i < words->n_words; i++)
                if (words->words[i].size == size && memcmp(words->words[i].term, term, size) == 0)
                        return true;
        return false;
}

static int take_term(void *userdata, const char *term, size_t size, size_t start, size_t end) {
        struct Search *search = userdata;
        struct PromptWords *words = search->words;
        char *copy;

        if ((!search->common && is_common(search->prompt + start, end - start)) ||
                is_known(words, term, size))
                return 0;
        if (words->n_words == PROMPT_WORDS_MAX) {
                words->cut = true;
                return ENOUGH;
        }
        copy = strndup(term, size);
        if (!copy)
                return -ENOMEM;
        words->words[words->n_words++] = (struct PromptWord){ .term = copy, .size = size };
        return 0;
}

int prompt_words_find(struct Analyzer *analyzer, const char *prompt, struct PromptWords **ret_words,
        struct Failure *failure) {
        _cleanup_prompt_words_ struct PromptWords *words = calloc(1, sizeof *words);
        struct Search search = { .prompt = prompt, .words = words };
        size_t size = strlen(prompt);
        int r;

        if (!words)
                return failure_out_of_memory(failure);
        r = analyze(analyzer, ANALYZE_QUERY, prompt, size, take_term, &search);
        if (r >= 0 && words->n_words == 0) {
                search.common = true;
                r = analyze(analyzer, ANALYZE_QUERY, prompt, size, take_term, &search);
        }
        if (r < 0)
                return failure_out_of_memory(failure);
        *ret_words = STEAL(words);
        return 0;
}

struct PromptWords *prompt_words_free(struct PromptWords *words) {
        if (!words)
                return NULL;
        for (size_t i = 0; i < words->n_words; i++)
                free(words->words[i].term);
        free(words);
        return NULL;
}
