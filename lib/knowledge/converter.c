/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/converter.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/stamp.h"
#include "lib/base/subprocess.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

#define MIB          (UINT64_C(1) << 20)
#define BUFFER_FIRST ((size_t) 64 << 10)
#define SAID_MAX     200 /* bytes of what a program said that are told */

/* With a heap (+RTS -M) of less than the limit of the process pandoc says that it is full, instead
 * of being aborted. */
#define PANDOC_HEAP        "-M416m"
#define PANDOC_HEAP_STATUS 251

const struct ConverterLimits converter_limits = {
        .confinement = { .memory = 512 * MIB, .cpu_seconds = 30 },
        .milliseconds = 60000,
        .text_max = 16 * MIB, /* as of a file that is text */
};

const struct ConversionKind conversion_kinds[CONVERSION_COUNT] = {
        [CONVERSION_HTML] = { "HTML", "pandoc", "pandoc" },
        [CONVERSION_PDF] = { "PDF", "pdftotext", "poppler-utils" },
        [CONVERSION_DOCX] = { "DOCX", "pandoc", "pandoc" },
        [CONVERSION_ODT] = { "ODT", "pandoc", "pandoc" },
};

/* --sandbox keeps pandoc from following what a document refers to, of which <iframe> it would take
 * in; --standalone is for the title. Containers and raw HTML say nothing that is looked for. */
#define PANDOC(from)                                                                               \
        {                                                                                          \
                "pandoc", "--sandbox", "--quiet", "--standalone", "--wrap=none", "--from=" from,   \
                        "--to=gfm-raw_html+yaml_metadata_block", "+RTS", PANDOC_HEAP, "-RTS", NULL \
        }

static const char *const commands[CONVERSION_COUNT][12] = {
        [CONVERSION_HTML] = PANDOC("html-native_divs-native_spans"),
        [CONVERSION_PDF] = { "pdftotext", "-enc", "UTF-8", "-eol", "unix", "-", "-", NULL },
        [CONVERSION_DOCX] = PANDOC("docx"),
        [CONVERSION_ODT] = PANDOC("odt"),
};

struct Program {
        char *why; /* it is not to be run */
        char *path;
        char *identity; /* NULL: not looked for, or not to be run */
        struct Confinement *confinement;
};

struct Converters {
        const struct ConverterLimits *limits;
        struct Program programs[CONVERSION_COUNT];
};

int converters_new(const struct ConverterLimits *limits, struct Converters **ret_converters) {
        struct Converters *converters = calloc(1, sizeof *converters);

        if (!converters)
                return -ENOMEM;
        converters->limits = limits;
        *ret_converters = converters;
        return 0;
}

struct Converters *converters_free(struct Converters *converters) {
        if (!converters)
                return NULL;
        for (size_t i = 0; i < CONVERSION_COUNT; i++) {
                free(converters->programs[i].why);
                free(converters->programs[i].path);
                free(converters->programs[i].identity);
                (void) confinement_free(converters->programs[i].confinement);
        }
        free(converters);
        return NULL;
}

/* -ENOENT when no directory of PATH has it. */
static int find_in_path(const char *name, char **ret_path, struct stat *ret_status) {
        const char *path = getenv("PATH");
        _cleanup_free_ char *copy = strdup(path ? path : "/usr/bin:/bin");
        char *rest = copy;

        if (!copy)
                return -ENOMEM;
        for (char *directory = strsep(&rest, ":"); directory; directory = strsep(&rest, ":")) {
                _cleanup_free_ char *candidate = NULL;

                if (directory[0] != '/')
                        continue;
                if (asprintf(&candidate, "%s/%s", directory, name) < 0) {
                        candidate = NULL;
                        return -ENOMEM;
                }
                if (stat(candidate, ret_status) == 0 && S_ISREG(ret_status->st_mode) &&
                        access(candidate, X_OK) == 0) {
                        *ret_path = STEAL(candidate);
                        return 0;
                }
        }
        return -ENOENT;
}

static int refuse(struct Program *program, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static int refuse(struct Program *program, const char *format, ...) {
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&program->why, format, arguments);
        va_end(arguments);
        if (r >= 0)
                return 0;
        program->why = NULL;
        return -ENOMEM;
}

/* One that cannot be confined is not run: what anybody may have written is not read by a program
 * that may do all that we may. */
static int look_for(struct Program *program, const struct ConversionKind *kind,
        const struct ConverterLimits *limits) {
        _cleanup_free_ char *path = NULL;
        struct stat status;
        int r;

        r = find_in_path(kind->program, &path, &status);
        if (r == -ENOENT)
                return refuse(program, "%s is not installed; install the package %s", kind->program,
                        kind->package);
        if (r >= 0)
                r = confinement_new(path, &limits->confinement, &program->confinement);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(program,
                        "%s cannot be confined here (%s), and is not run otherwise; use a kernel "
                        "with seccomp filters",
                        kind->program, strerror(-r));
        if (asprintf(&program->identity, "%s %" PRIu64 " %" PRId64 " %" PRId64, path,
                    (uint64_t) status.st_ino, (int64_t) status.st_size,
                    (int64_t) status.st_mtim.tv_sec) < 0) {
                program->identity = NULL;
                return -ENOMEM;
        }
        program->path = STEAL(path);
        return 0;
}

