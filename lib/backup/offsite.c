/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/offsite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "lib/backup/offsite-engine.h"
#include "lib/backup/offsite-settings.h"
#include "lib/base/digest.h"
#include "lib/base/file-io.h"
#include "lib/base/json-document.h"
#include "lib/base/text.h"

#define JSON_DEPTH 16

/* A list of very many copies; beyond that something else answers. */
#define OUTPUT_MAX ((size_t) 64 << 20)

static const struct OffsiteEngine *const engines[] = { &offsite_restic, &offsite_rclone };

static int choose_engine(struct Offsite *offsite, const char *text) {
        for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++) {
                size_t length = strlen(engines[i]->program);

                if (strncmp(text, engines[i]->program, length) != 0 || text[length] != ':')
                        continue;
                offsite->engine = engines[i];
                offsite->target = strdup(text + length + 1);
                offsite->shown = offsite_redact(text);
                return offsite->target && offsite->shown ? 0 : -ENOMEM;
        }
        return -EINVAL;
}

int offsite_open(
        const struct Operation *operation, struct Offsite **ret_offsite, struct Failure *failure) {
        _cleanup_offsite_ struct Offsite *offsite = calloc(1, sizeof *offsite);
        const char *text = operation->config->offsite;
        int r;

        if (!offsite)
                return failure_out_of_memory(failure);
        if (text[0] == '\0')
                return failure_set(failure, EVENT_CONFIG_INVALID, EINVAL, NULL,
                        "No place off this machine is configured; set offsite= in the "
                        "configuration, see atocore.conf(5)");
        r = choose_engine(offsite, text);
        if (r == -EINVAL) /* config.c takes no other */
                return failure_set(failure, EVENT_INTERNAL_ERROR, EINVAL, NULL,
                        "Nothing here knows offsite=%s; please report this", text);
        if (r < 0)
                return failure_out_of_memory(failure);
        r = offsite_load_settings(operation, offsite, failure);
        if (r < 0)
                return r;
        *ret_offsite = STEAL(offsite);
        return 0;
}

struct Offsite *offsite_free(struct Offsite *offsite) {
        if (!offsite)
                return NULL;
        for (size_t i = 0; i < offsite->n_environment; i++)
                free(offsite->environment[i]);
        free(offsite->environment);
        free(offsite->target);
        free(offsite->shown);
        free(offsite->host);
        free(offsite);
        return NULL;
}

const char *offsite_noun(const struct Offsite *offsite) {
        return offsite->engine->noun;
}

bool offsite_takes_archives(const struct Offsite *offsite) {
        return offsite->engine->archives;
}

void offsite_copy_clear(struct OffsiteCopy *copy) {
        free(copy->name);
        free(copy->id);
        free(copy->host);
        *copy = (struct OffsiteCopy){ 0 };
}

struct OffsiteList *offsite_list_free(struct OffsiteList *list) {
        if (!list)
                return NULL;
        for (size_t i = 0; i < list->n_copies; i++)
                offsite_copy_clear(&list->copies[i]);
        free(list->copies);
        free(list);
        return NULL;
}

int offsite_parse_array(const struct Offsite *offsite, const char *text, const char *command,
        json_object **ret_array, struct Failure *failure) {
        _cleanup_json_ json_object *array = NULL;
        _cleanup_free_ char *problem = NULL;
        int r = json_document_parse(text, strlen(text), JSON_DEPTH, &array, &problem);

        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0 || (array && !json_object_is_type(array, json_type_array)))
                return failure_set(failure, EVENT_OFFSITE_FAILED, EBADMSG, offsite->shown,
                        "Cannot understand what `%s` lists of %s: %s; run it there by hand",
                        command, offsite->shown, problem ? problem : "no array");
        *ret_array = STEAL(array);
        return 0;
}

struct OffsiteCopy *offsite_list_add(struct OffsiteList *list) {
        struct OffsiteCopy *grown =
                reallocarray(list->copies, list->n_copies + 1, sizeof *list->copies);

        if (!grown)
                return NULL;
        list->copies = grown;
        grown += list->n_copies++;
        *grown = (struct OffsiteCopy){ 0 };
        return grown;
}

