/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocore-backup: take a snapshot, list them, pin one.
 */

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/backup/archive.h"
#include "lib/backup/metadata.h"
#include "lib/backup/snapshot.h"
#include "lib/backup/state.h"
#include "lib/base/json-build.h"
#include "lib/base/text.h"
#include "ops/op.h"

#define LABEL_MAX 200 /* bytes */
#define WAIT_MAX  86400

enum Action {
        ACTION_CREATE,
        ACTION_LIST,
        ACTION_PIN,
        ACTION_UNPIN,
};

static struct Arguments {
        enum Action action;
        const char *stamp; /* to pin or unpin */
        struct SnapshotOptions options;
        bool archive;
        enum ArchiveFormat format;
        bool wait_given;
        uint64_t wait;
} arguments;

static int parse_include_chroma(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Arguments *) userdata)->options.include_chroma = true;
        return 0;
}

static int parse_archive(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        given->archive = true;
        given->format = ARCHIVE_FORMAT_ZSTD;
        if (argument && archive_format_parse(argument, &given->format) < 0)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "\"%s\" is no format of --archive; give zstd, gzip or none", argument);
        return 0;
}

static int parse_pin(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Arguments *) userdata)->options.pinned = true;
        return 0;
}

static int parse_label(const char *argument, void *userdata, struct Failure *failure) {
        if (strlen(argument) > LABEL_MAX || !text_is_printable(argument))
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "The text of --label must be one line of printable UTF-8, at most %d bytes",
                        LABEL_MAX);
        ((struct Arguments *) userdata)->options.label = argument;
        return 0;
}

static int parse_wait(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        given->wait_given = true;
        return option_parse_number("wait", argument, 0, WAIT_MAX, &given->wait, failure);
}

static int choose(
        struct Arguments *given, enum Action action, const char *stamp, struct Failure *failure) {
        if (given->action != ACTION_CREATE)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Only one of --list, --pin-snapshot and --unpin-snapshot can be given");
        if (stamp && !stamp_is_valid(stamp))
                return failure_set(failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                        "\"%s\" is no stamp; stamps look like 20260407T060000Z", stamp);
        given->action = action;
        given->stamp = stamp;
        return 0;
}

static int parse_list(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        return choose(userdata, ACTION_LIST, NULL, failure);
}

static int parse_pin_snapshot(const char *argument, void *userdata, struct Failure *failure) {
        return choose(userdata, ACTION_PIN, argument, failure);
}

static int parse_unpin_snapshot(const char *argument, void *userdata, struct Failure *failure) {
        return choose(userdata, ACTION_UNPIN, argument, failure);
}

static uint64_t number_of(json_object *metadata, const char *key) {
        json_object *value;
        return json_object_object_get_ex(metadata, key, &value) ? json_object_get_uint64(value) : 0;
}

/* 0 where the sizes cannot be read. */
static uint64_t bytes_of(json_object *metadata) {
        uint64_t bytes = 0;

        (void) metadata_bytes(metadata, &bytes);
        return bytes;
}

/* The database, the metadata and SHA256SUMS are in every snapshot. */
static uint64_t files_of(json_object *metadata) {
        return 3 + metadata_has(metadata, "registry_snapshot_path") +
                number_of(metadata, "chroma_snapshot_files");
}

/* The archive's path joins what is printed of the snapshot. */
static int archive(const struct Operation *operation, const struct Arguments *given,
        struct Snapshot *snapshot, struct Failure *failure) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = archive_create(operation, snapshot->stamp, given->format, &path, failure);
        if (r < 0)
                return r;
        return json_set(snapshot->metadata, "archive", json_object_new_string(path))
                ? 0
                : failure_out_of_memory(failure);
}

static int create(struct Command *command, struct Operation *operation,
        const struct Arguments *given, struct Failure *failure) {
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        int r;

        if (given->wait_given)
                operation->lock_wait = given->wait;
        event_emit(&(struct Event){ .id = EVENT_BACKUP_STARTED, .path = operation->layout->root },
                "Taking a snapshot of %s%s", operation->layout->root,
                given->options.include_chroma ? " with the vector store" : "");
        r = snapshot_create(operation, &given->options, &snapshot, failure);
        if (r < 0)
                return r;

        struct EventNumber numbers[] = {
                { "ATOCORE_BYTES", bytes_of(snapshot->metadata) },
                { "ATOCORE_FILES", files_of(snapshot->metadata) },
                { "ATOCORE_DURATION_MS", number_of(snapshot->metadata, "duration_ms") },
        };
        event_emit(&(struct Event){ .id = EVENT_BACKUP_DONE,
                           .stamp = snapshot->stamp,
                           .path = snapshot->path,
                           .numbers = numbers,
                           .n_numbers = sizeof numbers / sizeof numbers[0] },
                "Snapshot %s is complete: %" PRIu64 " bytes in %" PRIu64 " files, %" PRIu64 " ms",
                snapshot->stamp, numbers[0].value, numbers[1].value, numbers[2].value);
        if (given->archive) {
                r = archive(operation, given, snapshot, failure);
                if (r < 0)
                        return r;
        }
        return command->json ? op_print_json(json_object_get(snapshot->metadata), failure) : 0;
}

