/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Documents that are no text → text, by the programs that Debian has for it: pandoc makes Markdown
 * of HTML, DOCX and ODT, as it is the one that keeps headings, lists and tables of all three;
 * pdftotext (poppler) makes lines of PDF, whose pages end with a form feed. Both read the file from
 * a descriptor, are confined (confinement.h) and have a deadline. Neither must be installed.
 *
 * To see what is cited: `pdftotext -enc UTF-8 -eol unix - - <a.pdf`, and for pandoc the arguments
 * in converter.c.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/confinement.h"
#include "lib/base/failure.h"
#include "lib/base/operation.h"

enum Conversion {
        CONVERSION_NONE, /* it is text */
        CONVERSION_HTML,
        CONVERSION_PDF,
        CONVERSION_DOCX,
        CONVERSION_ODT,
        CONVERSION_COUNT,
};

struct ConversionKind {
        const char *format;  /* "PDF" */
        const char *program; /* "pdftotext" */
        const char *package; /* "poppler-utils", of Debian */
};

extern const struct ConversionKind conversion_kinds[CONVERSION_COUNT];

struct ConverterLimits {
        struct ConfinementLimits confinement;
        uint64_t milliseconds; /* from start to end */
        size_t text_max;       /* bytes that it may write */
};

extern const struct ConverterLimits converter_limits;

/* Those of one run: a program is looked for in PATH once, when it is first needed. */
struct Converters;

/* `limits` must outlive it. -ENOMEM. */
int converters_new(const struct ConverterLimits *limits, struct Converters **ret_converters);
struct Converters *converters_free(struct Converters *converters);
DEFINE_POINTER_CLEANUP(struct Converters *, converters_free)
#define _cleanup_converters_ _cleanup_(converters_freep)

/* Which program it would be, in a form to be compared: another version of it differs. *ret_identity
 * is NULL when there is none that may be run, and *ret_why then says why, and what to do. -ENOMEM.
 */
int converters_find(struct Converters *converters, enum Conversion conversion,
        const char **ret_identity, const char **ret_why);

struct ConvertedText {
        char *text; /* valid UTF-8 without NUL bytes, not NUL-terminated; NULL: there is a problem
                     */
        size_t size;
        char *warning; /* what the program complained of while it made the text, or NULL */
        char *problem; /* why there is none: "is encrypted; …" */
        bool unknown;  /* the program did not come to its end: what it was before may be true */
        bool passing;  /* of this run, not of the file: the next may fare better */
};

/* `fd` is read from its start. What goes wrong with the file or the program is a problem in the
 * result. OUT_OF_MEMORY, INTERRUPTED. converters_find() has found the program. */
int converters_run(struct Converters *converters, const struct Operation *operation,
        enum Conversion conversion, int fd, struct ConvertedText **ret_text,
        struct Failure *failure);
/* The title that pandoc gives in front matter is Markdown: makes it, in place, what it says. */
void converted_title(char *title);
struct ConvertedText *converted_text_free(struct ConvertedText *text);
DEFINE_POINTER_CLEANUP(struct ConvertedText *, converted_text_free)
#define _cleanup_converted_text_ _cleanup_(converted_text_freep)
