/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/archive-check.h"
#include "lib/backup/check.h"
#include "lib/backup/metadata.h"
#include "lib/backup/ship-items.h"
#include "lib/backup/staging.h"
#include "lib/backup/state.h"
#include "lib/base/json-document.h"
#include "lib/base/lock.h"

/* The newest stamp there that is not later than now, this host's own or (`any`) anybody's. */
static void find_latest(const struct Operation *operation, const struct OffsiteList *list, bool any,
        char ret_stamp[STAMP_SIZE]) {
        const int64_t now = clock_now(operation->clock);

        ret_stamp[0] = '\0';
        for (size_t i = 0; i < list->n_copies; i++) {
                const struct OffsiteCopy *copy = &list->copies[i];
                int64_t time;

                if ((any || copy->own) && stamp_parse(copy->stamp, &time) >= 0 && time <= now &&
                        strcmp(copy->stamp, ret_stamp) > 0)
                        memcpy(ret_stamp, copy->stamp, STAMP_SIZE);
        }
}

static int not_there(const struct Offsite *offsite, const char *stamp, struct Failure *failure) {
        return failure_set(failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, offsite->shown,
                "There is no copy of %s in %s; atocore-ship --list shows what there is", stamp,
                offsite->shown);
}

/* Reading back what is there. */

static bool is_asked(
        const struct OffsiteCopy *copy, char *const *stamps, size_t n, const char *latest) {
        if (n == 0)
                return copy->own;
        for (size_t i = 0; i < n; i++)
                if (strcmp(copy->stamp, strcmp(stamps[i], "latest") == 0 ? latest : stamps[i]) == 0)
                        return true;
        return false;
}

static const struct OffsiteItem *find_item(
        const struct ShipEntry *entries, size_t n, const struct OffsiteCopy *copy) {
        for (size_t i = 0; copy->own && i < n; i++)
                if (entries[i].verdict != SHIP_INVALID &&
                        strcmp(entries[i].item.name, copy->name) == 0)
                        return &entries[i].item;
        return NULL;
}

/* What is here must stay for as long as it is compared with. */
static int verify_one(const struct Operation *operation, const struct Offsite *offsite,
        const struct OffsiteItem *item, const struct OffsiteCopy *copy, struct Failure *failure) {
        _cleanup_lock_ struct Lock *lock = NULL;
        _cleanup_failure_ struct Failure why = { 0 };
        struct stat st;
        int r = 0;

        if (item)
                r = lock_acquire_backups(operation, LOCK_MODE_SHARED, &lock, failure);
        if (r < 0)
                return r;
        if (item && lstat(item->path, &st) < 0)
                item = NULL;
        r = offsite_verify(offsite, operation, item, copy, failure);
        if (item && (r >= 0 || failure->event == EVENT_OFFSITE_MISMATCH))
                /* Best effort: what is not remembered is read back again. The next run to send
                 * finds what is wrong, and replaces it. */
                (void) state_set_offsite(operation->layout, copy->stamp,
                        r >= 0 ? offsite->shown : NULL, clock_now(operation->clock), &why);
        return r;
}

static int check_stamps(const struct Offsite *offsite, const struct OffsiteList *list,
        char *const *stamps, size_t n, const char *latest, struct Failure *failure) {
        for (size_t i = 0; i < n; i++) {
                const char *stamp = strcmp(stamps[i], "latest") == 0 ? latest : stamps[i];
                bool found = false;

                for (size_t j = 0; j < list->n_copies; j++)
                        found |= strcmp(list->copies[j].stamp, stamp) == 0;
                if (!found)
                        return not_there(offsite, stamps[i], failure);
        }
        return 0;
}

static void report_failed(const struct Operation *operation, const struct Failure *why) {
        operation_notice(operation,
                &(const struct Event){ .id = why->event, .stamp = why->stamp, .path = why->path },
                "%s", failure_message(why));
}

