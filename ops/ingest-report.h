/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The event that says what an ingest did, for the programs that run one.
 */

#include "lib/base/layout.h"
#include "lib/knowledge/ingest-result.h"

/* INGEST_DONE; `scope` reads "all sources", "p05, p06". */
void ingest_report_done(
        const struct Layout *layout, const struct IngestResult *result, const char *scope);
