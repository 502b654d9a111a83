/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A JSON document → a struct Registry, or what is wrong with it. The one place where it is decided
 * what a project may be: a file that was edited by hand and a project that a client sends are read
 * by the same functions.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/knowledge/registry.h"

enum RegistryFaultKind {
        REGISTRY_FAULT_MISSING, /* a field that must be there */
        REGISTRY_FAULT_TYPE,
        REGISTRY_FAULT_UNKNOWN, /* a field that a project does not have; registry-edit.h */
        REGISTRY_FAULT_RANGE,   /* the type is right, the value is not */
        REGISTRY_FAULT_TAKEN,   /* an id or alias that another project has */
};

#define REGISTRY_NO_PROJECT ((size_t) -1)

struct RegistryFault {
        enum RegistryFaultKind kind;
        size_t project; /* its index; REGISTRY_NO_PROJECT: the document around them */
        char *id;       /* of the project, where it has one that is fit; else NULL */
        char *field;    /* "ingest_roots[0].subpath"; NULL: project or document as a whole */
        char *problem;  /* "is missing" */
        char *advice;   /* "add it" */
        char *owner;    /* of what is TAKEN: the id of the project that has it */
};

void registry_fault_clear(struct RegistryFault *fault);
#define _cleanup_registry_fault_ _cleanup_(registry_fault_clear)

/* Where it is in the document, for json_locate(); caller frees; NULL when memory ran out. */
char *registry_fault_pointer(const struct RegistryFault *fault);

/* In place: without "." and empty components. False when it leaves what it is below. */
bool registry_normalise_subpath(char *path);

/* For who finds a fault of its own: -EBADMSG, or -ENOMEM. `owner` may be NULL. */
int registry_fault_set(struct RegistryFault *fault, enum RegistryFaultKind kind, const char *field,
        const char *owner, const char *advice, const char *problem, ...)
        __attribute__((format(printf, 6, 7)));

/* -EBADMSG: the first fault is in *ret_fault; -ENOMEM. Fields that it does not know are passed
 * over. `last`: index of the project to be read behind all others, so that a name that two have is
 * its fault; else REGISTRY_NO_PROJECT. Its names must keep to registry-name.h, and are no others'
 * in another composition; but for those that it has had before, as `old` (NULL: it is new). */
int registry_parse(json_object *document, size_t last, const struct Project *old,
        struct Registry **ret_registry, struct RegistryFault *ret_fault);
