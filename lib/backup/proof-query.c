/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/proof-query.h"

#include <ctype.h>
#include <string.h>

#include "lib/base/sqlite.h"

#define RARE_WORDS 5

/* The beginnings of the first chunk, the last, and one in the middle: if one is all of signs that
 * are no words, another is not. Each text is found by itself. */
#define BEGINNINGS                                                                                 \
        "SELECT group_concat(substr(title || ' ' || content, 1, 80), ' ') FROM chunks"             \
        " WHERE id IN (SELECT min(id) FROM chunks UNION SELECT max(id) FROM chunks"                \
        "  UNION SELECT min(id) FROM chunks"                                                       \
        "   WHERE id >= (SELECT min(id) / 2 + max(id) / 2 FROM chunks))"

static bool is_of_word(char c) {
        return (unsigned char) c >= 0x80 || isalnum((unsigned char) c);
}

/* The length of the word at `text`; *ret_text is behind all that is none. */
static size_t next_word(const char *text, const char **ret_text) {
        size_t length = 0;

        while (text[0] && !is_of_word(text[0]))
                text++;
        while (text[length] && is_of_word(text[length]))
                length++;
        *ret_text = text;
        return length;
}

/* Long words are rare ones: to look for a few dozen common ones in a large database takes seconds.
 */
static char *longest_words(const char *text) {
        struct {
                const char *text;
                size_t length;
        } longest[RARE_WORDS] = { 0 };
        char *words = NULL;
        size_t length, size = 0;
        FILE *file = open_memstream(&words, &size);

        if (!file)
                return NULL;
        for (const char *word; (length = next_word(text, &word)) > 0; text = word + length) {
                size_t shortest = 0;

                for (size_t i = 1; i < RARE_WORDS; i++)
                        if (longest[i].length < longest[shortest].length)
                                shortest = i;
                if (length <= longest[shortest].length)
                        continue;
                longest[shortest].text = word;
                longest[shortest].length = length;
        }
        for (size_t i = 0; i < RARE_WORDS && longest[i].text; i++)
                (void) fprintf(file, "%.*s ", (int) longest[i].length, longest[i].text);
        if (fclose(file) == 0)
                return words;
        free(words);
        return NULL;
}

int proof_query(const struct Operation *operation, char **ret_rare, char **ret_all,
        struct Failure *failure) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        _cleanup_free_ char *all = NULL;
        const char *text;
        int r;

        r = sqlite_open(operation->layout->database, SQLITE_MODE_READ, &db, failure);
        if (r < 0)
                return r;
        r = sqlite_prepare(db, BEGINNINGS, &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_step(statement) != SQLITE_ROW)
                return sqlite_failure(db, failure, "look for words in the chunks");
        text = (const char *) sqlite3_column_text(statement, 0);
        all = strdup(text ? text : "");
        *ret_rare = all ? longest_words(all) : NULL;
        if (!*ret_rare)
                return failure_out_of_memory(failure);
        *ret_all = STEAL(all);
        return 0;
}