int converters_find(struct Converters *converters, enum Conversion conversion,
        const char **ret_identity, const char **ret_why) {
        struct Program *program = &converters->programs[conversion];
        int r;

        if (!program->identity && !program->why) {
                r = look_for(program, &conversion_kinds[conversion], converters->limits);
                if (r < 0)
                        return r;
        }
        *ret_identity = program->identity;
        *ret_why = program->why;
        return 0;
}

/* One conversion on its way. */
struct Run {
        const struct ConverterLimits *limits;
        enum Conversion conversion;
        struct ConvertedText *text;
        struct Failure *failure;
};

/* Takes the text away, if there was any. */
static int problem(const struct Run *run, bool unknown, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static int problem(const struct Run *run, bool unknown, const char *format, ...) {
        va_list arguments;
        int r;

        free(run->text->text);
        run->text->text = NULL;
        va_start(arguments, format);
        r = vasprintf(&run->text->problem, format, arguments);
        va_end(arguments);
        if (r < 0) {
                run->text->problem = NULL;
                return failure_out_of_memory(run->failure);
        }
        run->text->unknown = unknown;
        return 0;
}

/* The last line of what it said, fit to be told; NULL when it said nothing. The caller frees. */
static int last_words(const struct Subprocess *child, char **ret_said) {
        _cleanup_free_ char *words = strdup(subprocess_words(child));
        const char *line;
        size_t size;

        if (!words)
                return -ENOMEM;
        size = strlen(words);
        while (size > 0 && strchr(" \t\r\n", words[size - 1]))
                words[--size] = '\0';
        if (size == 0) {
                *ret_said = NULL;
                return 0;
        }
        line = strrchr(words, '\n');
        line = line ? line + 1 : words;
        if (strlen(line) > SAID_MAX)
                words[line - words + SAID_MAX] = '\0';
        *ret_said = text_escape(line);
        return *ret_said ? 0 : -ENOMEM;
}

/* All that it writes. 1: that is more than it may. */
static int read_text(const struct Run *run, struct Subprocess *child) {
        struct ConvertedText *text = run->text;
        size_t allocated = 0;
        ssize_t n;

        for (;;) {
                if (text->size == allocated) {
                        allocated = allocated > 0 ? allocated * 2 : BUFFER_FIRST;
                        char *longer = realloc(text->text, allocated);
                        if (!longer)
                                return failure_out_of_memory(run->failure);
                        text->text = longer;
                }
                n = subprocess_read(
                        child, text->text + text->size, allocated - text->size, run->failure);
                if (n <= 0)
                        return (int) n;
                text->size += (size_t) n;
                if (text->size > run->limits->text_max)
                        return 1;
        }
}

static bool has_text(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!strchr(" \t\r\n\f", text[i]))
                        return true;
        return false;
}

/* Pictures that a page bears in itself, as base64, are no words. */
static void drop_data_uris(struct ConvertedText *text) {
        static const char opening[] = "](data:";
        const size_t length = sizeof opening - 1;
        char *from = text->text, *end = text->text + text->size, *to = text->text;

        for (;;) {
                char *uri = memmem(from, (size_t) (end - from), opening, length);
                size_t n = (size_t) ((uri ? uri + length : end) - from);

                memmove(to, from, n);
                to += n;
                if (!uri)
                        break;
                from = uri + length;
                while (from < end && !strchr(") \t\n", *from))
                        from++;
        }
        text->size = (size_t) (to - text->text);
}

/* What pdftotext cannot name in a font's encoding it may write as NUL. */
static void blank_nul(struct ConvertedText *text) {
        for (size_t i = 0; i < text->size; i++)
                if (text->text[i] == '\0')
                        text->text[i] = ' ';
}

static int check_text(const struct Run *run) {
        const struct ConversionKind *kind = &conversion_kinds[run->conversion];
        struct ConvertedText *text = run->text;
        size_t valid;

        blank_nul(text);
        valid = utf8_valid_prefix(text->text, text->size);
        if (valid < text->size)
                return problem(run, false,
                        "cannot be converted: what %s makes of it is not valid UTF-8 (at byte "
                        "%zu); see what %s says of it",
                        kind->program, valid + 1, kind->program);
        if (run->conversion != CONVERSION_PDF)
                drop_data_uris(text);
        if (has_text(text->text, text->size))
                return 0;
        return problem(run, false,
                run->conversion == CONVERSION_PDF
                        ? "holds no text; if its pages are pictures, make them searchable "
                          "(ocrmypdf)"
                        : "holds no text");
}

