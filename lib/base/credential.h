/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Secrets of one line, as systemd hands them over: files in $CREDENTIALS_DIRECTORY.
 */

#include "lib/base/failure.h"

/* *ret_token is NULL where there is none. CONFIG_INVALID for one that no header can carry. */
int credential_load_token(const char *name, char **ret_token, struct Failure *failure);

/* Overwrites the secret before it is freed; returns NULL. */
char *credential_free(char *secret);
DEFINE_POINTER_CLEANUP(char *, credential_free)
#define _cleanup_credential_ _cleanup_(credential_freep)
