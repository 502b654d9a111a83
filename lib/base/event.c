/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/event.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

/* The fields CODE_FILE, CODE_LINE and CODE_FUNC would all point into this file. */
#define SD_JOURNAL_SUPPRESS_LOCATION 1
#include <systemd/sd-journal.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define FLUSH_MS       5000

/* Set once by event_setup(), before there are threads. */
static struct {
        const char *identifier;
        enum Verbosity verbosity;
        bool colour;
        bool stderr_is_journal; /* lines written there may begin with a priority: "<3>" */
        bool journal;           /* and its socket for structured entries is there */
        void (*line_hook)(void);
} sink = { .verbosity = VERBOSITY_NORMAL };

/* $JOURNAL_STREAM is "device:inode" of the socket that systemd gave us as stdout or stderr; the
 * variable is inherited beyond redirections, hence the comparison (systemd.exec(5)). */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device, inode;
        struct stat status;
        int end = 0;

        if (!stream || sscanf(stream, "%" SCNuMAX ":%" SCNuMAX "%n", &device, &inode, &end) != 2)
                return false;
        if (stream[end] != '\0' || fstat(STDERR_FILENO, &status) < 0)
                return false;
        return status.st_dev == device && status.st_ino == inode;
}

static bool stderr_takes_colour(void) {
        const char *no_colour = getenv("NO_COLOR"); /* https://no-color.org */
        const char *terminal = getenv("TERM");

        if (no_colour && no_colour[0] != '\0')
                return false;
        return terminal && strcmp(terminal, "dumb") != 0 && isatty(STDERR_FILENO);
}

void event_setup(const char *identifier, enum Verbosity verbosity) {
        sink.identifier = identifier;
        sink.verbosity = verbosity;
        sink.colour = stderr_takes_colour();
        sink.stderr_is_journal = stderr_is_journal();
        /* Without the socket (a private root directory) sd_journal_sendv() succeeds and sends
         * nothing. */
        sink.journal = sink.stderr_is_journal && access(JOURNAL_SOCKET, W_OK) == 0;
}

void event_set_line_hook(void (*hook)(void)) {
        sink.line_hook = hook;
}

static const char *identifier(void) {
        return sink.identifier ? sink.identifier : program_invocation_short_name;
}

/* The journal. */

#define FIXED_FIELDS 8

struct Fields {
        struct iovec *vector;
        size_t n;
};

static void fields_clear(struct Fields *fields) {
        for (size_t i = 0; i < fields->n; i++)
                free(fields->vector[i].iov_base);
        free(fields->vector);
}

/* False when memory ran out. */
__attribute__((format(printf, 2, 3))) static bool fields_add(
        struct Fields *fields, const char *format, ...) {
        char *text = NULL;
        va_list arguments;
        int length;

        va_start(arguments, format);
        length = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (length < 0)
                return false;

        fields->vector[fields->n++] =
                (struct iovec){ .iov_base = text, .iov_len = (size_t) length };
        return true;
}

static const char *code_of(const struct Event *event) {
        return event->code ? event->code : event_code(event->id);
}

/* False when the entry did not get there. MESSAGE is the line that people read: what could not be
 * shown is escaped there (`text`), the fields carry the very bytes. */
static bool send_to_journal(const struct Event *event, int priority, const char *text) {
        _cleanup_(fields_clear) struct Fields fields = { 0 };
        bool whole;

        fields.vector = calloc(FIXED_FIELDS + event->n_numbers, sizeof *fields.vector);
        if (!fields.vector)
                return false;

        whole = fields_add(&fields, "MESSAGE=%s", text) &&
                fields_add(&fields, "PRIORITY=%d", priority) &&
                fields_add(&fields, "SYSLOG_IDENTIFIER=%s", identifier());
        if (event->id != EVENT_NONE)
                whole = whole &&
                        fields_add(&fields, "MESSAGE_ID=%s", event_message_id(event->id)) &&
                        fields_add(&fields, "ATOCORE_CODE=%s", code_of(event));
        if (event->stamp)
                whole = whole && fields_add(&fields, "ATOCORE_STAMP=%s", event->stamp);
        if (event->path)
                whole = whole && fields_add(&fields, "ATOCORE_PATH=%s", event->path);
        if (event->error != 0)
                whole = whole && fields_add(&fields, "ERRNO=%d", event->error);
        for (size_t i = 0; i < event->n_numbers; i++)
                whole = whole &&
                        fields_add(&fields, "%s=%" PRIu64, event->numbers[i].name,
                                event->numbers[i].value);

        return whole && sd_journal_sendv(fields.vector, (int) fields.n) >= 0;
}

