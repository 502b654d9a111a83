/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/ship-items.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"

struct ShipResult *ship_result_free(struct ShipResult *result) {
        if (!result)
                return NULL;
        ship_entries_free(result->entries, result->n_entries);
        retention_plan_free(result->plan);
        free(result->place);
        free(result);
        return NULL;
}

size_t ship_count(const struct ShipResult *result, enum ShipVerdict verdict, bool done) {
        size_t n = 0;

        for (size_t i = 0; i < result->n_entries; i++)
                n += result->entries[i].verdict == verdict && result->entries[i].done == done;
        return n;
}

const char *ship_verdict_name(enum ShipVerdict verdict) {
        switch (verdict) {
        case SHIP_THERE:
                return "there";
        case SHIP_SEND:
                return "send";
        case SHIP_VERIFY:
                return "verify";
        case SHIP_NOT_KEPT:
                return "not-kept";
        case SHIP_INVALID:
                return "invalid";
        }
        return "unknown";
}

static json_object *entry_to_json(const struct ShipEntry *entry) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !json_set(object, "name", json_object_new_string(entry->item.name)) ||
                !json_set(object, "stamp", json_object_new_string(entry->item.stamp)) ||
                !json_set(object, "verdict",
                        json_object_new_string(ship_verdict_name(entry->verdict))) ||
                !json_set(object, "done", json_object_new_boolean(entry->done)))
                return NULL;
        return STEAL(object);
}

json_object *ship_result_to_json(const struct ShipResult *result) {
        _cleanup_json_ json_object *object = json_object_new_object();
        _cleanup_json_ json_object *entries = json_object_new_array();
        const struct {
                const char *name;
                uint64_t value;
        } numbers[] = {
                { "sent", ship_count(result, SHIP_SEND, true) },
                { "verified", ship_count(result, SHIP_VERIFY, true) },
                { "deleted", result->deleted },
                { "bytes_sent", result->bytes_sent },
                { "duration_ms", result->duration_ms },
        };

        for (size_t i = 0; entries && i < result->n_entries; i++)
                if (!json_append(entries, entry_to_json(&result->entries[i])))
                        return NULL;
        if (!object || !entries ||
                !json_set(object, "offsite", json_object_new_string(result->place)) ||
                !json_set(object, "entries", STEAL(entries)))
                return NULL;
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
                if (!json_set(object, numbers[i].name, json_object_new_uint64(numbers[i].value)))
                        return NULL;
        if (!json_set(object, "dry_run", json_object_new_boolean(result->dry_run)))
                return NULL;
        if (result->plan &&
                !json_set(
                        object, "retention", retention_plan_to_json(result->plan, result->dry_run)))
                return NULL;
        return STEAL(object);
}
