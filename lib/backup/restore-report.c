/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/restore.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"

static const char *const verbs[] = {
        [RESTORE_VERB_UNPACK] = "unpack",
        [RESTORE_VERB_VALIDATE] = "validate",
        [RESTORE_VERB_STAGE] = "stage",
        [RESTORE_VERB_STOP] = "stop",
        [RESTORE_VERB_EXCHANGE] = "exchange",
        [RESTORE_VERB_PROVE] = "prove",
        [RESTORE_VERB_KEEP] = "keep",
};

const char *restore_verb_name(enum RestoreVerb verb) {
        return verbs[verb];
}

static json_object *step_to_json(const struct RestoreStep *step) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !json_set(object, "action", json_object_new_string(verbs[step->verb])) ||
                !json_set(object, "what", json_object_new_string(step->what)) ||
                !json_set(object, "target", json_object_new_string(step->target)) ||
                !json_set(object, "bytes", json_object_new_uint64(step->bytes)))
                return NULL;
        return STEAL(object);
}

static json_object *steps_to_json(const struct Restore *restore) {
        _cleanup_json_ json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < restore->n_steps; i++)
                if (!json_append(array, step_to_json(&restore->steps[i])))
                        return NULL;
        return STEAL(array);
}

/* "" and NULL: there is none. */
static bool set_text(json_object *object, const char *key, const char *text) {
        return text && text[0] ? json_set(object, key, json_object_new_string(text))
                               : json_object_object_add(object, key, NULL) >= 0;
}

json_object *restore_to_json(const struct Restore *restore, const struct Layout *layout) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !set_text(object, "stamp", restore->stamp) ||
                !set_text(object, "source", restore->source) ||
                !set_text(object, "root", layout->root) ||
                !json_set(object, "dry_run", json_object_new_boolean(restore->dry_run)) ||
                !set_text(object, "safety", restore->safety) ||
                !json_set(object, "undone", json_object_new_boolean(restore->undone)) ||
                !json_set(object, "steps", steps_to_json(restore)) ||
                json_object_object_add(object, "proof", json_object_get(restore->proof)) < 0 ||
                !json_set(object, "duration_ms", json_object_new_uint64(restore->duration_ms)))
                return NULL;
        return STEAL(object);
}
