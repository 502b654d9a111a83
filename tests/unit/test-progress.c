/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/event.h"
#include "lib/command/progress.h"
#include "tests/unit/capture.h"
#include "tests/unit/terminal.h"

#define COLUMNS 60
#define GIB     (UINT64_C(1) << 30)
#define ERASE   "\r\x1b[K"

/* Time stands still until a test moves it: this stands before the library's. */
static uint64_t now = 1000;

uint64_t monotonic_ms(void);
uint64_t monotonic_ms(void) {
        return __atomic_load_n(&now, __ATOMIC_RELAXED);
}

/* No bar of the test before is in the way. */
static struct Terminal start(unsigned short columns) {
        now += 1000;
        return terminal_start(columns);
}

static char *end(struct Terminal *terminal) {
        progress_clear();
        return terminal_end(terminal);
}

static void test_elsewhere_than_on_a_terminal_there_is_no_bar(void **state) {
        struct Capture capture = capture_start(STDERR_FILENO);
        _cleanup_free_ char *text = NULL;

        (void) state;
        progress_enable();
        progress_update("Step", 1, 2);
        progress_clear();
        text = capture_end(&capture);
        assert_string_equal(text, "");
}

static void test_a_dumb_terminal_has_no_bar(void **state) {
        struct Terminal terminal = start(COLUMNS);
        _cleanup_free_ char *text = NULL;

        (void) state;
        (void) setenv("TERM", "dumb", 1);
        progress_enable();
        progress_update("Step", 1, 2);
        text = end(&terminal);
        (void) setenv("TERM", "xterm", 1);
        assert_string_equal(text, "");
}

static void test_a_step_shows_what_it_counts(void **state) {
        static const struct {
                const char *what;
                uint64_t done, total;
                const char *line;
        } cases[] = {
                { "Copying, bytes", GIB / 2, 2 * GIB,
                        "Copying [=====                 ]  25 % 512.0 MiB of 2.0 GiB" },
                { "Copying the database, bytes", GIB / 2, 2 * GIB,
                        "Copying the database  25 % 512.0 MiB of 2.0 GiB" },
                { "Copying, bytes", 5, 0, "Copying 5 B" },
                { "Reading the vault, files", 30, 40,
                        "Reading the vault [=============     ]  75 % 30 of 40 files" },
                { "Reading, files", 30, 0, "Reading 30 files" },
                { "Checking", 0, 0, "Checking" },
                { "Checking", 7, 0, "Checking 7" },
                { "Checking", 3, 3, "Checking [==========================================] 100 %" },
                { "Checking", 9, 3, "Checking [==========================================] 100 %" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct Terminal terminal = start(COLUMNS);
                _cleanup_free_ char *text = NULL, *expected = NULL;

                progress_enable();
                progress_update(cases[i].what, cases[i].done, cases[i].total);
                text = end(&terminal);
                assert_true(asprintf(&expected, ERASE "%s" ERASE, cases[i].line) > 0);
                assert_string_equal(text, expected);
        }
}

static void test_no_line_is_wider_than_the_terminal(void **state) {
        (void) state;
        for (unsigned short columns = 1; columns < 200; columns++) {
                struct Terminal terminal = start(columns);
                _cleanup_free_ char *text = NULL;

                progress_enable();
                progress_update("Copying a thing with a long name, bytes", GIB, 3 * GIB);
                text = end(&terminal);
                assert_true(strlen(text) - 2 * strlen(ERASE) < columns);
        }
}

static void test_the_bar_is_drawn_at_most_ten_times_a_second(void **state) {
        struct Terminal terminal = start(COLUMNS);
        _cleanup_free_ char *text = NULL;
        int drawn = 0;

        (void) state;
        progress_enable();
        for (uint64_t i = 0; i < 1000; i++, now++)
                progress_update("Step", i, 1000);
        text = end(&terminal);
        for (const char *p = text; (p = strstr(p, "Step")); p++)
                drawn++;
        assert_int_equal(drawn, 10);
}

static void test_an_event_line_replaces_the_bar(void **state) {
        struct Terminal terminal = start(COLUMNS);
        _cleanup_free_ char *text = NULL;

        (void) state;
        (void) setenv("NO_COLOR", "1", 1);
        event_setup("atocore-test", VERBOSITY_NORMAL);
        progress_enable();
        progress_update("Step", 1, 0);
        event_emit(&(struct Event){ .id = EVENT_BACKUP_WARNING }, "one");
        event_emit(&(struct Event){ .id = EVENT_BACKUP_WARNING }, "two");
        text = end(&terminal);
        assert_string_equal(text,
                ERASE "Step 1" ERASE "atocore-test: one [backup_warning]\r\n"
                      "atocore-test: two [backup_warning]\r\n");
}

static void *update_often(void *userdata) {
        (void) userdata;
        for (uint64_t i = 0; i < 1000; i++) {
                (void) __atomic_add_fetch(&now, 100, __ATOMIC_RELAXED);
                progress_update("S", i, 0);
                progress_clear();
        }
        return NULL;
}

static void *discard(void *userdata) {
        char buffer[4096];

        while (read(*(int *) userdata, buffer, sizeof buffer) > 0)
                ;
        return NULL;
}

static void test_events_and_bars_of_several_threads_do_not_mix(void **state) {
        struct Capture capture;
        struct Terminal terminal = start(COLUMNS);
        pthread_t threads[3], reader;
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        (void) state;
        progress_enable(); /* on the terminal; what comes then is looked at in a file */
        (void) pthread_create(&reader, NULL, discard, &terminal.master);
        capture = capture_start(STDERR_FILENO);
        event_setup("atocore-test", VERBOSITY_NORMAL);
        for (int i = 0; i < 3; i++)
                (void) pthread_create(&threads[i], NULL, update_often, NULL);
        for (int i = 0; i < 200; i++)
                event_emit(&(struct Event){ .id = EVENT_BACKUP_WARNING }, "event");
        for (int i = 0; i < 3; i++)
                (void) pthread_join(threads[i], NULL);
        text = capture_end(&capture);
        (void) close(terminal.slave);
        (void) dup2(terminal.saved, STDERR_FILENO); /* the last of the terminal: its reader ends */
        (void) pthread_join(reader, NULL);
        (void) close(terminal.saved);
        (void) close(terminal.master);

        for (char *p = text; (p = strstr(p, "atocore-test: event [backup_warning]\n")); p++, n++)
                assert_true(p == text || strchr("\nK", p[-1])); /* alone on its line */
        assert_int_equal(n, 200);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_elsewhere_than_on_a_terminal_there_is_no_bar),
                cmocka_unit_test(test_a_dumb_terminal_has_no_bar),
                cmocka_unit_test(test_a_step_shows_what_it_counts),
                cmocka_unit_test(test_no_line_is_wider_than_the_terminal),
                cmocka_unit_test(test_the_bar_is_drawn_at_most_ten_times_a_second),
                cmocka_unit_test(test_an_event_line_replaces_the_bar),
                cmocka_unit_test(test_events_and_bars_of_several_threads_do_not_mix),
        };

        (void) setenv("TERM", "xterm", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
