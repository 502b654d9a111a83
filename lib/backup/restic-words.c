/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/restic-words.h"

#include <string.h>

#include "lib/base/json-document.h"

#define JSON_DEPTH    16
#define NO_REPOSITORY 10 /* exit status of restic 0.17 and later */
#define PANICKED      2  /* exit status of a program in Go */

char *restic_complaint(const char *words) {
        static const char fatal[] = "Fatal: ", locked[] = "unable to create lock", reason[] = ": ",
                          panic[] = "panic: ";
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *line = NULL, *problem = NULL;
        const char *start = strstr(words, RESTIC_UNREACHABLE), *end;
        json_object *message;

        if (start && (start = strstr(start, reason)))
                start += strlen(reason);
        else if ((start = strstr(words, fatal)))
                start += strlen(fatal);
        else if (!(start = strstr(words, locked)) && !(start = strstr(words, panic))) {
                end = words + strlen(words);
                while (end > words && end[-1] == '\n')
                        end--;
                start = memrchr(words, '\n', (size_t) (end - words));
                start = start ? start + 1 : words;
        }
        line = strndup(start, strcspn(start, "\n"));
        if (!line)
                return NULL;
        /* As --json has it. */
        if (line[0] == '{' &&
                json_document_parse(line, strlen(line), JSON_DEPTH, &object, &problem) >= 0 &&
                json_object_object_get_ex(object, "message", &message) &&
                json_object_is_type(message, json_type_string))
                return strdup(json_object_get_string(message));
        return STEAL(line);
}

bool restic_says_absent(int status, const char *message) {
        static const char *const signs[] = { "no such file or directory", "does not exist",
                "doesn't exist", "(404)", "NoSuchKey" };

        if (status == NO_REPOSITORY)
                return true;
        if (!strstr(message, "unable to open config file"))
                return false;
        for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
                if (strstr(message, signs[i]))
                        return true;
        return false;
}

bool restic_says_damaged(const char *words) {
        static const char *const signs[] = { "verification failed", "does not match",
                "invalid data returned", "no such file or directory", "does not exist", "(404)",
                "not found in index" };

        for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
                if (strstr(words, signs[i]))
                        return true;
        return false;
}

bool restic_has_panicked(int status, const char *words) {
        return status == PANICKED && strstr(words, "\ngoroutine ");
}
