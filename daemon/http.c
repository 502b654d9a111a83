/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/peers.h"
#include "lib/base/cleanup.h"
#include "lib/base/event.h"

#define CONNECTION_MEMORY ((size_t) 16 << 10) /* bounds the head of a request, too */
#define CONNECTION_LIMIT  (PEERS_MAX * 2u)    /* ours comes first */

/* Told about clients mostly: broken connections, malformed heads. */
__attribute__((format(printf, 2, 0))) static void on_log(
        void *userdata, const char *format, va_list arguments) {
        _cleanup_free_ char *text = NULL;

        (void) userdata;
        if (vasprintf(&text, format, arguments) < 0) {
                text = NULL;
                return;
        }
        text[strcspn(text, "\n")] = '\0';
        event_debug("libmicrohttpd: %s", text);
}

/* It found its own state broken, or a call that must not fail did. */
static void on_panic(void *userdata, const char *file, unsigned line, const char *reason) {
        (void) userdata;
        event_emit(&(struct Event){ .id = EVENT_INTERNAL_ERROR },
                "libmicrohttpd gave up at %s:%u: %s", file, line, reason ? reason : "no reason");
        abort();
}

static size_t leave_escaped(void *userdata, struct MHD_Connection *connection, char *text) {
        (void) userdata, (void) connection;
        return strlen(text);
}

struct MHD_Daemon *http_start(const struct HttpCallbacks *callbacks, void *userdata) {
        const unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
                MHD_USE_ERROR_LOG;
        const struct MHD_OptionItem options[] = {
                { MHD_OPTION_EXTERNAL_LOGGER, (intptr_t) on_log, NULL },
                { MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t) CONNECTION_MEMORY, NULL },
                { MHD_OPTION_CONNECTION_LIMIT, CONNECTION_LIMIT, NULL },
                { MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_SECONDS, NULL },
                { MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL },
                { MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t) leave_escaped, NULL },
                { MHD_OPTION_NOTIFY_CONNECTION, (intptr_t) callbacks->connection, userdata },
                { MHD_OPTION_NOTIFY_COMPLETED, (intptr_t) callbacks->request_end, userdata },
                { MHD_OPTION_END, 0, NULL },
        };

        MHD_set_panic_func(on_panic, NULL);
        return MHD_start_daemon(flags, 0, NULL, NULL, callbacks->request, userdata,
                MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}
