/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

void notify_status(const char *more, const char *format, ...) {
        _cleanup_free_ char *escaped = NULL;
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&text, format, arguments) < 0)
                text = NULL;
        va_end(arguments);
        if (text && !text_is_printable(text))
                escaped = text_escape(text);
        (void) sd_notifyf(0, "%sSTATUS=%s", more,
                escaped                                   ? escaped
                        : text && text_is_printable(text) ? text
                                                          : "");
}