/* What stands in the metadata may be anything by now. */
static char *label_of(json_object *metadata) {
        json_object *label;

        if (!json_object_object_get_ex(metadata, "label", &label) || !label)
                return NULL;
        return text_escape(json_object_get_string(label));
}

static void print_row(const struct Snapshot *snapshot) {
        json_object *metadata = snapshot->metadata;
        _cleanup_free_ char *label = metadata ? label_of(metadata) : NULL;

        if (!metadata) {
                printf("%-16s  %-7s\n", snapshot->stamp, "unreadable");
                return;
        }
        printf("%-16s  %-7s  %-6s  %-6s  %14" PRIu64 "%s%s\n", snapshot->stamp,
                snapshot_is_valid(snapshot) ? "valid" : "invalid",
                metadata_is_true(metadata, "pinned") ? "pinned" : "-",
                metadata_is_true(metadata, "chroma_snapshot_included") ? "chroma" : "-",
                bytes_of(metadata), label ? "  " : "", label ? label : "");
}

static int list(struct Command *command, struct Failure *failure) {
        struct Snapshot **snapshots;
        size_t n;
        int r;

        r = snapshot_list(command->layout, &snapshots, &n, failure);
        if (r < 0)
                return r;
        if (command->json)
                r = op_print_json(snapshot_list_to_json(command->layout, snapshots, n), failure);
        else {
                if (n > 0)
                        printf("%-16s  %-7s  %-6s  %-6s  %14s  %s\n", "STAMP", "STATE", "PIN",
                                "VECTOR", "BYTES", "LABEL");
                for (size_t i = 0; i < n; i++)
                        print_row(snapshots[i]);
        }
        snapshot_list_free(snapshots, n);
        return r;
}

static int set_pin(
        struct Command *command, const char *stamp, bool pinned, struct Failure *failure) {
        _cleanup_snapshot_ struct Snapshot *before = NULL, *after = NULL;
        int r;

        r = snapshot_describe(command->layout, stamp, &before, failure);
        if (r < 0)
                return r;
        r = state_set_pinned(command->layout, stamp, pinned, failure);
        if (r < 0)
                return r;
        event_emit(
                &(struct Event){
                        .id = EVENT_SNAPSHOT_PINNED, .stamp = stamp, .path = before->path },
                "Snapshot %s is %s", stamp,
                pinned ? "pinned: prune keeps it" : "no longer pinned: retention decides");
        if (!command->json)
                return 0;
        r = snapshot_describe(command->layout, stamp, &after, failure);
        if (r < 0)
                return r;
        return op_print_json(json_object_get(after->metadata), failure);
}

static int run(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        const struct Arguments *given = userdata;
        const struct SnapshotOptions *options = &given->options;

        if (given->action != ACTION_CREATE &&
                (options->include_chroma || options->pinned || options->label || given->archive ||
                        given->wait_given))
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "--include-chroma, --archive, --pin, --label and --wait are for taking a "
                        "snapshot; "
                        "they do not go with --list, --pin-snapshot or --unpin-snapshot");
        switch (given->action) {
        case ACTION_CREATE:
                return create(command, operation, given, failure);
        case ACTION_LIST:
                return list(command, failure);
        case ACTION_PIN:
                return set_pin(command, given->stamp, true, failure);
        case ACTION_UNPIN:
                return set_pin(command, given->stamp, false, failure);
        }
        return -EINVAL;
}

int main(int argc, char *argv[]) {
        static const struct Option options[] = {
                { .name = "include-chroma",
                        .help = "Include the vector store",
                        .parse = parse_include_chroma },
                { .name = "archive",
                        .argument = "[zstd|gzip|none]",
                        .help = "Archive the snapshot too, by default with zstd",
                        .parse = parse_archive },
                { .name = "pin", .help = "Keep this snapshot for good", .parse = parse_pin },
                { .name = "label",
                        .argument = "TEXT",
                        .help = "Note TEXT in the metadata",
                        .parse = parse_label },
                { .name = "wait",
                        .argument = "SEC",
                        .help = "Wait so long for a lock (lock_wait=)",
                        .parse = parse_wait },
                { .name = "list", .help = "List the snapshots", .parse = parse_list },
                { .name = "pin-snapshot",
                        .argument = "STAMP",
                        .help = "Pin a snapshot: prune keeps it",
                        .parse = parse_pin_snapshot },
                { .name = "unpin-snapshot",
                        .argument = "STAMP",
                        .help = "Leave a snapshot to retention again",
                        .parse = parse_unpin_snapshot },
                { 0 },
        };
        const struct Op op = {
                .program = { .name = "atocore-backup",
                        .summary = "Take a snapshot of database, registry and vector store",
                        .options = options },
                .run = run,
                .userdata = &arguments,
        };

        return op_main(&op, argc, argv);
}
