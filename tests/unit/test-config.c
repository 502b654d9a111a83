/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/config.h"
#include "lib/base/file-io.h"

#define PATH_FORMAT "%s/atocore.conf"

static int setup(void **state) {
        char directory[] = "/tmp/atocore-test-config-XXXXXX";

        (void) unsetenv("ATOCORE_ROOT");
        assert_non_null(mkdtemp(directory));
        *state = strdup(directory);
        return 0;
}

static int teardown(void **state) {
        assert_int_equal(remove_tree_at(AT_FDCWD, *state), 0);
        free(*state);
        return 0;
}

static char *write_file(void **state, const char *text, size_t size) {
        char *path = NULL;

        assert_true(asprintf(&path, PATH_FORMAT, (const char *) *state) > 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, path, text, size), 0);
        return path;
}

static struct Config *load(void **state, const char *text) {
        _cleanup_free_ char *path = write_file(state, text, strlen(text));
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Config *config = NULL;

        if (config_load(path, NULL, &config, &failure) < 0)
                fail_msg("%s", failure_message(&failure));
        assert_false(failure_is_set(&failure));
        return config;
}

/* The file is refused at that line (0: as a whole), with that word. */
static void expect_refused(
        void **state, const char *text, size_t size, int line, const char *word) {
        _cleanup_free_ char *path = write_file(state, text, size), *place = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Config *config = NULL;
        const char *message;

        assert_true(asprintf(&place, line > 0 ? "%s:%d: " : "%s", path, line) > 0);
        assert_true(config_load(path, NULL, &config, &failure) < 0);
        message = failure_message(&failure);
        assert_null(config);
        assert_int_equal(failure.event, EVENT_CONFIG_INVALID);
        assert_string_equal(failure.path, path);
        if (!strstr(message, place) || !strstr(message, word))
                fail_msg("no %s, no %s in: %s", place, word, message);
}

static void refuse(void **state, const char *text, int line, const char *word) {
        expect_refused(state, text, strlen(text), line, word);
}

static void test_an_empty_file_gives_the_defaults_of_the_table(void **state) {
        _cleanup_config_ struct Config *config = load(state, "");

        assert_string_equal(config->root, ATOCORE_STORAGE_ROOT);
        assert_null(config->allowed_hosts);
        assert_int_equal(config->retention_daily, 7);
        assert_int_equal(config->retention_weekly, 4);
        assert_int_equal(config->retention_monthly, 6);
        assert_int_equal(config->lock_wait, 600);
        assert_int_equal(config->watch_interval, 600);
}

static void test_all_keys_are_read(void **state) {
        _cleanup_config_ struct Config *config = load(state,
                "# AtoCore\n"
                "; another comment\n"
                "\n"
                "root = /srv/my store/atocore\n"
                "allowed_hosts=dalidou, dalidou.lan,\tnotes.example [fd00::1]\n"
                "retention_daily=0\nretention_weekly=0\nretention_monthly=1000\n"
                "watch_interval=1\n"
                "lock_wait=86400 ; a day\n");

        assert_string_equal(config->root, "/srv/my store/atocore");
        assert_string_equal(config->allowed_hosts[0], "dalidou");
        assert_string_equal(config->allowed_hosts[1], "dalidou.lan");
        assert_string_equal(config->allowed_hosts[2], "notes.example");
        assert_string_equal(config->allowed_hosts[3], "[fd00::1]");
        assert_null(config->allowed_hosts[4]);
        assert_int_equal(config->retention_daily, 0);
        assert_int_equal(config->retention_weekly, 0);
        assert_int_equal(config->retention_monthly, 1000);
        assert_int_equal(config->lock_wait, 86400);
        assert_int_equal(config->watch_interval, 1);
}

static void test_every_default_can_be_written_in_the_file(void **state) {
        for (const struct ConfigKey *key = config_keys; key->name; key++) {
                _cleanup_free_ char *line = NULL;
                _cleanup_config_ struct Config *config = NULL;

                assert_true(asprintf(&line, "%s=%s\n", key->name, key->default_text) > 0);
                config = load(state, line);
                assert_int_equal(config->lock_wait, 600);
        }
}