/* Of several copies of one name this host's own come first; the rest of the order is any. */
static int compare_copies(const void *a, const void *b) {
        const struct OffsiteCopy *left = a, *right = b;
        int r = strcmp(left->name, right->name);

        if (r == 0)
                r = (int) right->own - (int) left->own;
        return r != 0 ? r : strcmp(left->id, right->id);
}

int offsite_list(const struct Offsite *offsite, const struct Operation *operation,
        struct OffsiteList **ret_list, struct Failure *failure) {
        _cleanup_offsite_list_ struct OffsiteList *list = calloc(1, sizeof *list);
        int r;

        if (!list)
                return failure_out_of_memory(failure);
        r = offsite->engine->list(offsite, operation, list, failure);
        if (r < 0)
                return r;
        if (list->n_copies > 1)
                qsort(list->copies, list->n_copies, sizeof *list->copies, compare_copies);
        *ret_list = STEAL(list);
        return 0;
}

const struct OffsiteCopy *offsite_list_find(
        const struct OffsiteList *list, const char *name, bool any) {
        for (size_t i = 0; i < list->n_copies; i++)
                if (strcmp(list->copies[i].name, name) == 0 && (any || list->copies[i].own))
                        return &list->copies[i];
        return NULL;
}

int offsite_prepare(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteList *list, struct Failure *failure) {
        return offsite->engine->prepare(offsite, operation, list, failure);
}

int offsite_send(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, struct Failure *failure) {
        return offsite->engine->send(offsite, operation, item, failure);
}

int offsite_verify(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, const struct OffsiteCopy *copy, struct Failure *failure) {
        return offsite->engine->verify(offsite, operation, item, copy, failure);
}

int offsite_fetch(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *copy, int fd, struct Failure *failure) {
        return offsite->engine->fetch(offsite, operation, copy, fd, failure);
}

int offsite_remove(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *const *copies, size_t n, struct Failure *failure) {
        return offsite->engine->remove(offsite, operation, copies, n, failure);
}

/* Running the program. */

int offsite_start(const struct Offsite *offsite, const struct Operation *operation,
        const char *const *arguments, const char *directory, struct Subprocess **ret_child,
        struct Failure *failure) {
        const char *program = offsite->engine->program;
        const struct SubprocessCommand command = {
                .arguments = arguments,
                .environment = offsite->environment,
                .directory = directory,
                .last_words = offsite->engine->unreachable,
        };
        int r = subprocess_start(operation, &command, ret_child, failure);

        if (r == -ENOENT && !failure_is_set(failure))
                return failure_set(failure, EVENT_OFFSITE_FAILED, ENOENT, offsite->shown,
                        "There is no program %s to reach %s with; install it: apt install %s",
                        program, offsite->shown, program);
        return r;
}

/* The same whatever the program says is wrong. */
static const char *advice(const char *complaint) {
        static const struct {
                const char *sign, *advice;
        } known[] = {
                { "wrong password", "check the credential restic-password" },
                { "empty password", "set the credential restic-password" },
                { "Please specify repository", "set the credential restic-password" },
                { "didn't find section in config", "check the credential rclone.conf" },
                { "locked",
                        "another program works on it, or one has died there; it is tried again "
                        "with the next run" },
        };

        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
                if (strstr(complaint, known[i].sign))
                        return known[i].advice;
        return "check that it can be reached and what it allows; what is not there yet is sent "
               "with the next run";
}

int offsite_failed(const struct Offsite *offsite, const struct Subprocess *child, int status,
        const char *doing, struct Failure *failure) {
        _cleanup_free_ char *complaint = offsite->engine->complaint(subprocess_words(child));
        _cleanup_free_ char *open = complaint ? offsite_redact(complaint) : NULL;
        _cleanup_free_ char *text = open ? text_escape(open) : NULL;

        if (!text)
                return failure_out_of_memory(failure);
        if (text[0] == '\0')
                return failure_set(failure, EVENT_OFFSITE_FAILED, EREMOTEIO, offsite->shown,
                        "Cannot %s %s: %s ended with %d and without a word; %s", doing,
                        offsite->shown, offsite->engine->program, status, advice(text));
        return failure_set(failure, EVENT_OFFSITE_FAILED, EREMOTEIO, offsite->shown,
                "Cannot %s %s: %s: %s; %s", doing, offsite->shown, offsite->engine->program, text,
                advice(text));
}