static int verify_all(const struct Operation *operation, const struct Offsite *offsite,
        const struct OffsiteList *list, const struct ShipEntry *entries, size_t n_entries,
        char *const *stamps, size_t n_stamps, uint64_t *verified, struct Failure *failure) {
        char latest[STAMP_SIZE];
        int r;

        find_latest(operation, list, n_stamps > 0, latest);
        r = check_stamps(offsite, list, stamps, n_stamps, latest, failure);
        if (r < 0)
                return r;
        for (size_t i = 0; i < list->n_copies; i++) {
                const struct OffsiteCopy *copy = &list->copies[i];
                _cleanup_failure_ struct Failure why = { 0 };
                int one;

                if (!is_asked(copy, stamps, n_stamps, latest))
                        continue;
                one = verify_one(
                        operation, offsite, find_item(entries, n_entries, copy), copy, &why);
                if (one >= 0) {
                        (*verified)++;
                        continue;
                }
                r = one;
                if (failure_is_set(failure) && why.event == EVENT_OFFSITE_MISMATCH) {
                        report_failed(operation, &why);
                        continue;
                }
                if (failure_is_set(failure))
                        report_failed(operation, failure);
                failure_clear(failure);
                failure_move(failure, &why);
                if (failure->event != EVENT_OFFSITE_MISMATCH)
                        return one;
        }
        return r;
}

int ship_verify(const struct Operation *operation, const struct Offsite *offsite,
        char *const *stamps, size_t n_stamps, uint64_t *ret_verified, struct Failure *failure) {
        _cleanup_offsite_list_ struct OffsiteList *list = NULL;
        struct ShipEntry *entries;
        size_t n;
        int r;

        *ret_verified = 0;
        for (size_t i = 0; i < n_stamps; i++) {
                r = ship_parse_stamp(stamps[i], failure);
                if (r < 0)
                        return r;
        }
        r = offsite_list(offsite, operation, &list, failure);
        if (r >= 0)
                r = ship_items(operation, offsite, &entries, &n, failure);
        if (r < 0)
                return r;
        r = verify_all(
                operation, offsite, list, entries, n, stamps, n_stamps, ret_verified, failure);
        ship_entries_free(entries, n);
        return r;
}

/* Bringing one back. */

struct Fetch {
        const struct Operation *operation;
        const struct Offsite *offsite;
        const struct OffsiteCopy *copy;
        const char *directory; /* that it goes to */
        char *path;            /* its own, there */
        uint64_t bytes;
};

static int is_here(const struct Fetch *fetch, struct Failure *failure) {
        failure_set_stamp(failure, fetch->copy->stamp);
        return failure_set(failure, EVENT_WRITE_FAILED, EEXIST, fetch->path,
                "%s is here already and is not replaced; move it away to fetch it again",
                fetch->path);
}

/* The stamp that the metadata of a snapshot names: what a copy is called off this machine is not
 * sealed by any checksum. "" where there is none. -ENOMEM. */
static int read_stamp(int directory, char ret_stamp[STAMP_SIZE]) {
        _cleanup_json_ json_object *metadata = NULL;
        const char *problem, *text;
        json_object *stamp;
        int r = metadata_read(directory, &metadata, &problem);

        ret_stamp[0] = '\0';
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (!json_object_object_get_ex(metadata, "stamp", &stamp) ||
                !json_object_is_type(stamp, json_type_string))
                return 0;
        text = json_object_get_string(stamp);
        if (stamp_is_valid(text))
                memcpy(ret_stamp, text, STAMP_SIZE);
        return 0;
}

/* What came is what was once valid, or it does not get its name. */
static int judge(const struct Fetch *fetch, const char *stamp, const struct CheckReport *report,
        struct Failure *failure) {
        _cleanup_free_ char *problem = NULL;

        if (report->valid && strcmp(stamp, fetch->copy->stamp) == 0)
                return 0;
        problem = report->valid ? strdup("it is of another stamp") : ship_first_error(report);
        return problem ? offsite_mismatch(fetch->offsite, fetch->copy, problem, failure)
                       : failure_out_of_memory(failure);
}

/*
 * Power gone …
 * - until it is renamed: .partial-<stamp>-<random>, which the next run or prune removes
 * - after that: the leftover or the snapshot, each whole; after the sync of the directory the
 *   snapshot
 */
