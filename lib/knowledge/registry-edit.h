/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Changing config/project-registry.json by program: one project is added or replaced in the text of
 * the file, and everything around it stays as somebody wrote it, to the byte. What would be written
 * is read by the parser of the registry before it replaces anything.
 *
 *      prepare   takes the locks (store, shared; registry), reads the file, makes the new text
 *      commit    config/project-registry.json.previous becomes what was read, then the registry the
 *                new text, each by one rename
 *
 * If power goes in between, the registry is the old one and .previous is equal to it; afterwards it
 * is the new one. Nothing else reads .previous: it is for whoever wants to go back, and no snapshot
 * holds it.
 */

#include <json-c/json.h>
#include <stdbool.h>

#include "lib/base/file-replace.h"
#include "lib/base/lock.h"
#include "lib/knowledge/registry-parse.h"

struct RegistryEdit {
        struct Lock *store;
        struct Lock *lock;
        struct FileText before; /* as it is on disk; without a text: there was no file */
        char *text;             /* as it is to be */
        size_t size;
        struct Registry *registry; /* READY: the text; UNKNOWN: what is on disk */
        size_t project;            /* index in it of the one that is added or replaced */
};

enum RegistryEditResult {
        REGISTRY_EDIT_READY,
        REGISTRY_EDIT_REFUSED, /* the project is not as it must be: *ret_fault */
        REGISTRY_EDIT_UNKNOWN, /* there is none of that name to be replaced */
};

/* `project` has the members id, aliases, description and ingest_roots; null counts as absent, any
 * other member is a fault.
 *
 * `name` NULL: it is added, behind all others. Else it replaces the one with that id or alias: the
 * id stays, as others have stored it, and may be left out; members of the old project and its roots
 * that this program does not know stay, too (roots are the same by source and normalised subpath).
 *
 * Without a registry: one is begun if `first` and there never was one, as far as .previous tells;
 * else REGISTRY_MISSING. On disk but broken: REGISTRY_INVALID; it has to be mended first. Further
 * failures: LOCK_BUSY, STORAGE_ROOT_MISSING, RESTORE_INTERRUPTED, those of reading. */
int registry_edit_prepare(const struct Operation *operation, const char *name, json_object *project,
        bool first, struct RegistryEdit *ret_edit, enum RegistryEditResult *ret_result,
        struct RegistryFault *ret_fault, struct Failure *failure);

/* Of one that is READY. REGISTRY_CHANGED (-ESTALE): somebody else changed the file since it was
 * read; theirs stands. *ret_kept is false where the file is not its owner's any more, which only
 * root could have kept. Failures of writing: the old file stands. */
int registry_edit_commit(const struct Operation *operation, const struct RegistryEdit *edit,
        bool *ret_kept, struct Failure *failure);

/* Lets go of the locks. */
void registry_edit_clear(struct RegistryEdit *edit);
#define _cleanup_registry_edit_ _cleanup_(registry_edit_clear)

/* REGISTRY_MISSING, for who finds that there is no registry. */
int registry_missing(const struct Layout *layout, struct Failure *failure);