static int told_limit(const struct Run *run, const char *needs, uint64_t limit, const char *unit) {
        return problem(run, true,
                "cannot be converted: %s needs %s %" PRIu64 " %s; make it smaller, or keep its "
                "text beside it",
                conversion_kinds[run->conversion].program, needs, limit, unit);
}

/* It ended with something else than 0. */
static int told_end(const struct Run *run, int status, const char *said) {
        const struct ConversionKind *kind = &conversion_kinds[run->conversion];
        const struct ConfinementLimits *limits = &run->limits->confinement;

        if (status == 128 + SIGXCPU)
                return told_limit(run, "more processor time than", limits->cpu_seconds, "s");
        if (run->conversion != CONVERSION_PDF && status == PANDOC_HEAP_STATUS)
                return told_limit(run, "more memory than", limits->memory / MIB, "MiB");
        if (run->conversion == CONVERSION_PDF && said && strstr(said, "Incorrect password"))
                return problem(run, false, "is encrypted; keep a copy without a password");
        if (status > 128 && status < 128 + NSIG)
                return problem(run, true,
                        "cannot be converted: %s was ended by signal %d (%s)%s%s; the file may be "
                        "damaged, save it anew",
                        kind->program, status - 128, strsignal(status - 128), said ? ": " : "",
                        said ? said : "");
        return problem(run, false,
                "cannot be converted: %s ended with status %d%s%s; see whether it is damaged or "
                "no %s, and save it anew",
                kind->program, status, said ? ": " : "", said ? said : "", kind->format);
}

static int convert(const struct Run *run, struct Subprocess *child) {
        _cleanup_free_ char *said = NULL;
        int r, status;

        r = read_text(run, child);
        if (r > 0)
                return problem(run, false, "is larger than %zu MiB as text; split it",
                        run->limits->text_max >> 20);
        if (r == 0)
                r = subprocess_finish(child, &status, run->failure);
        if (r == -ETIME)
                return told_limit(run, "longer than", run->limits->milliseconds / 1000, "s");
        if (r < 0)
                return r;
        if (last_words(child, &said) < 0)
                return failure_out_of_memory(run->failure);
        if (status != 0)
                return told_end(run, status, said);
        r = check_text(run);
        if (r >= 0 && !run->text->problem)
                run->text->warning = STEAL(said);
        return r;
}

/* What keeps it from being started is no fault of the file's. */
static int not_started(const struct Run *run, int error, const struct Failure *why) {
        int r;

        if (error == -ENOMEM)
                return failure_out_of_memory(run->failure);
        errno = -error;
        r = problem(run, true, "cannot be converted: %s",
                failure_is_set(why) ? failure_message(why) : strerror(-error));
        run->text->passing = true;
        return r;
}

int converters_run(struct Converters *converters, const struct Operation *operation,
        enum Conversion conversion, int fd, struct ConvertedText **ret_text,
        struct Failure *failure) {
        /* Nothing of ours: HOME is looked for, and LANG is what makes text UTF-8. */
        static char *const environment[] = { (char *) "PATH=/usr/bin:/bin", (char *) "HOME=/",
                (char *) "LC_ALL=C.UTF-8", NULL };
        const struct Program *program = &converters->programs[conversion];
        _cleanup_converted_text_ struct ConvertedText *text = calloc(1, sizeof *text);
        _cleanup_subprocess_ struct Subprocess *child = NULL;
        const char *arguments[sizeof commands[0] / sizeof commands[0][0]];
        struct Failure why = { 0 };
        int r;

        if (!text)
                return failure_out_of_memory(failure);
        memcpy(arguments, commands[conversion], sizeof arguments);
        arguments[0] = program->path;

        const struct Run run = { converters->limits, conversion, text, failure };
        const struct SubprocessCommand command = {
                .arguments = arguments,
                .environment = environment,
                .directory = "/",
                .input = fd,
                .confinement = program->confinement,
                .deadline = monotonic_ms() + converters->limits->milliseconds,
        };
        r = lseek(fd, 0, SEEK_SET) < 0 ? -errno
                                       : subprocess_start(operation, &command, &child, &why);
        r = r < 0 ? not_started(&run, r, &why) : convert(&run, child);
        failure_clear(&why);
        if (r < 0)
                return r;
        *ret_text = STEAL(text);
        return 0;
}

void converted_title(char *title) {
        char *to = title;

        for (const char *from = title; *from; from++) {
                if (*from == '\\' && ispunct((unsigned char) from[1]))
                        from++;
                *to++ = *from;
        }
        *to = '\0';
}

struct ConvertedText *converted_text_free(struct ConvertedText *text) {
        if (!text)
                return NULL;
        free(text->text);
        free(text->warning);
        free(text->problem);
        free(text);
        return NULL;
}
