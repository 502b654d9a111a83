/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/manifest.h"

#include <errno.h>
#include <string.h>

#define DIGEST_HEX_LENGTH (DIGEST_HEX_SIZE - 1)
#define SEPARATOR         "  " /* the second blank is where sha256sum marks binary mode */

struct Manifest *manifest_new(void) {
        return calloc(1, sizeof(struct Manifest));
}

struct Manifest *manifest_free(struct Manifest *manifest) {
        if (!manifest)
                return NULL;
        for (size_t i = 0; i < manifest->n_entries; i++)
                free(manifest->entries[i].path);
        free(manifest->entries);
        free(manifest);
        return NULL;
}

static bool digest_is_canonical(const char *digest) {
        return strspn(digest, "0123456789abcdef") >= DIGEST_HEX_LENGTH;
}

/* Nothing that could lead out of the snapshot, and one spelling only of each path. */
static bool path_is_canonical(const char *path) {
        const char *component = path;

        for (;;) {
                size_t length = strcspn(component, "/");

                if (length == 0 || (length == 1 && component[0] == '.') ||
                        (length == 2 && component[0] == '.' && component[1] == '.'))
                        return false;
                if (component[length] == '\0')
                        return strcmp(path, MANIFEST_NAME) != 0;
                component += length + 1;
        }
}

static int reserve_entry(struct Manifest *manifest) {
        struct ManifestEntry *grown;
        size_t larger;

        if (manifest->n_entries < manifest->allocated)
                return 0;
        larger = manifest->allocated > 0 ? manifest->allocated * 2 : 64;
        grown = reallocarray(manifest->entries, larger, sizeof *grown);
        if (!grown)
                return -ENOMEM;
        manifest->entries = grown;
        manifest->allocated = larger;
        return 0;
}

/* Takes `path` over, on success only. */
static int append(struct Manifest *manifest, char *path, const char *digest) {
        struct ManifestEntry *entry;
        int r = reserve_entry(manifest);

        if (r < 0)
                return r;
        entry = &manifest->entries[manifest->n_entries++];
        entry->path = path;
        memcpy(entry->digest, digest, DIGEST_HEX_LENGTH);
        entry->digest[DIGEST_HEX_LENGTH] = '\0';
        return 0;
}

int manifest_add(struct Manifest *manifest, const char *path, const char *digest) {
        char *copy;
        int r;

        if (!path_is_canonical(path) || !digest_is_canonical(digest) ||
                digest[DIGEST_HEX_LENGTH] != '\0')
                return -EINVAL;
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        r = append(manifest, copy, digest);
        if (r < 0)
                free(copy);
        return r;
}

static int compare_entries(const void *a, const void *b) {
        const struct ManifestEntry *left = a, *right = b;

        return strcmp(left->path, right->path); /* bytes as unsigned, whatever the locale */
}

void manifest_sort(struct Manifest *manifest) {
        if (manifest->n_entries > 1)
                qsort(manifest->entries, manifest->n_entries, sizeof *manifest->entries,
                        compare_entries);
}

static int compare_path(const void *key, const void *entry) {
        return strcmp(key, ((const struct ManifestEntry *) entry)->path);
}

const struct ManifestEntry *manifest_find(const struct Manifest *manifest, const char *path) {
        if (manifest->n_entries == 0)
                return NULL;
        return bsearch(path, manifest->entries, manifest->n_entries, sizeof *manifest->entries,
                compare_path);
}

/* The letter behind the backslash, or 0 for a byte that is written as it is. */
static char escape_of(char byte) {
        switch (byte) {
        case '\\':
                return '\\';
        case '\n':
                return 'n';
        case '\r':
                return 'r';
        default:
                return 0;
        }
}

static size_t escapes_in(const char *path) {
        size_t n = 0;

        for (; *path; path++)
                if (escape_of(*path))
                        n++;
        return n;
}

static size_t line_size(const struct ManifestEntry *entry) {
        size_t escapes = escapes_in(entry->path), size = DIGEST_HEX_LENGTH + strlen(SEPARATOR);

        if (escapes > 0)
                size++;
        return size + strlen(entry->path) + escapes + strlen("\n");
}

static char *format_line(const struct ManifestEntry *entry, char *end) {
        if (escapes_in(entry->path) > 0)
                *end++ = '\\';
        end = mempcpy(end, entry->digest, DIGEST_HEX_LENGTH);
        end = stpcpy(end, SEPARATOR);
        for (const char *p = entry->path; *p; p++) {
                char letter = escape_of(*p);

                if (letter)
                        *end++ = '\\';
                *end++ = letter ? letter : *p;
        }
        *end++ = '\n';
        return end;
}

