/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The proof that data can be served: a private daemon is started on a storage root and asked what
 * clients ask. Whether the files are those of a snapshot is the matter of check.h; here it is
 * whether they make an AtoCore.
 */

#include "lib/base/json-document.h"
#include "lib/base/operation.h"

/* In the order in which they are made; the first that fails is the last. */
enum ProofCheck {
        PROOF_START,    /* the daemon serves */
        PROOF_HEALTH,   /* GET /health: 200, the database can be read */
        PROOF_STATS,    /* GET /stats: 200, as many rows as the snapshot counted */
        PROOF_PROJECTS, /* GET /projects: 200; a registry that is absent or broken is a warning */
        PROOF_CONTEXT,  /* POST /context/build: 200, a chunk where there are chunks */
        PROOF_CHECK_COUNT_,
};

enum ProofOutcome {
        PROOF_NOT_REACHED,
        PROOF_PASSED,
        PROOF_WARNED,  /* passed, but something is not as it might be: the detail says what */
        PROOF_SKIPPED, /* a database that is not ours: it is kept, not served */
        PROOF_BROKEN,
};

struct ProofExpectation {
        json_object *counts; /* table → rows, of a snapshot's metadata; borrowed. What is absent or
                              * null there is not compared; NULL: nothing is */
        const char *query;   /* a prompt that has to find something; NULL: words of the data */

        /* Milliseconds; 0: as long as is sensible. */
        uint64_t ready_ms;  /* until the daemon serves */
        uint64_t answer_ms; /* for each answer */
        uint64_t stop_ms;   /* until it has ended */
};

struct ProofResult {
        struct {
                enum ProofOutcome outcome;
                char *detail; /* what was found, a sentence or less; owned, may be NULL */
                uint64_t duration_ms;
        } checks[PROOF_CHECK_COUNT_];
        bool foreign;         /* the database is not ours */
        uint64_t duration_ms; /* of everything, with the end of the daemon */
};

/* Starts a daemon on the root of `layout` (which may be another than operation->layout), asks it,
 * and ends it on every way out. `store_lock_fd` is lock_fd() of the store lock of that root, where
 * the caller holds it exclusively; -1: the daemon, and what is read here, take it themselves.
 * PROOF_FAILED names the check, what was expected and what came; INTERRUPTED; those of reading and
 * writing files. *ret_result is filled in in any case, as far as it came; the caller clears it.
 *
 * The daemon does what it always does at its start: a database of an earlier schema is brought up
 * to date, one without a -wal gets one. */
int proof_run(const struct Operation *operation, const struct Layout *layout, int store_lock_fd,
        const struct ProofExpectation *expected, struct ProofResult *ret_result,
        struct Failure *failure);

const char *proof_check_name(enum ProofCheck check);       /* "health" */
const char *proof_outcome_name(enum ProofOutcome outcome); /* "passed" */

/* {"checks":[{"name","outcome","detail","duration_ms"}],"database_foreign","duration_ms"}; NULL
 * when memory ran out. */
json_object *proof_result_to_json(const struct ProofResult *result);

void proof_result_clear(struct ProofResult *result);
#define _cleanup_proof_result_ _cleanup_(proof_result_clear)