static int read_output(struct Subprocess *child, char **ret_output, struct Failure *failure) {
        _cleanup_free_ char *output = NULL;
        size_t size = 0, allocated = 0;

        for (;;) {
                ssize_t n;

                if (allocated - size < IO_BUFFER_SIZE / 2) {
                        char *grown = realloc(output, allocated + IO_BUFFER_SIZE + 1);

                        if (!grown)
                                return failure_out_of_memory(failure);
                        output = grown;
                        allocated += IO_BUFFER_SIZE;
                }
                n = subprocess_read(child, output + size, allocated - size, failure);
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                size += (size_t) n;
                if (size > OUTPUT_MAX)
                        return -EFBIG;
        }
        output[size] = '\0';
        *ret_output = STEAL(output);
        return 0;
}

int offsite_capture(const struct Offsite *offsite, const struct Operation *operation,
        const char *const *arguments, const char *doing, char **ret_output, int *ret_status,
        struct Failure *failure) {
        _cleanup_subprocess_ struct Subprocess *child = NULL;
        _cleanup_free_ char *output = NULL;
        int status, r;

        r = offsite_start(offsite, operation, arguments, NULL, &child, failure);
        if (r < 0)
                return r;
        r = read_output(child, &output, failure);
        if (r == -EFBIG && !failure_is_set(failure))
                return failure_set(failure, EVENT_OFFSITE_FAILED, EFBIG, offsite->shown,
                        "Cannot %s %s: %s does not stop talking; run it by hand", doing,
                        offsite->shown, offsite->engine->program);
        if (r >= 0)
                r = subprocess_finish(child, &status, failure);
        if (r < 0)
                return r;
        if (ret_status)
                *ret_status = status;
        if (status != 0) {
                r = offsite_failed(offsite, child, status, doing, failure);
                if (!ret_status || r == -ENOMEM)
                        return r;
        }
        if (ret_output)
                *ret_output = STEAL(output);
        return 0;
}

int offsite_receive(const struct Operation *operation, struct Subprocess *child, int fd,
        const char *what, uint64_t total, char ret_digest[], uint64_t *ret_bytes,
        struct Failure *failure) {
        _cleanup_digest_ struct Digest *digest = NULL;
        _cleanup_free_ char *buffer = io_buffer_new(IO_BUFFER_SIZE);
        uint64_t bytes = 0;

        if (!buffer || digest_new(&digest) < 0)
                return failure_out_of_memory(failure);
        for (;;) {
                ssize_t n = subprocess_read(child, buffer, IO_BUFFER_SIZE, failure);
                int r;

                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                if (digest_update(digest, buffer, (size_t) n) < 0)
                        return failure_set(failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                                "SHA-256 failed; please report this");
                r = fd >= 0 ? write_all(fd, buffer, (size_t) n) : 0;
                if (r < 0)
                        return failure_set_write(
                                failure, -r, operation->layout->archives, "write a file in");
                bytes += (uint64_t) n;
                operation_progress(operation, what, bytes, total);
        }
        if (digest_finish(digest, ret_digest) < 0)
                return failure_set(failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                        "SHA-256 failed; please report this");
        *ret_bytes = bytes;
        return 0;
}

int offsite_mismatch(const struct Offsite *offsite, const struct OffsiteCopy *copy,
        const char *problem, struct Failure *failure) {
        _cleanup_free_ char *text = text_escape(problem);

        failure_set_stamp(failure, copy->stamp);
        return failure_set(failure, EVENT_OFFSITE_MISMATCH, 0, offsite->shown,
                "The copy of %s in %s is not what was sent: %s; do not rely on it, and check the "
                "storage there",
                copy->name, offsite->shown, text ? text : "?");
}
