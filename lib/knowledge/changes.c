/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/changes.h"

#include <stdlib.h>
#include <string.h>

bool changes_cover(const char *outer, const char *inner) {
        size_t n = strlen(outer);

        return n == 0 || (strncmp(outer, inner, n) == 0 && (inner[n] == '/' || inner[n] == '\0'));
}

static void keep_time(struct Changes *changes, uint64_t first_ms, uint64_t last_ms) {
        if (changes_are_none(changes) || first_ms < changes->first_ms)
                changes->first_ms = first_ms;
        if (changes_are_none(changes) || last_ms > changes->last_ms)
                changes->last_ms = last_ms;
}

static void forget_parts(struct Changes *changes) {
        for (size_t i = 0; i < changes->n; i++)
                free(changes->parts[i].path);
        changes->n = 0;
}

static bool is_covered(const struct Changes *changes, const char *source, const char *path) {
        /* The last one first: it is the file that is being written. */
        for (size_t i = changes->n; i-- > 0;)
                if (changes->parts[i].source == source &&
                        changes_cover(changes->parts[i].path, path))
                        return true;
        return false;
}

static size_t count_parts(const struct Changes *changes, const char *source) {
        size_t n = 0;

        for (size_t i = 0; i < changes->n; i++)
                n += changes->parts[i].source == source;
        return n;
}

static void drop_covered(struct Changes *changes, const char *source, const char *path) {
        size_t kept = 0;

        for (size_t i = 0; i < changes->n; i++) {
                struct ChangedPart *part = &changes->parts[i];

                if (part->source == source && changes_cover(path, part->path))
                        free(part->path);
                else
                        changes->parts[kept++] = *part;
        }
        changes->n = kept;
}

static bool add_part(struct Changes *changes, const char *source, const char *path) {
        char *copy = strdup(path);

        if (!copy)
                return false;
        if (changes->n == changes->allocated) {
                size_t allocated = changes->allocated > 0 ? changes->allocated * 2 : 16;
                struct ChangedPart *parts = reallocarray(changes->parts, allocated, sizeof *parts);
                if (!parts) {
                        free(copy);
                        return false;
                }
                changes->parts = parts;
                changes->allocated = allocated;
        }
        changes->parts[changes->n++] = (struct ChangedPart){ source, copy };
        return true;
}

void changes_add_everything(struct Changes *changes, uint64_t now_ms) {
        keep_time(changes, now_ms, now_ms);
        forget_parts(changes);
        changes->everything = true;
}

void changes_add(struct Changes *changes, const char *source, const char *path, uint64_t now_ms) {
        keep_time(changes, now_ms, now_ms);
        if (changes->everything || is_covered(changes, source, path))
                return;
        if (count_parts(changes, source) == CHANGES_PARTS_MAX)
                path = "";
        drop_covered(changes, source, path);
        if (!add_part(changes, source, path))
                changes_add_everything(changes, now_ms);
}

void changes_move(struct Changes *changes, struct Changes *from) {
        if (from->everything)
                changes_add_everything(changes, from->last_ms);
        for (size_t i = 0; i < from->n; i++)
                changes_add(changes, from->parts[i].source, from->parts[i].path, from->last_ms);
        if (!changes_are_none(from))
                keep_time(changes, from->first_ms, from->last_ms);
        changes_clear(from);
}

bool changes_are_none(const struct Changes *changes) {
        return !changes->everything && changes->n == 0;
}

uint64_t changes_due(const struct Changes *changes) {
        uint64_t quiet = changes->last_ms + CHANGES_QUIET_MS;
        uint64_t latest = changes->first_ms + CHANGES_WAIT_MS;

        if (changes_are_none(changes))
                return UINT64_MAX;
        return quiet < latest ? quiet : latest;
}

void changes_clear(struct Changes *changes) {
        forget_parts(changes);
        free(changes->parts);
        *changes = (struct Changes){ 0 };
}
