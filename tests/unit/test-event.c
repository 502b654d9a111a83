/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "lib/base/event.h"
#include "tests/unit/capture.h"
#include "tests/unit/terminal.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* The journal, as far as event.c sees it: these stand before those of the libraries. */

static char *entry; /* fields of the last entry, one a line; NUL and newline as ^ */
static int journal_reply;
static bool journal_is_there;

int sd_journal_sendv(const struct iovec *vector, int n);
int sd_journal_sendv(const struct iovec *vector, int n) {
        size_t size = 0;
        FILE *stream;

        free(entry);
        entry = NULL;
        stream = open_memstream(&entry, &size);
        for (int i = 0; i < n; i++) {
                const char *text = vector[i].iov_base;

                for (size_t j = 0; j < vector[i].iov_len; j++)
                        (void) fputc(text[j] == '\n' || text[j] == '\0' ? '^' : text[j], stream);
                (void) fputc('\n', stream);
        }
        (void) fclose(stream);
        return journal_reply;
}

int access(const char *path, int mode) {
        if (strcmp(path, JOURNAL_SOCKET) == 0)
                return journal_is_there ? 0 : -1;
        return faccessat(AT_FDCWD, path, mode, 0);
}

static int setup(void **state) {
        (void) state;
        free(entry);
        entry = NULL;
        journal_reply = 0;
        journal_is_there = true;
        (void) unsetenv("JOURNAL_STREAM");
        (void) unsetenv("NO_COLOR");
        (void) setenv("TERM", "xterm", 1);
        event_set_line_hook(NULL);
        return 0;
}

static int teardown(void **state) {
        (void) setup(state);
        return 0;
}

/* $JOURNAL_STREAM says that `fd` is the journal's. */
static void claim_journal(int fd) {
        struct stat status;
        char text[64];

        assert_int_equal(fstat(fd, &status), 0);
        (void) snprintf(
                text, sizeof text, "%ju:%ju", (uintmax_t) status.st_dev, (uintmax_t) status.st_ino);
        (void) setenv("JOURNAL_STREAM", text, 1);
}

static void emit_one_of_each(void) {
        event_emit(&(struct Event){ .id = EVENT_LOCK_BUSY }, "error");
        event_emit(&(struct Event){ .id = EVENT_BACKUP_WARNING }, "warning");
        event_emit(&(struct Event){ .id = EVENT_SNAPSHOT_DELETED }, "notice");
        event_emit(&(struct Event){ .id = EVENT_BACKUP_DONE }, "info %d", 3);
        event_debug("debug %d", 4);
}

static char *lines_at(enum Verbosity verbosity) {
        struct Capture capture = capture_start(STDERR_FILENO);

        event_setup("atocore-test", verbosity);
        emit_one_of_each();
        return capture_end(&capture);
}

static void test_an_event_is_one_line_with_program_and_code(void **state) {
        _cleanup_free_ char *text = lines_at(VERBOSITY_NORMAL);

        (void) state;
        assert_string_equal(text,
                "atocore-test: error [lock_busy]\n"
                "atocore-test: warning [backup_warning]\n"
                "atocore-test: notice [snapshot_deleted]\n"
                "atocore-test: info 3 [backup_done]\n");
        assert_null(entry);
}

static void test_quiet_shows_warnings_and_errors_only(void **state) {
        _cleanup_free_ char *text = lines_at(VERBOSITY_QUIET);

        (void) state;
        assert_string_equal(
                text, "atocore-test: error [lock_busy]\natocore-test: warning [backup_warning]\n");
}

static void test_verbose_shows_debug_lines_without_a_code(void **state) {
        _cleanup_free_ char *text = lines_at(VERBOSITY_VERBOSE);

        (void) state;
        assert_non_null(strstr(text, "info 3 [backup_done]\natocore-test: debug 4\n"));
}

static void test_a_name_cannot_forge_a_line_or_drive_the_terminal(void **state) {
        struct Capture capture = capture_start(STDERR_FILENO);
        _cleanup_free_ char *text = NULL;

        (void) state;
        event_setup("atocore-test", VERBOSITY_NORMAL);
        event_emit(&(struct Event){ .id = EVENT_INGEST_FILE_SKIPPED }, "Skipped %s",
                "a\natocore-test: all is well [backup_done]\x1b[2J\xff");
        text = capture_end(&capture);
        assert_string_equal(text,
                "atocore-test: Skipped a\\natocore-test: all is well "
                "[backup_done]\\x1b[2J\\xff [ingest_file_skipped]\n");
}

