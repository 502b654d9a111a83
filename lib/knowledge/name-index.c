/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/name-index.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <search.h>
#include <stdint.h>
#include <string.h>
#include <unicase.h>
#include <wctype.h>

#include "lib/base/utf8.h"

struct NameIndex {
        void *tree;      /* of struct Name, tsearch(3) */
        void *canonical; /* the same by canonical(), of those who are one there the first */
        locale_t locale; /* 0 where there is no C.UTF-8 */
};

struct Name {
        const struct Project *project;
        char folded[];
};

int name_index_new(struct NameIndex **ret_index) {
        struct NameIndex *index = calloc(1, sizeof *index);

        if (!index)
                return -ENOMEM;
        index->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
        *ret_index = index;
        return 0;
}

struct NameIndex *name_index_free(struct NameIndex *index) {
        if (!index)
                return NULL;
        tdestroy(index->tree, free);
        tdestroy(index->canonical, free);
        if (index->locale)
                freelocale(index->locale);
        free(index);
        return NULL;
}

/* By way of upper case, as some lower-case letters share one (σ and ς). */
static uint32_t fold_character(locale_t locale, uint32_t character) {
        if (locale)
                return (uint32_t) towlower_l(towupper_l((wint_t) character, locale), locale);
        return character >= 'A' && character <= 'Z' ? character - 'A' + 'a' : character;
}

static struct Name *fold(const struct NameIndex *index, const char *name) {
        size_t size = strlen(name);
        struct Name *folded;
        char *to;

        /* A folded character may be longer than it was, but not than 4 bytes. */
        if (size > (SIZE_MAX - sizeof *folded - 1) / 4)
                return NULL;
        folded = malloc(sizeof *folded + 4 * size + 1);
        if (!folded)
                return NULL;

        folded->project = NULL;
        to = folded->folded;
        for (size_t at = 0; at < size;) {
                uint32_t character;
                size_t length = utf8_decode(name + at, size - at, &character);

                if (length == 0) {
                        *to++ = name[at++];
                        continue;
                }
                to += utf8_encode(fold_character(index->locale, character), to);
                at += length;
        }
        *to = '\0';
        return folded;
}

/* *ret_name is NULL where it is not UTF-8. */
static int canonical(const char *name, struct Name **ret_name) {
        _cleanup_free_ uint8_t *folded = NULL;
        struct Name *entry;
        size_t size;

        folded = u8_casefold((const uint8_t *) name, strlen(name), NULL, UNINORM_NFC, NULL, &size);
        if (!folded && errno == ENOMEM)
                return -ENOMEM;
        entry = folded ? malloc(sizeof *entry + size + 1) : NULL;
        if (folded && !entry)
                return -ENOMEM;
        if (entry) {
                entry->project = NULL;
                *(char *) mempcpy(entry->folded, folded, size) = '\0';
        }
        *ret_name = entry;
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(((const struct Name *) a)->folded, ((const struct Name *) b)->folded);
}

int name_index_add(struct NameIndex *index, const char *name, const struct Project *project,
        const struct Project **ret_owner) {
        _cleanup_free_ struct Name *entry = fold(index, name), *other = NULL;

        if (!entry || canonical(name, &other) < 0)
                return -ENOMEM;
        entry->project = project;

        struct Name **found = tsearch(entry, &index->tree, compare_names);
        if (!found)
                return -ENOMEM;
        if (*found != entry) {
                *ret_owner = (*found)->project;
                return -EEXIST;
        }
        STEAL(entry);
        if (!other)
                return 0;
        other->project = project;
        found = tsearch(other, &index->canonical, compare_names);
        if (!found)
                return -ENOMEM;
        if (*found == other)
                STEAL(other);
        return 0;
}

const struct Project *name_index_find(const struct NameIndex *index, const char *name) {
        _cleanup_free_ struct Name *wanted = fold(index, name), *other = NULL;
        struct Name *const *found;

        if (!wanted)
                return NULL;
        found = tfind(wanted, &index->tree, compare_names);
        if (!found && canonical(name, &other) >= 0 && other)
                found = tfind(other, &index->canonical, compare_names);
        return found ? (*found)->project : NULL;
}
