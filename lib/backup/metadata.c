/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/metadata.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "lib/backup/check-report.h"
#include "lib/backup/manifest.h"
#include "lib/base/file-io.h"
#include "lib/base/sqlite.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

#define METADATA_DEPTH 32
#define REGISTRY_DEPTH 512

int metadata_parse(
        const char *text, size_t size, json_object **ret_metadata, const char **ret_problem) {
        _cleanup_json_ json_object *metadata = NULL;
        _cleanup_free_ char *problem = NULL;
        int r;

        r = json_document_parse(text, size, METADATA_DEPTH, &metadata, &problem);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                *ret_problem = "not JSON";
                return -EBADMSG;
        }
        if (!json_object_is_type(metadata, json_type_object)) {
                *ret_problem = "not a JSON object";
                return -EBADMSG;
        }
        *ret_metadata = STEAL(metadata);
        return 0;
}

int metadata_read(int dir_fd, json_object **ret_metadata, const char **ret_problem) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(dir_fd, METADATA_NAME, METADATA_MAX, &text, &size);
        return r < 0 ? r : metadata_parse(text, size, ret_metadata, ret_problem);
}

int metadata_bytes(json_object *metadata, uint64_t *ret_bytes) {
        static const char *const keys[] = { "db_size_bytes", "registry_size_bytes",
                "chroma_snapshot_bytes" };
        int64_t bytes = 0;

        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
                json_object *value = NULL;

                if (!json_object_object_get_ex(metadata, keys[i], &value) || !value)
                        continue;
                if (!json_object_is_type(value, json_type_int) ||
                        json_object_get_int64(value) < 0 ||
                        __builtin_add_overflow(bytes, json_object_get_int64(value), &bytes))
                        return -EBADMSG;
        }
        *ret_bytes = (uint64_t) bytes;
        return 0;
}

bool metadata_has(json_object *metadata, const char *key) {
        json_object *value;
        return json_object_object_get_ex(metadata, key, &value) && value;
}

bool metadata_is_true(json_object *metadata, const char *key) {
        json_object *value;
        return json_object_object_get_ex(metadata, key, &value) &&
                json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

bool metadata_is_ours(json_object *metadata) {
        return metadata_has(metadata, "atocore_version");
}

/* Members in the order in which they are added; the first failure is kept. */
struct Builder {
        json_object *object;
        bool failed;
};

static void put(struct Builder *builder, const char *key, json_object *value) {
        if (!value)
                builder->failed = true;
        else if (json_object_object_add(builder->object, key, value) < 0) {
                json_object_put(value);
                builder->failed = true;
        }
}

static void put_null(struct Builder *builder, const char *key) {
        if (json_object_object_add(builder->object, key, NULL) < 0)
                builder->failed = true;
}

static void put_string(struct Builder *builder, const char *key, const char *value) {
        if (value)
                put(builder, key, json_object_new_string(value));
        else
                put_null(builder, key);
}

static void put_number(struct Builder *builder, const char *key, bool present, uint64_t value) {
        if (present)
                put(builder, key, json_object_new_uint64(value));
        else
                put_null(builder, key);
}

static void put_path(struct Builder *builder, const char *key, bool present, const char *root,
        const char *path) {
        _cleanup_free_ char *full = NULL;

        if (!present) {
                put_null(builder, key);
                return;
        }
        if (asprintf(&full, "%s/%s", root, path) < 0) {
                full = NULL;
                builder->failed = true;
                return;
        }
        put_string(builder, key, full);
}

json_object *metadata_new(const struct Metadata *metadata, const struct CheckReport *report) {
        _cleanup_json_ json_object *object = json_object_new_object();
        struct Builder builder = { .object = object };
        char stamp[STAMP_SIZE], at[RFC3339_SIZE], hostname[HOST_NAME_MAX + 1] = "";

        if (!object)
                return NULL;
        stamp_format(metadata->created_at, stamp);
        rfc3339_format(metadata->created_at, at);
        (void) gethostname(hostname, sizeof hostname);
        hostname[sizeof hostname - 1] = '\0';

        put_string(&builder, "stamp", stamp);
        put_string(&builder, "created_at", at);
        put_string(&builder, "backup_root", metadata->root);
        put_string(&builder, "hostname", hostname);
        put_string(&builder, "atocore_version", ATOCORE_VERSION);
        put_string(&builder, "sqlite_version", sqlite3_libversion());
        put(&builder, "schema_version", json_object_new_int64(metadata->schema_version));
        put_path(&builder, "db_snapshot_path", true, metadata->root, SNAPSHOT_DATABASE);
        put_number(&builder, "db_size_bytes", true, metadata->database_bytes);
        put_path(&builder, "registry_snapshot_path", metadata->has_registry, metadata->root,
                SNAPSHOT_REGISTRY);
        put_number(
                &builder, "registry_size_bytes", metadata->has_registry, metadata->registry_bytes);
        put(&builder, "chroma_snapshot_included", json_object_new_boolean(metadata->has_chroma));
        put_path(&builder, "chroma_snapshot_path", metadata->has_chroma, metadata->root,
                SNAPSHOT_CHROMA);
        put_number(&builder, "chroma_snapshot_files", metadata->has_chroma, metadata->chroma_files);
        put_number(&builder, "chroma_snapshot_bytes", metadata->has_chroma, metadata->chroma_bytes);
        put(&builder, "counts", json_object_get(metadata->counts));
        put_string(&builder, "label", metadata->label);
        put(&builder, "pinned", json_object_new_boolean(metadata->pinned));
        put(&builder, "duration_ms", json_object_new_uint64(metadata->duration_ms));
        put(&builder, "warnings", json_object_get(metadata->warnings));
        put(&builder, "validation", check_report_verdict(report, metadata->validated_at));
        return builder.failed ? NULL : STEAL(object);
}

int metadata_warn(const struct Operation *operation, json_object *warnings, const char *path,
        struct Failure *failure, const char *format, ...) {
        struct Event event = { .id = EVENT_BACKUP_WARNING, .path = path };
        _cleanup_free_ char *text = NULL, *line = NULL;
        json_object *string;
        va_list arguments;
        int length;

        va_start(arguments, format);
        length = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (length < 0) {
                text = NULL;
                return failure_out_of_memory(failure);
        }
        line = text_escape(text); /* names of files may be anything; JSON takes UTF-8 */
        string = line ? json_object_new_string(line) : NULL;
        if (!string || json_object_array_add(warnings, string) < 0) {
                json_object_put(string);
                return failure_out_of_memory(failure);
        }
        operation_notice(operation, &event, "%s", line);
        return 0;
}

bool json_text_is_valid(const char *text, size_t size) {
        _cleanup_free_ char *masked = NULL;
        json_object *document = NULL;
        json_tokener *tokener;
        bool valid;

        if (size > INT_MAX - 1 || utf8_valid_prefix(text, size) != size)
                return false;
        masked = json_document_mask(text, size);
        tokener = masked ? json_tokener_new_ex(REGISTRY_DEPTH) : NULL;
        if (!tokener)
                return false;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        /* The NUL behind the text goes in as well: it ends a bare number. */
        document = json_tokener_parse_ex(tokener, masked, (int) size + 1);
        valid = json_tokener_get_error(tokener) == json_tokener_success;
        if (valid) {
                size_t end = json_tokener_get_parse_end(tokener);
                valid = end >= size || text[end + strspn(text + end, " \t\r\n")] == '\0';
                valid = valid && memchr(text, '\0', size) == NULL;
        }
        json_object_put(document);
        json_tokener_free(tokener);
        return valid;
}
