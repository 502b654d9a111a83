/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/layout.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

const char *const layout_source_names[] = { "vault", "drive", NULL };

static const struct {
        size_t offset;
        const char *path;
} layout_paths[] = {
        { offsetof(struct Layout, registry), "config/project-registry.json" },
        { offsetof(struct Layout, registry_previous), "config/project-registry.json.previous" },
        { offsetof(struct Layout, database_dir), "data/db" },
        { offsetof(struct Layout, database), "data/db/atocore.db" },
        { offsetof(struct Layout, chroma), "data/chroma" },
        { offsetof(struct Layout, cache), "data/cache" },
        { offsetof(struct Layout, tmp), "data/tmp" },
        { offsetof(struct Layout, locks), "data/locks" },
        { offsetof(struct Layout, sources), "sources" },
        { offsetof(struct Layout, logs), "logs" },
        { offsetof(struct Layout, restore_journal), "data/restore-journal.json" },
        { offsetof(struct Layout, last_drill), "data/last-drill.json" },
        { offsetof(struct Layout, backups), "backups" },
        { offsetof(struct Layout, snapshots), "backups/snapshots" },
        { offsetof(struct Layout, archives), "backups/archives" },
        { offsetof(struct Layout, pre_restore), "backups/pre-restore" },
        { offsetof(struct Layout, state), "backups/state" },
        { offsetof(struct Layout, gate_lock), "data/locks/gate.lock" },
        { offsetof(struct Layout, store_lock), "data/locks/store.lock" },
        { offsetof(struct Layout, ingestion_lock), "data/locks/ingestion.lock" },
        { offsetof(struct Layout, registry_lock), "data/locks/registry.lock" },
        { offsetof(struct Layout, backups_lock), "backups/.lock" },
};

#define N_LAYOUT_PATHS (sizeof layout_paths / sizeof layout_paths[0])

static char **layout_member(struct Layout *layout, size_t i) {
        return (char **) (void *) ((char *) layout + layout_paths[i].offset);
}

int layout_new(const char *root, struct Layout **ret_layout) {
        _cleanup_layout_ struct Layout *layout = NULL;
        size_t length = strlen(root);

        if (root[0] != '/')
                return -EINVAL;
        while (length > 1 && root[length - 1] == '/')
                length--;

        layout = calloc(1, sizeof *layout);
        if (!layout)
                return -ENOMEM;
        layout->root = strndup(root, length);
        if (!layout->root)
                return -ENOMEM;

        for (size_t i = 0; i < N_LAYOUT_PATHS; i++)
                if (asprintf(layout_member(layout, i), "%s/%s", length > 1 ? layout->root : "",
                            layout_paths[i].path) < 0) {
                        *layout_member(layout, i) = NULL;
                        return -ENOMEM;
                }

        *ret_layout = STEAL(layout);
        return 0;
}

struct Layout *layout_free(struct Layout *layout) {
        if (!layout)
                return NULL;
        for (size_t i = 0; i < N_LAYOUT_PATHS; i++)
                free(*layout_member(layout, i));
        free(layout->root);
        free(layout);
        return NULL;
}

const char *layout_relative(const struct Layout *layout, const char *path) {
        size_t length = strlen(layout->root);

        if (length == 1) /* the root is "/" itself */
                return path[0] == '/' && path[1] ? path + 1 : path;
        if (strncmp(path, layout->root, length) != 0 || path[length] != '/')
                return path;
        return path + length + 1;
}
