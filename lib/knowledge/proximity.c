/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/proximity.h"

#include <string.h>

#include "lib/knowledge/posting.h"

#define NEVER 0

struct Scan {
        const struct PromptWords *words;
        size_t position;                  /* of the term, from 1 on */
        size_t last[PROMPT_WORDS_MAX];    /* positions of the words, NEVER: not yet */
        unsigned pairs[PROMPT_WORDS_MAX]; /* how often the word followed the one before it */
};

static int take_term(void *userdata, const char *term, size_t size, size_t start, size_t end) {
        struct Scan *scan = userdata;

        (void) start;
        (void) end;
        scan->position++;
        for (size_t i = 0; i < scan->words->n_words; i++) {
                const struct PromptWord *word = &scan->words->words[i];

                if (word->size != size || memcmp(word->term, term, size) != 0)
                        continue;
                if (i > 0 && scan->last[i - 1] != NEVER && scan->position > scan->last[i - 1] &&
                        scan->position - scan->last[i - 1] <= PROXIMITY_DISTANCE)
                        scan->pairs[i]++;
                scan->last[i] = scan->position;
                break;
        }
        return 0;
}

/* Of the i-th word after the one before it, were it there without end. */
static double worth_of(const double *idfs, size_t i) {
        return PROXIMITY_SHARE * (idfs[i - 1] < idfs[i] ? idfs[i - 1] : idfs[i]);
}

int proximity_bonus(struct Analyzer *analyzer, const struct PromptWords *words, const double *idfs,
        const char *text, size_t size, double *ret_bonus) {
        struct Scan scan = { .words = words };
        struct WantedTerms wanted = { 0 };
        double bonus = 0;
        int r;

        for (size_t i = 0; i < words->n_words; i++)
                wanted_terms_add(&wanted, words->words[i].term, words->words[i].size);
        r = analyze_for(analyzer, &wanted, text, size, take_term, &scan);
        if (r < 0)
                return r;
        for (size_t i = 1; i < words->n_words; i++)
                bonus += worth_of(idfs, i) * scan.pairs[i] / (scan.pairs[i] + 1.0);
        *ret_bonus = bonus;
        return 0;
}

double proximity_bound(const struct PromptWords *words, const double *idfs,
        const uint8_t frequencies[static PROMPT_WORDS_MAX]) {
        double bound = 0;

        for (size_t i = 1; i < words->n_words; i++) {
                double pairs = frequencies[i];

                if (frequencies[i - 1] == 0)
                        continue;
                bound += frequencies[i] < VECTOR_FREQUENCY_MAX
                        ? worth_of(idfs, i) * pairs / (pairs + 1.0)
                        : worth_of(idfs, i);
        }
        return bound;
}