static int fetch_snapshot(struct Fetch *fetch, struct Failure *failure) {
        const struct Operation *operation = fetch->operation;
        _cleanup_staging_ struct Staging staging = STAGING_INIT;
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_lock_ struct Lock *lock = NULL;
        char stamp[STAMP_SIZE];
        int r;

        staging_clean_up(operation, fetch->directory);
        r = staging_create(
                fetch->directory, STAGING_DIRECTORY, fetch->copy->stamp, &staging, failure);
        if (r >= 0)
                r = offsite_fetch(fetch->offsite, operation, fetch->copy, staging.fd, failure);
        if (r >= 0)
                r = staging_sync(&staging, failure);
        if (r >= 0)
                r = check_directory(operation, staging.path, fetch->copy->stamp, &report, failure);
        if (r >= 0 && read_stamp(staging.fd, stamp) < 0)
                r = failure_out_of_memory(failure);
        if (r >= 0)
                r = judge(fetch, stamp, report, failure);
        if (r >= 0)
                r = lock_acquire_backups(operation, LOCK_MODE_SHARED, &lock, failure);
        if (r < 0)
                return r;
        fetch->bytes = report->bytes;
        r = staging_publish(&staging, fetch->copy->stamp, failure);
        return r == -EEXIST && !failure_is_set(failure) ? is_here(fetch, failure) : r;
}

/* The same for one file. What is encrypted is looked at by whoever has the key. */
static int fetch_archive(struct Fetch *fetch, struct Failure *failure) {
        const struct Operation *operation = fetch->operation;
        _cleanup_staging_ struct Staging staging = STAGING_INIT;
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_lock_ struct Lock *lock = NULL;
        int r;

        staging_clean_up(operation, fetch->directory);
        r = staging_create(fetch->directory, STAGING_FILE, fetch->copy->stamp, &staging, failure);
        if (r >= 0)
                r = offsite_fetch(fetch->offsite, operation, fetch->copy, staging.fd, failure);
        if (r >= 0 && ship_is_readable(fetch->copy->name)) {
                r = archive_check(operation, staging.path, NULL, &report, failure);
                if (r >= 0)
                        r = judge(fetch, report->stamp, report, failure);
        }
        if (r >= 0)
                r = lock_acquire_backups(operation, LOCK_MODE_SHARED, &lock, failure);
        if (r >= 0)
                r = staging_sync(&staging, failure);
        if (r < 0)
                return r;
        fetch->bytes = fetch->copy->bytes;
        r = staging_publish(&staging, fetch->copy->name, failure);
        return r == -EEXIST && !failure_is_set(failure) ? is_here(fetch, failure) : r;
}

/* This host's own first, and of several files of one archive one that can be read without a key. */
static const struct OffsiteCopy *choose(const struct OffsiteList *list, const char *stamp) {
        const struct OffsiteCopy *chosen = NULL;
        int best = -1;

        for (size_t i = 0; i < list->n_copies; i++) {
                const struct OffsiteCopy *copy = &list->copies[i];
                int rank = 2 * copy->own + ship_is_readable(copy->name);

                if (strcmp(copy->stamp, stamp) == 0 && rank > best) {
                        chosen = copy;
                        best = rank;
                }
        }
        return chosen;
}

static int fetch_copy(struct Fetch *fetch, struct Failure *failure) {
        struct stat st;

        if (asprintf(&fetch->path, "%s/%s", fetch->directory, fetch->copy->name) < 0) {
                fetch->path = NULL;
                return failure_out_of_memory(failure);
        }
        if (lstat(fetch->path, &st) >= 0)
                return is_here(fetch, failure);
        return offsite_takes_archives(fetch->offsite) ? fetch_archive(fetch, failure)
                                                      : fetch_snapshot(fetch, failure);
}

int ship_fetch(const struct Operation *operation, const struct Offsite *offsite, const char *stamp,
        char **ret_path, uint64_t *ret_bytes, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        _cleanup_offsite_list_ struct OffsiteList *list = NULL;
        struct Fetch fetch = {
                .operation = operation,
                .offsite = offsite,
                .directory = offsite_takes_archives(offsite) ? layout->archives : layout->snapshots,
        };
        char latest[STAMP_SIZE];
        int r;

        r = ship_parse_stamp(stamp, failure);
        if (r >= 0)
                r = staging_check_root(layout, failure);
        if (r >= 0)
                r = offsite_list(offsite, operation, &list, failure);
        if (r < 0)
                return r;
        find_latest(operation, list, true, latest);
        fetch.copy = choose(list, strcmp(stamp, "latest") == 0 ? latest : stamp);
        if (!fetch.copy)
                return not_there(offsite, stamp, failure);
        r = fetch_copy(&fetch, failure);
        if (r >= 0) {
                *ret_bytes = fetch.bytes;
                *ret_path = STEAL(fetch.path);
        }
        free(fetch.path);
        return r;
}