static void test_files_of_other_editors_are_read(void **state) {
        static const char *const texts[] = {
                "lock_wait=5",                        /* no newline at the end */
                "\xef\xbb\xbflock_wait=5\n",          /* byte order mark */
                "# Windows\r\nlock_wait = 5\r\n\r\n", /* CR LF */
                "  lock_wait\t=\t5  \n",              /* indented, nothing to continue */
                "lock_wait: 5\n",                     /* as Python's configparser writes */
        };

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                _cleanup_config_ struct Config *config = load(state, texts[i]);

                assert_int_equal(config->lock_wait, 5);
        }
}

static void test_allowed_hosts_goes_on_in_indented_lines(void **state) {
        _cleanup_config_ struct Config *config =
                load(state, "allowed_hosts=a,\n  # more\n  b c\n\t[::1]\nlock_wait=5\n");

        assert_string_equal(config->allowed_hosts[0], "a");
        assert_string_equal(config->allowed_hosts[1], "b");
        assert_string_equal(config->allowed_hosts[2], "c");
        assert_string_equal(config->allowed_hosts[3], "[::1]");
        assert_null(config->allowed_hosts[4]);
        assert_int_equal(config->lock_wait, 5);
}

static void test_no_other_key_goes_on_in_an_indented_line(void **state) {
        refuse(state, "root=/srv\n  lock_wait=5\n", 2, "continues root");
        refuse(state, "allowed_hosts=a\n  lock_wait=5\n", 2, "allowed_hosts");
}

static void test_an_unknown_key_is_named_with_its_line(void **state) {
        refuse(state, "# one\n\nretension_daily=7\n", 3, "retension_daily");
        refuse(state, "Root=/srv\n", 1, "Root");
        refuse(state, "=5\n", 1, "unknown key");
}

static void test_a_key_given_twice_names_both_lines(void **state) {
        refuse(state, "lock_wait=1\n# x\nlock_wait=1\n", 3, "line 1");
}

static void test_sections_are_refused(void **state) {
        refuse(state, "[atocore]\nroot=/srv\n", 1, "[atocore]");
        refuse(state, "lock_wait=5\n[empty]\n", 2, "[empty]");
        refuse(state, "  [indented]\n", 1, "[indented]");
        refuse(state, "\xef\xbb\xbf[marked]\n", 1, "[marked]");
        refuse(state, "[open\n", 1, "[open");
}

static void test_a_bad_value_is_named_with_line_and_key(void **state) {
        static const char *const bad[] = { "", "-1", "+1", "1.5", "0x10", "7 days", "1001", "1e2",
                "18446744073709551623", "99999999999999999999999999", "\xd9\xa7", "7 # a week" };

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                _cleanup_free_ char *text = NULL, *named = NULL;

                assert_true(asprintf(&text, "# x\nretention_daily=%s\n", bad[i]) > 0);
                assert_true(asprintf(&named,
                                    "retention_daily: %s; expected is a whole number "
                                    "from 0 to 1000",
                                    bad[i]) > 0);
                refuse(state, text, 2, named);
        }
        refuse(state, "lock_wait=86401\n", 1, "lock_wait");
        refuse(state, "watch_interval=86401\n", 1, "watch_interval");
        refuse(state, "watch_interval=0\n", 1, "from 1 to 86400");
        refuse(state, "root=srv/atocore\n", 1, "an absolute path");
        refuse(state, "root=\n", 1, "an absolute path");
        refuse(state, "allowed_hosts=http://a/\n", 1, "host names");
}

static void test_what_is_no_assignment_is_refused_at_its_line(void **state) {
        refuse(state, "lock_wait=5\nretention_daily 7\nlock_wait=6\n", 2, "key=value");
        refuse(state, "nonsense=5\nretention_daily 7\n", 1, "nonsense");
        refuse(state, "<html>\n", 1, "key=value");
}

static void test_a_line_is_never_cut_in_two(void **state) {
        char text[400];

        memset(text, 'a', sizeof text);
        memcpy(text, "lock_wait=5\nroot=/", strlen("lock_wait=5\nroot=/"));
        text[sizeof text - 2] = '\n';
        text[sizeof text - 1] = '\0';
        refuse(state, text, 2, "longer than");
        text[12] = '#'; /* a comment too: what of it became a line of its own? */
        refuse(state, text, 2, "longer than");
}

