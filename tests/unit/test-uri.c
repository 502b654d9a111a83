/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/uri.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Asserts what the path splits into; NULL ends the list. */
static void assert_segments(const char *raw, const char *const *expected) {
        _cleanup_uri_path_ struct UriPath path = { 0 };
        size_t n = 0;

        assert_int_equal(uri_path_parse(raw, &path), 0);
        for (; expected[n]; n++) {
                assert_in_range(n, 0, path.n_segments);
                assert_string_equal(path.segments[n], expected[n]);
        }
        assert_int_equal(path.n_segments, n);
}

#define ASSERT_SEGMENTS(raw, ...) assert_segments(raw, (const char *const[]){ __VA_ARGS__, NULL })

static void test_path_is_split_before_it_is_decoded(void **state) {
        (void) state;
        ASSERT_SEGMENTS("/admin/backup/..%2F..%2fetc", "admin", "backup", "../../etc");
        ASSERT_SEGMENTS("/projects/p%2F05/refresh", "projects", "p/05", "refresh");
}

static void test_every_slash_separates(void **state) {
        (void) state;
        ASSERT_SEGMENTS("/", NULL);
        ASSERT_SEGMENTS("/health", "health");
        ASSERT_SEGMENTS("/health/", "health", "");
        ASSERT_SEGMENTS("//health", "", "health");
        ASSERT_SEGMENTS("/a/../b", "a", "..", "b");
}

static void test_escapes_are_decoded(void **state) {
        (void) state;
        ASSERT_SEGMENTS("/%68ealth", "health");
        ASSERT_SEGMENTS("/caf%C3%a9%20au+lait", "café au+lait");
        ASSERT_SEGMENTS("/%2525", "%25");
}

static void test_bad_escapes_nul_and_other_encodings_are_refused(void **state) {
        static const char *const bad[] = { "/%", "/%4", "/%4/", "/%zz", "/%4g", "/a%00b", "/%ff",
                "/%c3", "/%c3%28", "/%ed%a0%80", "/ok/%2", "" };

        (void) state;
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                _cleanup_uri_path_ struct UriPath path = { 0 };

                assert_int_equal(uri_path_parse(bad[i], &path), -EINVAL);
                assert_null(path.text);
        }
}

static void test_path_must_begin_with_a_slash(void **state) {
        _cleanup_uri_path_ struct UriPath path = { 0 };

        (void) state;
        assert_int_equal(uri_path_parse("*", &path), -EINVAL);
        assert_int_equal(uri_path_parse("health", &path), -EINVAL);
}

static void test_longer_paths_than_any_route_are_counted_not_kept(void **state) {
        _cleanup_uri_path_ struct UriPath path = { 0 };
        char raw[2001];

        (void) state;
        for (size_t i = 0; i < 1000; i++)
                memcpy(raw + 2 * i, "/a", 2);
        raw[2000] = '\0';
        assert_int_equal(uri_path_parse(raw, &path), 0);
        assert_int_equal(path.n_segments, 1000);
        assert_string_equal(path.segments[URI_SEGMENTS_MAX - 1], "a");
}

static void test_absolute_form_gives_authority_and_path(void **state) {
        const char *authority, *path;
        size_t size;

        (void) state;
        assert_true(uri_split_absolute("http://dalidou:8100/health", &authority, &size, &path));
        assert_memory_equal(authority, "dalidou:8100", size);
        assert_int_equal(size, strlen("dalidou:8100"));
        assert_string_equal(path, "/health");

        assert_true(uri_split_absolute("HTTP://[::1]", &authority, &size, &path));
        assert_int_equal(size, strlen("[::1]"));
        assert_string_equal(path, "/");

        assert_false(uri_split_absolute("/http://dalidou", &authority, &size, &path));
        assert_false(uri_split_absolute("*", &authority, &size, &path));
        assert_false(uri_split_absolute("ftp://dalidou/", &authority, &size, &path));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_path_is_split_before_it_is_decoded),
                cmocka_unit_test(test_every_slash_separates),
                cmocka_unit_test(test_escapes_are_decoded),
                cmocka_unit_test(test_bad_escapes_nul_and_other_encodings_are_refused),
                cmocka_unit_test(test_path_must_begin_with_a_slash),
                cmocka_unit_test(test_longer_paths_than_any_route_are_counted_not_kept),
                cmocka_unit_test(test_absolute_form_gives_authority_and_path),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