int manifest_format(const struct Manifest *manifest, char **ret_text, size_t *ret_size) {
        char *text, *end;
        size_t size = 0;

        if (manifest->n_entries == 0)
                return -EINVAL;
        for (size_t i = 0; i < manifest->n_entries; i++) {
                if (i > 0 && strcmp(manifest->entries[i - 1].path, manifest->entries[i].path) >= 0)
                        return -EINVAL;
                size += line_size(&manifest->entries[i]);
        }

        text = malloc(size + 1);
        if (!text)
                return -ENOMEM;
        end = text;
        for (size_t i = 0; i < manifest->n_entries; i++)
                end = format_line(&manifest->entries[i], end);
        *end = '\0';
        *ret_text = text;
        *ret_size = size;
        return 0;
}

/* In place, as it only gets shorter. NULL, or what is wrong: an unescaped byte that should have
 * been, or a leading backslash (`escaped`) on a line that needs none, would be a second spelling
 * of the same path. */
static const char *unescape(char *path, bool escaped) {
        char *end = path;
        bool any = false;

        for (const char *p = path; *p; p++) {
                if (*p == '\r')
                        return "a carriage return is not escaped";
                if (*p == '\\' && escaped) {
                        any = true;
                        p++;
                        if (*p != '\\' && *p != 'n' && *p != 'r')
                                return "an escape is none of \\\\, \\n and \\r";
                        *end++ = *p == 'n' ? '\n' : *p == 'r' ? '\r' : '\\';
                } else if (*p == '\\')
                        return "a backslash in a path is not escaped";
                else
                        *end++ = *p;
        }
        *end = '\0';
        return escaped && !any ? "a line is marked as escaped and holds no escape" : NULL;
}

/* One line without its newline, which holds no NUL. 0, -ENOMEM, or -EBADMSG with the problem. */
static int parse_line(
        struct Manifest *manifest, const char *line, size_t size, const char **ret_problem) {
        _cleanup_free_ char *path = NULL;
        bool escaped = size > 0 && line[0] == '\\';
        const char *digest = escaped ? line + 1 : line;
        const size_t before_path = (size_t) (digest - line) + DIGEST_HEX_LENGTH + strlen(SEPARATOR);
        const char *problem;
        int r;

        if (size <= before_path)
                problem = "a line is too short";
        else if (!digest_is_canonical(digest))
                problem = "a digest is not 64 lower-case hex digits";
        else if (memcmp(digest + DIGEST_HEX_LENGTH, SEPARATOR, strlen(SEPARATOR)) != 0)
                problem = "digest and path are not separated by two spaces";
        else {
                path = strndup(line + before_path, size - before_path);
                if (!path)
                        return -ENOMEM;
                problem = unescape(path, escaped);
                if (!problem && !path_is_canonical(path))
                        problem = strcmp(path, MANIFEST_NAME) == 0
                                ? "it lists itself"
                                : "a path is absolute or has an empty, . or .. component";
                if (!problem && manifest->n_entries > 0 &&
                        strcmp(manifest->entries[manifest->n_entries - 1].path, path) >= 0)
                        problem = "paths are not in strictly ascending order";
        }
        if (problem) {
                *ret_problem = problem;
                return -EBADMSG;
        }

        r = append(manifest, path, digest);
        if (r >= 0)
                path = NULL;
        return r;
}

int manifest_parse(
        const char *text, size_t size, struct Manifest **ret_manifest, const char **ret_problem) {
        _cleanup_manifest_ struct Manifest *manifest = NULL;
        const char *problem = NULL;

        if (size == 0)
                problem = "it is empty";
        else if (text[size - 1] != '\n')
                problem = "it does not end in a newline";
        else if (memchr(text, '\0', size))
                problem = "it holds a NUL byte";
        if (problem) {
                *ret_problem = problem;
                return -EBADMSG;
        }

        manifest = manifest_new();
        if (!manifest)
                return -ENOMEM;
        while (size > 0) {
                size_t length = (size_t) ((const char *) memchr(text, '\n', size) - text);
                int r = parse_line(manifest, text, length, ret_problem);

                if (r < 0)
                        return r;
                text += length + 1;
                size -= length + 1;
        }
        *ret_manifest = STEAL(manifest);
        return 0;
}