static void test_the_longest_line_is_read_whole(void **state) {
        _cleanup_config_ struct Config *config = NULL;
        char text[201];

        memset(text, 'a', sizeof text);
        memcpy(text, "root=/", strlen("root=/"));
        memcpy(text + 199, "\n", 2);
        refuse(state, text, 1, "longer than 198");
        memcpy(text + 198, "\n", 2);
        config = load(state, text);
        assert_int_equal(strlen(config->root), 198 - strlen("root="));
}

static void test_a_file_that_is_no_text_is_refused(void **state) {
        static const char binary[] = "lock_wait=5\nro\0ot=/srv\n";

        expect_refused(state, binary, sizeof binary - 1, 2, "NUL");
}

static void test_a_file_that_cannot_be_read_is_named(void **state) {
        _cleanup_free_ char *large = calloc(1, 1024 * 1024 + 1), *path = NULL;
        struct Config *config = NULL;
        const struct {
                const char *path;
                const char *word;
        } cases[] = {
                { *state, "Is a directory" },
                { "/nonexistent/atocore.conf", "No such file" },
                { "/dev/null", "no regular file" },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                _cleanup_failure_ struct Failure failure = { 0 };

                assert_true(config_load(cases[i].path, NULL, &config, &failure) < 0);
                assert_int_equal(failure.event, EVENT_CONFIG_INVALID);
                assert_non_null(strstr(failure_message(&failure), cases[i].path));
                assert_non_null(strstr(failure_message(&failure), cases[i].word));
        }
        memset(large, '\n', 1024 * 1024 + 1);
        expect_refused(state, large, 1024 * 1024 + 1, 0, "larger than 1 MiB");

        assert_true(asprintf(&path, "%s/pipe", (const char *) *state) > 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        assert_true(config_load(path, NULL, &config, NULL) < 0);
        assert_null(config);
}

static void test_root_is_of_option_then_environment_then_file(void **state) {
        static const char text[] = "root=/from/file\n";
        _cleanup_free_ char *path = write_file(state, text, strlen(text));
        const struct {
                const char *option;
                const char *variable;
                const char *root;
        } cases[] = {
                { "/from/option", "/from/environment", "/from/option" },
                { NULL, "/from/environment", "/from/environment" },
                { NULL, "", "/from/file" },
                { NULL, NULL, "/from/file" },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                _cleanup_config_ struct Config *config = NULL;

                if (cases[i].variable)
                        (void) setenv("ATOCORE_ROOT", cases[i].variable, 1);
                else
                        (void) unsetenv("ATOCORE_ROOT");
                assert_int_equal(config_load(path, cases[i].option, &config, NULL), 0);
                assert_string_equal(config->root, cases[i].root);
        }
        (void) unsetenv("ATOCORE_ROOT");
}

static void test_a_relative_root_is_refused(void **state) {
        _cleanup_free_ char *path = write_file(state, "", 0);
        _cleanup_failure_ struct Failure option = { 0 }, variable = { 0 };
        struct Config *config = NULL;

        assert_int_equal(config_load(path, "here", &config, &option), -EINVAL);
        assert_int_equal(option.event, EVENT_USAGE);
        assert_int_equal(config_load(path, "", &config, NULL), -EINVAL);

        (void) setenv("ATOCORE_ROOT", "here", 1);
        assert_int_equal(config_load(path, NULL, &config, &variable), -EINVAL);
        assert_int_equal(variable.event, EVENT_CONFIG_INVALID);
        assert_non_null(strstr(failure_message(&variable), "ATOCORE_ROOT"));
        assert_null(config);
        (void) unsetenv("ATOCORE_ROOT");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_an_empty_file_gives_the_defaults_of_the_table, setup, teardown),
                cmocka_unit_test_setup_teardown(test_all_keys_are_read, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_every_default_can_be_written_in_the_file, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_files_of_other_editors_are_read, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_allowed_hosts_goes_on_in_indented_lines, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_no_other_key_goes_on_in_an_indented_line, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_an_unknown_key_is_named_with_its_line, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_key_given_twice_names_both_lines, setup, teardown),
                cmocka_unit_test_setup_teardown(test_sections_are_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_bad_value_is_named_with_line_and_key, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_is_no_assignment_is_refused_at_its_line, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_line_is_never_cut_in_two, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_longest_line_is_read_whole, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_file_that_is_no_text_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_file_that_cannot_be_read_is_named, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_root_is_of_option_then_environment_then_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_relative_root_is_refused, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
