/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Building a CheckReport; reading one is in check.h.
 */

#include "lib/backup/check.h"

struct CheckReport *check_report_new(const char *stamp); /* NULL: out of memory */

/* `path` and `format` may be NULL. -ENOMEM. */
int check_report_add(struct CheckReport *report, enum FindingCode code,
        enum FindingSeverity severity, const char *path, const char *format, ...)
        __attribute__((format(printf, 5, 6)));

/* Errors before warnings, each by path: the order does not depend on that of the directories. */
void check_report_sort(struct CheckReport *report);

bool check_report_has(const struct CheckReport *report, enum FindingCode code);

/* {"valid","validated_at","errors"}, the form that state and metadata keep. */
struct json_object *check_report_verdict(const struct CheckReport *report, int64_t now);
