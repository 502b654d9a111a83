/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text → terms, the words that the index knows. The same for what is indexed and for what is asked,
 * so that a word here is a word there; no configuration, and no guess at a language.
 *
 * Words are letters, marks and digits (Unicode general categories L, M and N). Case, width and
 * compatibility forms are folded (NFKC_Casefold), and so are the diacritics of scripts that can be
 * written without them (Latin, Greek, Cyrillic, Hebrew, Arabic), and what chooses among the forms
 * of an ideograph or an emoji. æ and œ are two letters.
 *
 * - a word of a to z is reduced to its stem: Snowball English, https://snowballstem.org
 * - names and codes stay what they are: what bears a digit is not stemmed, and what is joined by
 *   "_", "." or "-" (`foo_bar`, `atocore.db`, `p05-interferometer`) is a term beside its parts; so
 *   is a letter with "#" or "++" behind it (`C#`, `C++`)
 * - scripts without spaces (Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar) become pairs of
 *   neighbouring characters, and in the index single ones of Han too, and the first syllable of a
 *   Korean word, which may be a noun before its particle: a known way to find words without knowing
 *   them (Lucene's CJKAnalyzer does the same). Words of a to z in such a text are words there, too
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

#define TERM_SIZE_MAX 64 /* bytes; of what is longer the beginning is the term */

enum AnalyzerPurpose {
        ANALYZE_INDEX,
        ANALYZE_QUERY,
};

struct Analyzer;

/* -ENOMEM. One per thread. */
int analyzer_new(struct Analyzer **ret_analyzer);
struct Analyzer *analyzer_free(struct Analyzer *analyzer);
DEFINE_POINTER_CLEANUP(struct Analyzer *, analyzer_free)
#define _cleanup_analyzer_ _cleanup_(analyzer_freep)

/* `term` is valid until the call returns. A result other than 0 ends the analysis. `start` and
 * `end` are the bytes of the text that it comes from. */
typedef int (*AnalyzerSink)(
        void *userdata, const char *term, size_t size, size_t start, size_t end);

/* All terms in the order of the text, a compound before its parts. Invalid UTF-8 separates words.
 * The memory it takes has a bound, whatever the text. 0, -ENOMEM, or what the sink returned. */
int analyze(struct Analyzer *analyzer, enum AnalyzerPurpose purpose, const char *text, size_t size,
        AnalyzerSink sink, void *userdata);

/* Terms that are looked for, by how they begin. {0}: none. */
struct WantedTerms {
        uint32_t seconds[26]; /* for each first letter, the second ones, a bit each */
};

void wanted_terms_add(struct WantedTerms *wanted, const char *term, size_t size);

/* analyze() of ANALYZE_INDEX for who looks for these only: as many terms in the same places, but a
 * word that is none of them may be handed out as it stands, which saves most of the time. */
int analyze_for(struct Analyzer *analyzer, const struct WantedTerms *wanted, const char *text,
        size_t size, AnalyzerSink sink, void *userdata);
