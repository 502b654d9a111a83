/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/state.h"
#include "lib/base/json-document.h"

#define ARCHIVE_SUFFIX ".tar"

/* A link that is named like an archive is not followed, and no archive. */
static void read_stamp(int directory, const char *name, char ret_stamp[STAMP_SIZE]) {
        char stamp[STAMP_SIZE] = "";
        struct stat st;

        memcpy(stamp, name, strnlen(name, STAMP_SIZE - 1));
        if (stamp_is_valid(stamp) &&
                strncmp(name + STAMP_SIZE - 1, ARCHIVE_SUFFIX, strlen(ARCHIVE_SUFFIX)) == 0 &&
                fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode))
                memcpy(ret_stamp, stamp, STAMP_SIZE);
        else
                ret_stamp[0] = '\0';
}

static int append_file(
        struct ArchiveList *list, size_t *allocated, int directory, const char *name) {
        struct ArchiveFile *file;
        size_t length;

        if (list->n_files == *allocated) {
                size_t larger = *allocated > 0 ? *allocated * 2 : 16;
                struct ArchiveFile *grown = reallocarray(list->files, larger, sizeof *grown);

                if (!grown)
                        return -ENOMEM;
                list->files = grown;
                *allocated = larger;
        }
        file = &list->files[list->n_files++];
        length = strnlen(name, sizeof file->name - 1);
        memcpy(file->name, name, length);
        file->name[length] = '\0';
        read_stamp(directory, file->name, file->stamp);
        return 0;
}

static int read_files(DIR *stream, struct ArchiveList *list) {
        struct dirent *entry;
        size_t allocated = 0;

        while (errno = 0, (entry = readdir(stream)))
                if (entry->d_name[0] != '.' &&
                        append_file(list, &allocated, dirfd(stream), entry->d_name) < 0)
                        return -ENOMEM;
        return -errno;
}

static int compare_files(const void *a, const void *b) {
        const struct ArchiveFile *left = a, *right = b;

        return strcmp(left->name, right->name);
}

int archive_list(
        const struct Layout *layout, struct ArchiveList **ret_list, struct Failure *failure) {
        _cleanup_archive_list_ struct ArchiveList *list = calloc(1, sizeof *list);
        _cleanup_closedir_ DIR *stream = NULL;
        int r;

        if (!list)
                return failure_out_of_memory(failure);
        stream = opendir(layout->archives);
        if (stream) {
                r = read_files(stream, list);
                if (r < 0)
                        return failure_set_read(failure, -r, layout->archives, "list");
                if (list->n_files > 1)
                        qsort(list->files, list->n_files, sizeof *list->files, compare_files);
        } else if (errno != ENOENT)
                return failure_set_read(failure, errno, layout->archives, "open");
        *ret_list = STEAL(list);
        return 0;
}

struct ArchiveList *archive_list_free(struct ArchiveList *list) {
        if (list)
                free(list->files);
        free(list);
        return NULL;
}

const struct ArchiveFile *archive_list_find(const struct ArchiveList *list, const char *stamp) {
        size_t from = 0, to = list->n_files;

        while (from < to) {
                size_t middle = from + (to - from) / 2;

                if (strncmp(list->files[middle].name, stamp, STAMP_SIZE - 1) < 0)
                        from = middle + 1;
                else
                        to = middle;
        }
        for (; from < list->n_files; from++) {
                const struct ArchiveFile *file = &list->files[from];

                if (strncmp(file->name, stamp, STAMP_SIZE - 1) != 0)
                        return NULL;
                if (file->stamp[0] != '\0')
                        return file;
        }
        return NULL;
}

static int compare_inputs(const void *a, const void *b) {
        const struct RetentionInput *left = a, *right = b;

        return strcmp(left->name, right->name);
}

static int describe(const struct Layout *layout, const char *stamp,
        const struct RetentionInput *snapshot, struct RetentionInput *ret_input) {
        _cleanup_json_ struct json_object *state = NULL;
        int r = state_load(layout, stamp, &state);

        if (r < 0)
                return r;
        *ret_input = (struct RetentionInput){
                .readable = true,
                .valid = state_valid(state, true),
                .pinned = state_pinned(state, snapshot && snapshot->pinned),
                .has_vector_store = snapshot && snapshot->has_vector_store,
        };
        (void) strcpy(ret_input->name, stamp);
        return 0;
}

int archive_retention_inputs(const struct Layout *layout, const struct ArchiveList *list,
        struct RetentionInput *snapshots, size_t n_snapshots, struct RetentionInput **ret_inputs,
        size_t *ret_n, struct Failure *failure) {
        _cleanup_free_ struct RetentionInput *inputs = calloc(list->n_files + 1, sizeof *inputs);
        size_t n = 0;

        if (!inputs)
                return failure_out_of_memory(failure);
        if (n_snapshots > 1)
                qsort(snapshots, n_snapshots, sizeof *snapshots, compare_inputs);
        for (size_t i = 0; i < list->n_files; i++) {
                const struct ArchiveFile *file = &list->files[i];
                const struct RetentionInput *snapshot = NULL;
                struct RetentionInput key = { 0 };
                int r;

                if (file->stamp[0] == '\0') {
                        memcpy(inputs[n++].name, file->name, sizeof file->name);
                        continue;
                }
                if (archive_list_find(list, file->stamp) != file)
                        continue;
                (void) strcpy(key.name, file->stamp);
                if (n_snapshots > 0)
                        snapshot = bsearch(
                                &key, snapshots, n_snapshots, sizeof *snapshots, compare_inputs);
                r = describe(layout, file->stamp, snapshot, &inputs[n++]);
                if (r < 0)
                        return failure_set_read(failure, -r, layout->state, "read the state in");
        }
        *ret_inputs = STEAL(inputs);
        *ret_n = n;
        return 0;
}
