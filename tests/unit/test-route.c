/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum RouteMatch match(
        enum Method method, const char *raw, const char **ret_pattern, const char **ret_allow) {
        _cleanup_uri_path_ struct UriPath path = { 0 };
        const struct Route *route = NULL;
        enum RouteMatch found;

        assert_int_equal(uri_path_parse(raw, &path), 0);
        found = route_match(routes, method, &path, &route, ret_allow);
        *ret_pattern = route ? route->pattern : NULL;
        return found;
}

static void test_every_route_is_found_by_its_own_path(void **state) {
        (void) state;
        for (const struct Route *route = routes; route->pattern; route++) {
                const char *pattern, *allow;

                assert_non_null(route->handle);
                assert_int_equal(
                        match(route->method, route->pattern, &pattern, &allow), ROUTE_FOUND);
                assert_string_equal(pattern, route->pattern);
        }
}

static void test_segment_in_braces_stands_for_any(void **state) {
        const char *pattern, *allow;

        (void) state;
        assert_int_equal(
                match(METHOD_GET, "/admin/backup/..%2F..%2Fetc/validate", &pattern, &allow),
                ROUTE_FOUND);
        assert_string_equal(pattern, "/admin/backup/{stamp}/validate");
        assert_int_equal(match(METHOD_GET, "/admin/backup/", &pattern, &allow), ROUTE_FOUND);
        assert_string_equal(pattern, "/admin/backup/{stamp}");
}

static void test_head_is_answered_where_get_is(void **state) {
        const char *pattern, *allow;

        (void) state;
        assert_int_equal(match(METHOD_HEAD, "/health", &pattern, &allow), ROUTE_FOUND);
        assert_int_equal(match(METHOD_HEAD, "/query", &pattern, &allow), ROUTE_METHOD_UNKNOWN);
}

static void test_wrong_method_is_told_the_right_ones(void **state) {
        const char *pattern, *allow;

        (void) state;
        assert_int_equal(match(METHOD_POST, "/health", &pattern, &allow), ROUTE_METHOD_UNKNOWN);
        assert_string_equal(allow, "GET, HEAD");
        assert_int_equal(match(METHOD_GET, "/query", &pattern, &allow), ROUTE_METHOD_UNKNOWN);
        assert_string_equal(allow, "POST");
        assert_int_equal(
                match(METHOD_OTHER, "/admin/backup", &pattern, &allow), ROUTE_METHOD_UNKNOWN);
        assert_string_equal(allow, "GET, HEAD, POST");
        assert_int_equal(
                match(METHOD_GET, "/projects/register", &pattern, &allow), ROUTE_METHOD_UNKNOWN);
        assert_string_equal(allow, "POST, PUT");
        assert_int_equal(
                match(METHOD_POST, "/projects/template", &pattern, &allow), ROUTE_METHOD_UNKNOWN);
        assert_string_equal(allow, "GET, HEAD, PUT");
}

static void test_other_paths_are_unknown(void **state) {
        static const char *const paths[] = { "/", "/healt", "/healthy", "/health/", "//health",
                "/Health", "/metrics", "/admin", "/admin/backup/20260407T060000Z/validate/x",
                "/projects/p05/nothing", "/context", "/a/b/c/d/e/f/g/h" };
        const char *pattern, *allow;

        (void) state;
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
                assert_int_equal(match(METHOD_GET, paths[i], &pattern, &allow), ROUTE_PATH_UNKNOWN);
}

static void test_only_health_is_open_to_all_and_whatever_changes_things_is_not(void **state) {
        (void) state;
        for (const struct Route *route = routes; route->pattern; route++) {
                bool administers = strncmp(route->pattern, "/admin/", strlen("/admin/")) == 0 ||
                        strcmp(route->pattern, "/ingest") == 0 ||
                        strcmp(route->pattern, "/projects/{id}/refresh") == 0 ||
                        strcmp(route->pattern, "/projects/register") == 0 ||
                        route->method == METHOD_PUT;
                enum AccessNeed need = administers               ? ACCESS_ADMIN
                        : strcmp(route->pattern, "/health") == 0 ? ACCESS_ALWAYS
                                                                 : ACCESS_OPEN;

                assert_int_equal(route->access, need);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_route_is_found_by_its_own_path),
                cmocka_unit_test(test_segment_in_braces_stands_for_any),
                cmocka_unit_test(test_head_is_answered_where_get_is),
                cmocka_unit_test(test_wrong_method_is_told_the_right_ones),
                cmocka_unit_test(test_other_paths_are_unknown),
                cmocka_unit_test(
                        test_only_health_is_open_to_all_and_whatever_changes_things_is_not),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
