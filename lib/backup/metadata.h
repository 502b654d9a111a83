/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * backup-metadata.json: what a snapshot says of itself. docs/backup-strategy.md lists the
 * fields; absent things are null.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/backup/check.h"
#include "lib/base/json-document.h"
#include "lib/base/stamp.h"

/* Where things are in a snapshot, relative to it. */
#define SNAPSHOT_DATABASE "db/atocore.db"
#define SNAPSHOT_REGISTRY "config/project-registry.json"
#define SNAPSHOT_CHROMA   "chroma"

#define METADATA_MAX ((size_t) 16 << 20) /* bytes; what is larger is none */
#define REGISTRY_MAX ((size_t) 16 << 20) /* of a registry */

/* Reads `dir_fd`/backup-metadata.json. -ENOENT; -EBADMSG when it is no JSON object, with a static
 * text in *ret_problem. */
int metadata_read(int dir_fd, json_object **ret_metadata, const char **ret_problem);

/* The same of a text that was read, with a NUL behind it. -EBADMSG, -ENOMEM. */
int metadata_parse(
        const char *text, size_t size, json_object **ret_metadata, const char **ret_problem);

/* What its files are said to hold together, but for the metadata and the manifest. -EBADMSG when
 * one of the sizes is none. */
int metadata_bytes(json_object *metadata, uint64_t *ret_bytes);

/* Made by AtoCore as it is now: names its version. The earlier implementation does not. */
bool metadata_is_ours(json_object *metadata);
/* The member is there and not null. */
bool metadata_has(json_object *metadata, const char *key);
/* The member is `true`. */
bool metadata_is_true(json_object *metadata, const char *key);

struct Metadata {
        int64_t created_at;
        const char *root; /* of the snapshot once published, absolute */
        const char *label;
        bool pinned;
        int64_t schema_version; /* PRAGMA user_version */
        uint64_t database_bytes;
        bool has_registry;
        uint64_t registry_bytes;
        bool has_chroma;
        uint64_t chroma_files;
        uint64_t chroma_bytes;
        json_object *counts;   /* table → rows; borrowed */
        json_object *warnings; /* array of strings; borrowed */
        uint64_t duration_ms;
        int64_t validated_at;
};

/* `report` is the check of the copied database. NULL when memory ran out. */
json_object *metadata_new(const struct Metadata *metadata, const struct CheckReport *report);

/* Adds a sentence to `warnings` (array of strings) and tells it as BACKUP_WARNING at once. `path`
 * may be NULL. -ENOMEM. */
int metadata_warn(const struct Operation *operation, json_object *warnings, const char *path,
        struct Failure *failure, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Does the text parse as JSON at all? For the registry, which is kept as it is written. */
bool json_text_is_valid(const char *text, size_t size);
