/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/offsite-settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file-io.h"

#define ENVIRONMENT_MAX ((size_t) 1 << 20)

/* "NAME=VALUE", whatever was said of the name before. */
static int set_variable(struct Offsite *offsite, const char *name, const char *value) {
        char **grown = reallocarray(
                offsite->environment, offsite->n_environment + 2, sizeof *offsite->environment);
        char *variable;

        if (!grown)
                return -ENOMEM;
        offsite->environment = grown;
        grown[offsite->n_environment] = NULL;
        if (asprintf(&variable, "%s=%s", name, value) < 0)
                return -ENOMEM;
        grown[offsite->n_environment++] = variable;
        grown[offsite->n_environment] = NULL;
        return 0;
}

/* The variable leads to the credential, where that is there. */
static int point_to(struct Offsite *offsite, const char *variable, const char *credential) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_free_ char *path = NULL;

        if (!directory || directory[0] == '\0')
                return 0;
        if (asprintf(&path, "%s/%s", directory, credential) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return access(path, F_OK) < 0 ? 0 : set_variable(offsite, variable, path);
}

static bool is_name(const char *text, size_t length) {
        for (size_t i = 0; i < length; i++)
                if (!isalnum((unsigned char) text[i]) && text[i] != '_')
                        return false;
        return length > 0 && !isdigit((unsigned char) text[0]);
}

/* One pair of quotes around the whole, as in a shell or a unit, is none of the value. */
static char *unquote(char *value) {
        size_t length = strlen(value);

        if (length >= 2 && (value[0] == '"' || value[0] == '\'') && value[length - 1] == value[0]) {
                value[length - 1] = '\0';
                value++;
        }
        return value;
}

/* -EINVAL for a line that is neither empty, nor a comment, nor NAME=VALUE. Changes it. */
static int take_line(struct Offsite *offsite, char *line) {
        char *end, *equals;

        line += strspn(line, " \t");
        for (end = line + strlen(line); end > line && strchr(" \t\r", end[-1]); end--)
                ;
        *end = '\0';
        if (line[0] == '\0' || line[0] == '#' || line[0] == ';')
                return 0;
        equals = strchr(line, '=');
        if (!equals || !is_name(line, (size_t) (equals - line)))
                return -EINVAL;
        *equals = '\0';
        return set_variable(offsite, line, unquote(equals + 1));
}

/* The sentence must not tell what the line holds. */
static int load_environment(struct Offsite *offsite, struct Failure *failure) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_free_ char *path = NULL, *text = NULL;
        unsigned number = 0;
        size_t size;
        int r;

        if (!directory || directory[0] == '\0')
                return 0;
        if (asprintf(&path, "%s/offsite-environment", directory) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = read_file_at(AT_FDCWD, path, ENVIRONMENT_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return failure_set_read(failure, -r, path, "read");
        for (char *line = text, *next; line; line = next) {
                next = strchr(line, '\n');
                if (next)
                        *next++ = '\0';
                number++;
                r = take_line(offsite, line);
                if (r == -EINVAL)
                        return failure_set(failure, EVENT_CONFIG_INVALID, EINVAL, path,
                                "%s:%u: a line must be NAME=VALUE, a comment or empty", path,
                                number);
                if (r < 0)
                        return failure_out_of_memory(failure);
        }
        return 0;
}

/* What matters for nothing is kept where that is; a bare machine has no such directory. */
static int set_cache(
        const struct Operation *operation, struct Offsite *offsite, const char *variable) {
        _cleanup_free_ char *path = NULL;

        if (access(operation->layout->cache, W_OK) < 0)
                return 0;
        if (asprintf(&path, "%s/offsite", operation->layout->cache) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return set_variable(offsite, variable, path);
}

static int set_all(const struct Operation *operation, struct Offsite *offsite) {
        static const char *const fixed[][2] = {
                { "TZ", "UTC" }, /* of --time */
                { "LC_ALL", "C.UTF-8" },
                { "RESTIC_REPOSITORY_FILE", "" },
                { "RESTIC_PROGRESS_FPS", "1" },
                { "RCLONE_ASK_PASSWORD", "false" },
        };
        char host[HOST_NAME_MAX + 1] = "";
        int r;

        for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
                if (set_variable(offsite, fixed[i][0], fixed[i][1]) < 0)
                        return -ENOMEM;
        /* Not an argument: it may hold a password, and arguments are for all to see. */
        r = set_variable(offsite, "RESTIC_REPOSITORY", offsite->target);
        if (r >= 0)
                r = point_to(offsite, "RESTIC_PASSWORD_FILE", "restic-password");
        if (r >= 0)
                r = point_to(offsite, "RCLONE_CONFIG", "rclone.conf");
        if (r >= 0)
                r = set_cache(operation, offsite, "RESTIC_CACHE_DIR");
        if (r >= 0)
                r = set_cache(operation, offsite, "RCLONE_CACHE_DIR");
        if (r < 0)
                return r;
        (void) gethostname(host, sizeof host - 1);
        offsite->host = strdup(host[0] != '\0' ? host : "localhost");
        return offsite->host ? 0 : -ENOMEM;
}

int offsite_load_settings(
        const struct Operation *operation, struct Offsite *offsite, struct Failure *failure) {
        if (set_all(operation, offsite) < 0)
                return failure_out_of_memory(failure);
        /* Last, so that what stands there wins. */
        return load_environment(offsite, failure);
}

char *offsite_redact(const char *text) {
        char *copy = strdup(text), *at = copy, *scheme;

        while (at && (scheme = strstr(at, "://"))) {
                size_t length = strcspn(scheme + 3, "/ \t\n\"'");
                char *host = memrchr(scheme + 3, '@', length);
                char *colon = host ? memchr(scheme + 3, ':', (size_t) (host - scheme - 3)) : NULL;
                char *longer;

                at = scheme + 3;
                if (!colon)
                        continue;
                if (asprintf(&longer, "%.*s:***%s", (int) (colon - copy), copy, host) < 0)
                        longer = NULL;
                at = longer ? longer + (colon - copy) + 4 : NULL;
                free(copy);
                copy = longer;
        }
        return copy;
}
