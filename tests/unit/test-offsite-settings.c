/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/offsite-settings.h"
#include "tests/unit/backup-fixture.h"

static const char *value_of(const struct Offsite *offsite, const char *name) {
        const char *value = NULL;

        for (size_t i = 0; i < offsite->n_environment; i++)
                if (strncmp(offsite->environment[i], name, strlen(name)) == 0 &&
                        offsite->environment[i][strlen(name)] == '=')
                        value = offsite->environment[i] + strlen(name) + 1;
        return value;
}

static struct Offsite *load(struct Fixture *f, int expected) {
        struct Offsite *offsite = calloc(1, sizeof *offsite);

        MUST(offsite && (offsite->target = strdup("/there")));
        assert_int_equal(offsite_load_settings(&f->operation, offsite, &f->failure), expected);
        return offsite;
}

static void test_passwords_of_urls_are_not_shown(void **state) {
        static const char *const pairs[][2] = {
                { "restic:/srv/a", "restic:/srv/a" },
                { "rest:http://u:p@h:8000/x", "rest:http://u:***@h:8000/x" },
                { "rest:https://u:p@ss:w@h/x", "rest:https://u:***@h/x" },
                { "http://h:80/a@b", "http://h:80/a@b" },
                { "http://u@h/", "http://u@h/" },
                { "Get \"http://u:p@h/\": no; http://v:q@i/",
                        "Get \"http://u:***@h/\": no; "
                        "http://v:***@i/" },
                { "://:@", "://:***@" },
                { "", "" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
                _cleanup_free_ char *shown = offsite_redact(pairs[i][0]);

                assert_string_equal(shown, pairs[i][1]);
        }
}

static void test_credentials_are_found_and_win(void **state) {
        struct Fixture *f = *state;
        static const char text[] = "# a comment\n\n; another\n  A=1\nB= two words \r\n"
                                   "C=\"quoted\"\nD='x'y'\nE=\nTZ=Mars\n_F=a=b\nG=\"";
        _cleanup_offsite_ struct Offsite *offsite = NULL;

        scratch_write(scratch("offsite-environment"), text, strlen(text));
        scratch_write(scratch("restic-password"), "x", 1);
        MUST(setenv("CREDENTIALS_DIRECTORY", scratch_directory, 1) == 0);
        offsite = load(f, 0);
        MUST(unsetenv("CREDENTIALS_DIRECTORY") == 0);
        assert_string_equal(value_of(offsite, "A"), "1");
        assert_string_equal(value_of(offsite, "B"), " two words");
        assert_string_equal(value_of(offsite, "C"), "quoted");
        assert_string_equal(value_of(offsite, "D"), "x'y");
        assert_string_equal(value_of(offsite, "E"), "");
        assert_string_equal(value_of(offsite, "TZ"), "Mars");
        assert_string_equal(value_of(offsite, "_F"), "a=b");
        assert_string_equal(value_of(offsite, "G"), "\"");
        assert_string_equal(value_of(offsite, "RESTIC_REPOSITORY"), "/there");
        assert_string_equal(value_of(offsite, "RESTIC_PASSWORD_FILE"), scratch("restic-password"));
        assert_null(value_of(offsite, "RCLONE_CONFIG"));
        assert_null(offsite->environment[offsite->n_environment]);
}

static void test_the_cache_is_that_of_the_root_where_it_has_one(void **state) {
        struct Fixture *f = *state;
        _cleanup_offsite_ struct Offsite *bare = NULL, *whole = NULL;

        bare = load(f, 0);
        assert_null(value_of(bare, "RESTIC_CACHE_DIR"));
        MUST(make_directories(f->layout->root, f->layout->cache) == 0);
        whole = load(f, 0);
        assert_string_equal(value_of(whole, "RESTIC_CACHE_DIR"), scratch("data/cache/offsite"));
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_passwords_of_urls_are_not_shown),
                ON_ROOT(test_credentials_are_found_and_win),
                ON_ROOT(test_the_cache_is_that_of_the_root_where_it_has_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
