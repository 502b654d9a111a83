/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/vector-failure.h"

#include <stdarg.h>
#include <stdio.h>

int vector_failure(struct Failure *failure, const char *code, int error, const char *format, ...) {
        _cleanup_free_ char *message = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&message, format, arguments);
        va_end(arguments);
        if (r < 0) {
                message = NULL;
                return failure_out_of_memory(failure);
        }
        if (failure && failure_is_set(failure))
                return -error;
        r = failure_set(failure, EVENT_VECTORS_FAILED, error, NULL, "%s", message);
        if (failure)
                failure->code = code;
        return r;
}
