/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/private-environment.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/lock.h"

#define OWN_MAX 2 /* variables that are added */

static bool is_dropped(const char *variable) {
        static const char *const dropped[] = { "LISTEN_", "WATCHDOG_",
                "NOTIFY_SOCKET=", "CREDENTIALS_DIRECTORY=", "JOURNAL_STREAM=", "ATOCORE_" };

        if (strncmp(variable, "ATOCORE_NOW=", strlen("ATOCORE_NOW=")) == 0)
                return false;
        for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++)
                if (strncmp(variable, dropped[i], strlen(dropped[i])) == 0)
                        return true;
        return false;
}

char **private_environment(const char *notify_socket, int lock_fd) {
        _cleanup_environment_ char **environment = NULL;
        size_t n = 0;

        while (environ[n])
                n++;
        environment = calloc(n + OWN_MAX + 1, sizeof *environment);
        if (!environment)
                return NULL;
        n = 0;
        for (size_t i = 0; environ[i]; i++) {
                if (is_dropped(environ[i]))
                        continue;
                environment[n] = strdup(environ[i]);
                if (!environment[n++])
                        return NULL;
        }
        if (asprintf(&environment[n], "NOTIFY_SOCKET=%s", notify_socket) < 0) {
                environment[n] = NULL;
                return NULL;
        }
        n++;
        if (lock_fd >= 0 && asprintf(&environment[n], LOCK_STORE_FD_VARIABLE "=%d", lock_fd) < 0) {
                environment[n] = NULL;
                return NULL;
        }
        return STEAL(environment);
}

char **environment_free(char **environment) {
        for (size_t i = 0; environment && environment[i]; i++)
                free(environment[i]);
        free(environment);
        return NULL;
}
