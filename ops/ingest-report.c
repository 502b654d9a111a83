/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ops/ingest-report.h"

#include <inttypes.h>

#include "lib/base/event.h"

void ingest_report_done(
        const struct Layout *layout, const struct IngestResult *result, const char *scope) {
        const struct EventNumber numbers[] = {
                { "ATOCORE_FILES", result->files_seen },
                { "ATOCORE_FILES_INDEXED", result->files_indexed },
                { "ATOCORE_FILES_UNCHANGED", result->files_unchanged },
                { "ATOCORE_FILES_REMOVED", result->files_removed },
                { "ATOCORE_CHUNKS_ADDED", result->chunks_added },
                { "ATOCORE_CHUNKS_REMOVED", result->chunks_removed },
                { "ATOCORE_VECTORS_EMBEDDED", result->vectors.embedded },
                { "ATOCORE_VECTORS_PENDING", result->vectors.pending },
                { "ATOCORE_ERRORS", result->n_errors },
                { "ATOCORE_DURATION_MS", result->duration_ms },
        };

        event_emit(&(const struct Event){ .id = EVENT_INGEST_DONE,
                           .path = layout->sources,
                           .numbers = numbers,
                           .n_numbers = sizeof numbers / sizeof numbers[0] },
                "Ingest of %s is done: %" PRIu64 " files seen, %" PRIu64 " indexed, %" PRIu64
                " unchanged, %" PRIu64 " removed; %zu errors; %" PRIu64 " ms",
                scope, result->files_seen, result->files_indexed, result->files_unchanged,
                result->files_removed, result->n_errors, result->duration_ms);
}
