/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/text-stream.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/cleanup.h"

#define FIRST_ALLOCATION ((size_t) 512)

struct TextStream {
        char **ret_text;
        size_t *ret_size;
        char *text;
        size_t size, allocated;
        bool failed; /* for good: a text with a gap is none */
};

/* Room for so many bytes more, and the NUL. */
static int reserve(struct TextStream *stream, size_t more) {
        size_t needed, larger = stream->allocated;
        char *grown;

        if (__builtin_add_overflow(stream->size, more, &needed) ||
                __builtin_add_overflow(needed, 1, &needed))
                return -ENOMEM;
        if (needed <= stream->allocated)
                return 0;
        if (larger == 0)
                larger = FIRST_ALLOCATION;
        while (larger < needed)
                larger = larger > needed / 2 ? needed : larger * 2;
        grown = realloc(stream->text, larger);
        if (!grown)
                return -ENOMEM;
        stream->text = grown;
        stream->allocated = larger;
        return 0;
}

/* 0 is how a cookie's function says that it failed. */
static ssize_t append(void *cookie, const char *data, size_t size) {
        struct TextStream *stream = cookie;

        if (stream->failed || reserve(stream, size) < 0) {
                stream->failed = true;
                errno = ENOMEM;
                return 0;
        }
        memcpy(stream->text + stream->size, data, size);
        stream->size += size;
        return (ssize_t) size;
}

static int finish(void *cookie) {
        _cleanup_free_ struct TextStream *stream = cookie;

        if (stream->failed || reserve(stream, 0) < 0) {
                free(stream->text);
                *stream->ret_text = NULL;
                *stream->ret_size = 0;
                errno = ENOMEM;
                return EOF;
        }
        stream->text[stream->size] = '\0';
        *stream->ret_text = stream->text;
        *stream->ret_size = stream->size;
        return 0;
}

FILE *text_stream_open(char **ret_text, size_t *ret_size) {
        static const cookie_io_functions_t functions = { .write = append, .close = finish };
        struct TextStream *stream = calloc(1, sizeof *stream);
        FILE *file;

        if (!stream)
                return NULL;
        stream->ret_text = ret_text;
        stream->ret_size = ret_size;
        file = fopencookie(stream, "w", functions);
        if (!file)
                free(stream);
        return file;
}