/*
 * journald takes its datagrams in order, and asks /proc for unit and user of a sender when it comes
 * to his: a sender that is gone by then has none, and `journalctl -u` does not show what he said.
 * So one more datagram, a comment, is sent: once it has left our socket, all before it was read.
 * The socket's buffer is so small that the datagram fills it, and poll(2) tells when it is gone.
 */
void event_flush(void) {
        _cleanup_close_ int fd = -1;
        const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        const int smallest = 0;
        char comment[2048] = "#";
        struct pollfd taken = { .events = POLLOUT };

        if (!sink.journal)
                return;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest) < 0 ||
                connect(fd, (const struct sockaddr *) &address, sizeof address) < 0)
                return; /* the entries are there, at worst without their unit */

        memset(comment + 1, ' ', sizeof comment - 2);
        comment[sizeof comment - 1] = '\n';
        taken.fd = fd;
        if (poll(&taken, 1, FLUSH_MS) > 0 && send(fd, comment, sizeof comment, MSG_NOSIGNAL) > 0)
                (void) poll(&taken, 1, FLUSH_MS);
}

/* Lines on stderr. */

static const char *colour_of(int priority) {
        if (!sink.colour || priority > LOG_WARNING)
                return "";
        return priority == LOG_WARNING ? "\x1b[33m" : "\x1b[1;31m";
}

static bool is_shown(int priority) {
        switch (sink.verbosity) {
        case VERBOSITY_QUIET:
                return priority <= LOG_WARNING;
        case VERBOSITY_NORMAL:
                return priority <= LOG_INFO;
        default:
                return true;
        }
}

/* One system call, so that lines of several threads and processes do not mix, and no allocation:
 * this must work when memory ran out. Nobody is left to tell when stderr itself fails. */
static void write_line(const struct Event *event, int priority, const char *text) {
        const char *colour = colour_of(priority);
        bool has_code = event->id != EVENT_NONE;
        const char level[] = { '<', (char) ('0' + priority), '>', '\0' };
        const char *const parts[] = {
                sink.stderr_is_journal ? level : "",
                identifier(),
                ": ",
                colour,
                text,
                has_code ? " [" : "",
                has_code ? code_of(event) : "",
                has_code ? "]" : "",
                colour[0] != '\0' ? "\x1b[0m" : "",
                "\n",
        };
        struct iovec vector[sizeof parts / sizeof parts[0]];
        int n = 0;

        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
                vector[n++] = (struct iovec){ (void *) parts[i], strlen(parts[i]) };

        flockfile(stderr); /* progress.c draws under it too */
        if (sink.line_hook)
                sink.line_hook();
        (void) !writev(STDERR_FILENO, vector, n);
        funlockfile(stderr);
}

static void emit(const struct Event *event, int priority, const char *message) {
        _cleanup_free_ char *escaped = NULL;
        const char *text = message;

        /* Names of files come from anywhere: shown as they are they could forge lines and drive
         * the terminal. */
        if (!text_is_printable(message)) {
                escaped = text_escape(message);
                text = escaped ? escaped : code_of(event);
        }
        if (sink.journal && send_to_journal(event, priority, text))
                return;
        if (sink.stderr_is_journal || is_shown(priority))
                write_line(event, priority, text);
}

__attribute__((format(printf, 3, 0))) static void emit_format(
        const struct Event *event, int priority, const char *format, va_list arguments) {
        _cleanup_free_ char *message = NULL;

        if (vasprintf(&message, format, arguments) < 0)
                message = NULL;
        emit(event, priority, message ? message : code_of(event));
}

void event_emit(const struct Event *event, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        errno = event->error; /* what %m reads */
        emit_format(event, event_priority(event->id), format, arguments);
        va_end(arguments);
}

void event_emit_failure(const struct Failure *failure) {
        const struct Event event = {
                .id = failure->event,
                .stamp = failure->stamp[0] != '\0' ? failure->stamp : NULL,
                .path = failure->path,
                .code = failure->code,
                .error = failure->error,
        };

        emit(&event, event_priority(failure->event), failure_message(failure));
}

void event_debug(const char *format, ...) {
        va_list arguments;

        if (!sink.journal && !is_shown(LOG_DEBUG))
                return;
        va_start(arguments, format);
        emit_format(&(struct Event){ .id = EVENT_NONE }, LOG_DEBUG, format, arguments);
        va_end(arguments);
}
