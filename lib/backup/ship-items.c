/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/ship-items.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/archive-check.h"
#include "lib/backup/archive-list.h"
#include "lib/backup/check.h"
#include "lib/backup/snapshot.h"

struct Items {
        struct ShipEntry *entries;
        size_t n;
};

static void items_clear(struct Items *items) {
        ship_entries_free(items->entries, items->n);
}

void ship_entries_free(struct ShipEntry *entries, size_t n) {
        for (size_t i = 0; i < n; i++)
                free(entries[i].item.path);
        free(entries);
}

static int add(struct Items *items, const char *directory, const char *name, const char *stamp,
        const struct RetentionInput *input) {
        struct ShipEntry *entry = &items->entries[items->n];

        *entry = (struct ShipEntry){
                .item = { .pinned = input->pinned, .has_vector_store = input->has_vector_store },
                .verdict = input->readable && input->valid ? SHIP_SEND : SHIP_INVALID,
        };
        memcpy(entry->item.name, name, strlen(name) + 1);
        memcpy(entry->item.stamp, stamp, STAMP_SIZE);
        if (asprintf(&entry->item.path, "%s/%s", directory, name) < 0)
                return -ENOMEM;
        items->n++;
        return 0;
}

static int add_snapshots(
        const struct Layout *layout, const struct RetentionInput *inputs, size_t n, void *ret) {
        struct Items *items = ret;

        for (size_t i = 0; i < n; i++)
                if (!inputs[i].foreign && stamp_is_valid(inputs[i].name) &&
                        add(items, layout->snapshots, inputs[i].name, inputs[i].name, &inputs[i]) <
                                0)
                        return -ENOMEM;
        return 0;
}

static const struct RetentionInput *find_input(
        const struct RetentionInput *inputs, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(inputs[i].name, name) == 0)
                        return &inputs[i];
        return NULL;
}

static int add_archives(const struct Layout *layout, struct RetentionInput *snapshots,
        size_t n_snapshots, struct Items *items, struct Failure *failure) {
        _cleanup_archive_list_ struct ArchiveList *list = NULL;
        _cleanup_free_ struct RetentionInput *inputs = NULL;
        size_t n;
        int r;

        r = archive_list(layout, &list, failure);
        if (r >= 0)
                r = archive_retention_inputs(
                        layout, list, snapshots, n_snapshots, &inputs, &n, failure);
        if (r < 0)
                return r;
        items->entries = calloc(list->n_files + 1, sizeof *items->entries);
        for (size_t i = 0; items->entries && i < list->n_files; i++) {
                const struct ArchiveFile *file = &list->files[i];

                if (file->stamp[0] != '\0' &&
                        add(items, layout->archives, file->name, file->stamp,
                                find_input(inputs, n, file->stamp)) < 0)
                        return failure_out_of_memory(failure);
        }
        return items->entries ? 0 : failure_out_of_memory(failure);
}

static int compare_entries(const void *a, const void *b) {
        const struct ShipEntry *left = a, *right = b;

        return strcmp(left->item.name, right->item.name);
}

int ship_items(const struct Operation *operation, const struct Offsite *offsite,
        struct ShipEntry **ret_entries, size_t *ret_n, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        _cleanup_(items_clear) struct Items items = { 0 };
        _cleanup_free_ struct RetentionInput *inputs = NULL;
        size_t n;
        int r;

        r = snapshot_retention_inputs(layout, &inputs, &n, failure);
        if (r < 0)
                return r;
        if (offsite_takes_archives(offsite))
                r = add_archives(layout, inputs, n, &items, failure);
        else {
                items.entries = calloc(n + 1, sizeof *items.entries);
                if (!items.entries || add_snapshots(layout, inputs, n, &items) < 0)
                        r = failure_out_of_memory(failure);
        }
        if (r < 0)
                return r;
        if (items.n > 1)
                qsort(items.entries, items.n, sizeof *items.entries, compare_entries);
        *ret_entries = STEAL(items.entries);
        *ret_n = items.n;
        items.n = 0;
        return 0;
}

int ship_parse_stamp(const char *text, struct Failure *failure) {
        if (strcmp(text, "latest") == 0 || stamp_is_valid(text))
                return 0;
        return failure_set(failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                "\"%s\" is no stamp; give one like 20260407T060000Z, or latest", text);
}

bool ship_is_readable(const char *name) {
        static const char *const sealed[] = { ".age", ".gpg" };

        for (size_t i = 0; i < sizeof sealed / sizeof sealed[0]; i++) {
                size_t length = strlen(name), n = strlen(sealed[i]);

                if (length > n && strcmp(name + length - n, sealed[i]) == 0)
                        return false;
        }
        return true;
}

static const struct Finding *first_error(const struct CheckReport *report) {
        for (size_t i = 0; i < report->n_findings; i++)
                if (report->findings[i].severity == SEVERITY_ERROR)
                        return &report->findings[i];
        return NULL;
}

char *ship_first_error(const struct CheckReport *report) {
        const struct Finding *first = first_error(report);

        return first ? finding_text(first) : strdup("it is not valid");
}

static int invalid(const struct Offsite *offsite, const struct OffsiteItem *item,
        const struct CheckReport *report, struct Failure *failure) {
        const struct Finding *first = first_error(report);
        _cleanup_free_ char *text = ship_first_error(report);

        if (!text)
                return failure_out_of_memory(failure);
        if (first && first->code == FINDING_SNAPSHOT_DIRECTORY_MISSING)
                return -ENOENT;
        failure_set_stamp(failure, item->stamp);
        if (failure && !failure_is_set(failure) && first)
                failure->code = finding_code_name(first->code);
        return failure_set(failure, EVENT_SNAPSHOT_INVALID, 0, item->path,
                "The %s %s is not valid and is not sent: %s; %s", offsite_noun(offsite), item->name,
                text, first ? first->action : "take a new backup");
}

int ship_check_item(const struct Operation *operation, const struct Offsite *offsite,
        struct OffsiteItem *item, struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        struct stat st;
        int r = 0;

        if (lstat(item->path, &st) < 0)
                return errno == ENOENT ? -ENOENT
                                       : failure_set_read(failure, errno, item->path, "examine");
        if (!offsite_takes_archives(offsite))
                r = check_snapshot(operation, item->stamp, &report, failure);
        else if (ship_is_readable(item->name))
                r = archive_check(operation, item->path, NULL, &report, failure);
        if (r < 0)
                return r;
        if (report && !report->valid)
                return invalid(offsite, item, report, failure);
        item->bytes = offsite_takes_archives(offsite) ? (uint64_t) st.st_size : report->bytes;
        return 0;
}
