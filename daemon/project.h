/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A project as clients see it.
 */

#include <json-c/json.h>
#include <stdint.h>

#include "lib/base/layout.h"
#include "lib/knowledge/registry.h"

struct ProjectCounts {
        uint64_t documents;
        uint64_t chunks;
};

/* `counts` NULL: they cannot be told, null. */
json_object *project_to_json(const struct Project *project, const struct ProjectCounts *counts);

/* Whether ingest would read the root, and if not, why: -errno of source_open(). *ret_path is where
 * it is (caller frees), NULL only when memory ran out. */
int project_root_look(const struct IngestRoot *root, const struct Layout *layout, char **ret_path);
/* Appends a sentence for each root from which nothing is ingested. `list` may be NULL. */
void project_add_warnings(
        const struct Project *project, const struct Layout *layout, json_object *list);