static void test_a_failure_is_reported_with_its_code(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 }, memory = { 0 };
        struct Capture capture = capture_start(STDERR_FILENO);
        _cleanup_free_ char *text = NULL;

        (void) state;
        event_setup("atocore-test", VERBOSITY_QUIET);
        (void) failure_set(&failure, EVENT_READ_FAILED, EIO, "/a", "Cannot read 100%% of it: %m");
        event_emit_failure(&failure);
        (void) failure_out_of_memory(&memory);
        event_emit_failure(&memory);
        event_emit(&(struct Event){ .id = EVENT_SNAPSHOT_INVALID, .code = "checksum_mismatch" },
                "Broken");
        text = capture_end(&capture);
        assert_non_null(strstr(text,
                "atocore-test: Cannot read 100% of it: Input/output error [read_failed]\n"
                "atocore-test: Memory ran out; "));
        assert_non_null(
                strstr(text, " [out_of_memory]\natocore-test: Broken [checksum_mismatch]\n"));
}

static char *shown_on_terminal(void) {
        struct Terminal terminal = terminal_start(80);

        event_setup("atocore-test", VERBOSITY_NORMAL);
        emit_one_of_each();
        return terminal_end(&terminal);
}

static void test_colour_is_for_terminals_and_for_what_is_wrong(void **state) {
        _cleanup_free_ char *text = shown_on_terminal(), *plain = NULL, *dumb = NULL;

        (void) state;
        assert_non_null(strstr(text, "\x1b[1;31merror [lock_busy]\x1b[0m"));
        assert_non_null(strstr(text, "\x1b[33mwarning [backup_warning]\x1b[0m"));
        assert_non_null(strstr(text, "atocore-test: info 3 [backup_done]"));

        (void) setenv("NO_COLOR", "1", 1);
        plain = shown_on_terminal();
        assert_null(strchr(plain, '\x1b'));

        (void) unsetenv("NO_COLOR");
        (void) setenv("TERM", "dumb", 1);
        dumb = shown_on_terminal();
        assert_null(strchr(dumb, '\x1b'));
}

static void say_hook(void) {
        (void) !write(STDERR_FILENO, "<hook>", 6);
}

static void test_the_hook_comes_before_each_line_and_only_then(void **state) {
        struct Capture capture = capture_start(STDERR_FILENO);
        _cleanup_free_ char *text = NULL;

        (void) state;
        event_setup("atocore-test", VERBOSITY_QUIET);
        event_set_line_hook(say_hook);
        emit_one_of_each();
        text = capture_end(&capture);
        assert_string_equal(text,
                "<hook>atocore-test: error [lock_busy]\n"
                "<hook>atocore-test: warning [backup_warning]\n");
}

#define THREADS 8
#define LINES   200

static void *emit_many(void *userdata) {
        for (int i = 0; i < LINES; i++)
                event_emit(&(struct Event){ .id = EVENT_BACKUP_WARNING }, "%s",
                        (const char *) userdata);
        return NULL;
}

static void test_lines_of_several_threads_stay_whole(void **state) {
        static const char line[] = "abcdefghijklmnopqrstuvwxyz";
        struct Capture capture = capture_start(STDERR_FILENO);
        _cleanup_free_ char *text = NULL;
        pthread_t threads[THREADS];
        size_t n = 0;

        (void) state;
        event_setup("atocore-test", VERBOSITY_NORMAL);
        for (int i = 0; i < THREADS; i++)
                (void) pthread_create(&threads[i], NULL, emit_many, (void *) line);
        for (int i = 0; i < THREADS; i++)
                (void) pthread_join(threads[i], NULL);
        text = capture_end(&capture);

        for (char *rest = text, *one; (one = strsep(&rest, "\n")) && *one != '\0'; n++)
                assert_string_equal(
                        one, "atocore-test: abcdefghijklmnopqrstuvwxyz [backup_warning]");
        assert_int_equal(n, THREADS * LINES);
}

