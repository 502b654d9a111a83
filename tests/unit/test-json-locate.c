/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/json-locate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "{ \"a\\\"]\": [1, {}, \"},\"],\n"
                           "  \"projects\" : [\n"
                           "    {\"id\": \"x\", \"n\": -1.5e3},\n"
                           "    {\"\\u0069d\": \"y\" , \"list\": [ ], \"deep\": [[[true]], null]}\n"
                           "  ]\n"
                           "}\n";

static void assert_located(const char *pointer, const char *expected) {
        size_t begin, end;

        assert_true(json_locate(text, pointer, &begin, &end));
        assert_int_equal(end - begin, strlen(expected));
        assert_memory_equal(text + begin, expected, end - begin);
}

static void test_values_are_found(void **state) {
        (void) state;
        assert_located("/projects/0", "{\"id\": \"x\", \"n\": -1.5e3}");
        assert_located("/projects/0/n", "-1.5e3");
        assert_located("/projects/1/list", "[ ]");
        assert_located("/projects/1/deep/0", "[[true]]");
        assert_located("/projects/1/deep/0/0/0", "true");
        assert_located("/projects/1/deep/1", "null");
        assert_located("/a\"]/2", "\"},\"");
}

static void test_name_with_escapes_is_the_same_name(void **state) {
        (void) state;
        assert_located("/projects/1/id", "\"y\"");
}

static void test_whole_document_is_the_empty_pointer(void **state) {
        size_t begin, end;

        (void) state;
        assert_true(json_locate(" [1] ", "", &begin, &end));
        assert_int_equal(begin, 1);
        assert_int_equal(end, 4);
}

static void assert_nearest(const char *pointer, const char *nearest) {
        size_t begin, end, known_begin, known_end;

        assert_false(json_locate(text, pointer, &begin, &end));
        assert_true(json_locate(text, nearest, &known_begin, &known_end));
        assert_int_equal(begin, known_begin);
        assert_int_equal(end, known_end);
}

static void test_what_is_not_there_gives_the_nearest_above(void **state) {
        (void) state;
        assert_nearest("/nothing", "");
        assert_nearest("/projects/2", "/projects");
        assert_nearest("/projects/1/list/0", "/projects/1/list");
        assert_nearest("/projects/0/subpath", "/projects/0");
        assert_nearest("/projects/0/id/x", "/projects/0/id");
}

static void test_lines_are_counted_from_one(void **state) {
        size_t begin, end;

        (void) state;
        assert_int_equal(json_line(text, 0), 1);
        assert_true(json_locate(text, "/projects/1/list", &begin, &end));
        assert_int_equal(json_line(text, begin), 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values_are_found),
                cmocka_unit_test(test_name_with_escapes_is_the_same_name),
                cmocka_unit_test(test_whole_document_is_the_empty_pointer),
                cmocka_unit_test(test_what_is_not_there_gives_the_nearest_above),
                cmocka_unit_test(test_lines_are_counted_from_one),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
