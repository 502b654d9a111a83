/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a new id or alias may look like: it stands in paths of URLs, on command lines and in
 * answers, and whoever reads it there must be able to type it. Names that a registry has already
 * are served whatever they look like.
 */

#include <stdbool.h>
#include <stddef.h>

#define REGISTRY_NAME_MAX 100 /* characters */

/* Of valid UTF-8 that is printable (text.h) and not empty. False: *ret_problem says what is wrong,
 * "begins with a blank". */
bool registry_name_is_fit(const char *name, char *ret_problem, size_t size);