static void test_in_a_unit_an_event_is_one_structured_entry(void **state) {
        const struct EventNumber numbers[] = { { "ATOCORE_BYTES", 1234567890123 },
                { "ATOCORE_FILES", 0 } };
        const struct Event event = {
                .id = EVENT_NO_SPACE,
                .stamp = "20260407T060000Z",
                .path = "/a\nb",
                .error = ENOSPC,
                .numbers = numbers,
                .n_numbers = 2,
        };
        struct Capture capture = capture_start(STDERR_FILENO);
        _cleanup_free_ char *text = NULL;

        (void) state;
        claim_journal(STDERR_FILENO);
        event_setup("atocore-test", VERBOSITY_QUIET);
        event_emit(&event, "Disk full: %m at %s", event.path);
        text = capture_end(&capture);
        assert_string_equal(text, "");
        assert_string_equal(entry,
                "MESSAGE=Disk full: No space left on device at /a\\nb\n"
                "PRIORITY=3\n"
                "SYSLOG_IDENTIFIER=atocore-test\n"
                "MESSAGE_ID=af4c7c09e6464e46bb2cf9041d191839\n"
                "ATOCORE_CODE=no_space\n"
                "ATOCORE_STAMP=20260407T060000Z\n"
                "ATOCORE_PATH=/a^b\n"
                "ERRNO=28\n"
                "ATOCORE_BYTES=1234567890123\n"
                "ATOCORE_FILES=0\n");
}

static void test_the_journal_keeps_what_quiet_hides(void **state) {
        struct Capture capture = capture_start(STDERR_FILENO);
        _cleanup_free_ char *text = NULL;

        (void) state;
        claim_journal(STDERR_FILENO);
        event_setup("atocore-test", VERBOSITY_QUIET);
        event_debug("looked at %s", "it");
        text = capture_end(&capture);
        assert_string_equal(
                entry, "MESSAGE=looked at it\nPRIORITY=7\nSYSLOG_IDENTIFIER=atocore-test\n");
}

static void test_stderr_redirected_inside_a_unit_is_not_the_journal(void **state) {
        int other = memfd_create("other", MFD_CLOEXEC); /* on the device of what captures */
        struct Capture capture;
        _cleanup_free_ char *text = NULL;

        (void) state;
        claim_journal(other);
        capture = capture_start(STDERR_FILENO);
        event_setup("atocore-test", VERBOSITY_QUIET);
        emit_one_of_each();
        text = capture_end(&capture);
        (void) close(other);
        assert_null(entry);
        assert_non_null(strstr(text, "atocore-test: error [lock_busy]\n"));
}

static void test_nothing_is_lost_when_the_journal_takes_no_entry(void **state) {
        (void) state;
        for (int i = 0; i < 2; i++) {
                struct Capture capture = capture_start(STDERR_FILENO);
                _cleanup_free_ char *text = NULL;

                claim_journal(STDERR_FILENO);
                journal_is_there = i == 0;
                journal_reply = -ENOBUFS;
                event_setup("atocore-test", VERBOSITY_QUIET);
                event_emit(&(struct Event){ .id = EVENT_LOCK_BUSY }, "error");
                event_emit(&(struct Event){ .id = EVENT_BACKUP_DONE }, "info");
                text = capture_end(&capture);
                /* The journal reads the priority from the front of the line. */
                assert_string_equal(text,
                        "<3>atocore-test: error [lock_busy]\n"
                        "<6>atocore-test: info [backup_done]\n");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_an_event_is_one_line_with_program_and_code, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_quiet_shows_warnings_and_errors_only, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_verbose_shows_debug_lines_without_a_code, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_name_cannot_forge_a_line_or_drive_the_terminal, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_failure_is_reported_with_its_code, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_colour_is_for_terminals_and_for_what_is_wrong, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_hook_comes_before_each_line_and_only_then, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_lines_of_several_threads_stay_whole, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_in_a_unit_an_event_is_one_structured_entry, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_journal_keeps_what_quiet_hides, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_stderr_redirected_inside_a_unit_is_not_the_journal, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_nothing_is_lost_when_the_journal_takes_no_entry, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
