/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What keeps vectors from being used: VECTORS_FAILED with a code that says more. Nothing is lost by
 * any of them: the search goes on without vectors, and an ingest makes up for them later.
 */

#include "lib/base/failure.h"

#define VECTOR_TIMEOUT     "vector_timeout"           /* a server has not answered in time */
#define VECTOR_UNREACHABLE "vector_store_unreachable" /* nobody serves there, or no longer */
#define VECTOR_STORE       "vector_store_failed"      /* it answers with something else */
#define VECTOR_FOREIGN     "vector_store_foreign"     /* the collection is of another database */
#define VECTOR_EMPTY       "vector_store_empty"       /* there is no collection yet */
#define VECTOR_MODEL       "embedding_model_changed"
#define VECTOR_DIMENSION   "embedding_dimension"
#define VECTOR_EMBEDDING   "embedding_failed"
#define VECTOR_MODULE      "vector_module_missing"
#define VECTOR_PROJECT     "vector_project_too_wide"

/* Returns -error. `code` is one of the above. */
int vector_failure(struct Failure *failure, const char *code, int error, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
