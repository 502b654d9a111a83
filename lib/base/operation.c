/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/operation.h"

#include <errno.h>
#include <stdarg.h>

bool operation_cancelled(const struct Operation *operation) {
        return operation && operation->cancelled && operation->cancelled(operation->userdata);
}

int operation_check(const struct Operation *operation, struct Failure *failure) {
        if (!operation_cancelled(operation))
                return 0;
        return failure_set(failure, EVENT_INTERRUPTED, EINTR, NULL,
                "Stopped by a signal before it was done; what was unfinished is not kept, start it "
                "again");
}

void operation_progress(
        const struct Operation *operation, const char *what, uint64_t done, uint64_t total) {
        if (operation && operation->progress)
                operation->progress(what, done, total, operation->userdata);
}

void operation_notice(
        const struct Operation *operation, const struct Event *event, const char *format, ...) {
        _cleanup_free_ char *message = NULL;
        va_list arguments;

        if (!operation || !operation->notice)
                return;
        va_start(arguments, format);
        if (vasprintf(&message, format, arguments) < 0)
                message = NULL;
        va_end(arguments);

        operation->notice(event, message ? message : event_code(event->id), operation->userdata);
}
