/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/json-document.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DEPTH 8

static int parse_bytes(const char *text, size_t size, char **ret_problem) {
        _cleanup_json_ json_object *document = NULL;

        return json_document_parse(text, size, DEPTH, &document, ret_problem);
}

static void assert_parses(const char *text) {
        _cleanup_free_ char *problem = NULL;

        assert_int_equal(parse_bytes(text, strlen(text), &problem), 0);
        assert_null(problem);
}

static void assert_refused(const char *text, const char *why) {
        _cleanup_free_ char *problem = NULL;

        if (parse_bytes(text, strlen(text), &problem) != -EBADMSG)
                fail_msg("%s was taken", text);
        if (!problem || !strstr(problem, why))
                fail_msg("%s: \"%s\" does not say \"%s\"", text, problem, why);
}

static void test_json_of_every_kind_is_parsed(void **state) {
        (void) state;
        static const char *const texts[] = { "{}", "[]", "null", "true", "12", "-1.5e3", "\"x\"",
                " \r\n\t{\"a\": [1, {\"b\": null}]}\n", "{\"a\":\"x:y\",\"b\":\"\\\":\"}",
                "{\"a\":{\"a\":{\"a\":1}}}" };

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
                assert_parses(texts[i]);
}

/* json-c 0.18 takes bytes above 127 for control characters when it is strict. */
static void test_text_of_every_language_comes_through(void **state) {
        (void) state;
        static const char text[] =
                "{\"schl\u00fcssel\": \"\u00e4 \u4e2d\u6587 \U0001f600\", \"x\": [\"\u00fc\"]}";
        _cleanup_json_ json_object *document = NULL;
        _cleanup_free_ char *problem = NULL;
        json_object *value = NULL;

        assert_int_equal(json_document_parse(text, strlen(text), DEPTH, &document, &problem), 0);
        assert_true(json_object_object_get_ex(document, "schl\u00fcssel", &value));
        assert_string_equal(json_object_get_string(value), "\u00e4 \u4e2d\u6587 \U0001f600");
        assert_refused("{\"\u00fc\": 1, \"\u00fc\": 2}", "twice");
        assert_refused("{\"a\": \u00fc}", "line 1");
}

static void test_what_is_no_json_is_refused_with_its_line(void **state) {
        (void) state;
        assert_refused("", "too early");
        assert_refused("{\"a\":\n\n1", "line 3");
        assert_refused("{\n\"a\": nope}", "line 2");
        assert_refused("{\"a\":1,}", "line 1");
        assert_refused("{} {}", "more behind");
        assert_refused("{}\n\nx", "line 3");
        assert_refused("\n\"\xff\"", "line 2: not UTF-8");
}

static void test_what_json_c_takes_beyond_json_is_refused(void **state) {
        (void) state;
        static const char *const texts[] = { "\n{'a':1}", "\n[NaN]", "\n[-Infinity]", "\n[1.]",
                "\n[\"\t\"]", "\n{\"a\":{'a':1}}" };

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
                assert_refused(texts[i], "line 2");
        assert_parses("[\"'NaN' 1.\"]");
}

static void test_a_nul_byte_is_refused(void **state) {
        (void) state;
        _cleanup_free_ char *problem = NULL;

        assert_int_equal(parse_bytes("{}\0{}", 5, &problem), -EBADMSG);
        assert_string_equal(problem, "line 1: a NUL byte");
}

static void test_nesting_beyond_the_bound_is_refused(void **state) {
        (void) state;
        assert_parses("[[[[[[[]]]]]]]");
        assert_refused("[[[[[[[[[[]]]]]]]]]]", "line 1");

        char deep[100001];
        memset(deep, '[', sizeof deep - 1);
        deep[sizeof deep - 1] = '\0';
        assert_refused(deep, "line 1");
}

static void test_a_field_given_twice_is_refused_at_any_depth(void **state) {
        (void) state;
        assert_refused("{\"a\":1,\"a\":1}", "twice");
        assert_refused("[{\"x\":[{\"a\":{\"b\":1},\"a\":{\"c\":2}}]}]", "twice");
        assert_refused("{\"a\":1,\"\\u0061\":2}", "twice");
}

static void test_field_given_twice_is_named_with_its_line(void **state) {
        _cleanup_free_ char *text = NULL, *long_name = malloc(100001);

        (void) state;
        assert_refused(
                "{\"a\":{\"b\":1},\n\"b\":[{\"b\":2},{\"b\":\"}\"}],\n\"c\":1,\n\"b\" :1,\"a\":1}",
                "line 4: the field \"b\" is given twice");
        assert_refused("[{},[],{\"x\":[{\"a,:\":{\"b\":1},\n\"a,:\":{\"c\":2}}]},{\"x\":1}]",
                "line 2: the field \"a,:\" is given twice");
        assert_refused("{\"a\":1,\n\"\\u0061\":2}", "line 2: the field \"\\u0061\" is given twice");
        assert_refused("{\"\u202ex\":1,\"\u202ex\":2}", "\"\\xe2\\x80\\xaex\" is given twice");

        assert_non_null(long_name);
        memset(long_name, 'n', 100000);
        long_name[100000] = '\0';
        assert_true(asprintf(&text, "{\"%s\":1,\"%s\":2}", long_name, long_name) > 0);
        memcpy(long_name + 200, "\" is", 5);
        assert_refused(text, long_name + 190);
}

static void test_integers_beyond_64_bits_are_the_nearest(void **state) {
        static const struct {
                const char *text;
                uint64_t value;
        } rows[] = {
                { "18446744073709551615", UINT64_MAX },
                { "18446744073709551616", UINT64_MAX },
                { "1000000000000000000000000000000", UINT64_MAX },
                { "9223372036854775808", (uint64_t) INT64_MAX + 1 },
                { "-9223372036854775808", (uint64_t) INT64_MIN },
                { "-9223372036854775809", (uint64_t) INT64_MIN },
                { "-1000000000000000000000000000000", (uint64_t) INT64_MIN },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                _cleanup_free_ char *text = NULL, *problem = NULL;
                _cleanup_json_ json_object *document = NULL;
                json_object *value;

                assert_true(asprintf(&text, "{\"\\\\\": %s,\n\"b\":2}", rows[i].text) > 0);
                assert_int_equal(
                        json_document_parse(text, strlen(text), DEPTH, &document, &problem), 0);
                assert_true(json_object_object_get_ex(document, "\\", &value));
                assert_true(json_object_is_type(value, json_type_int));
                assert_true(
                        (rows[i].text[0] == '-' ? (uint64_t) json_object_get_int64(value)
                                                : json_object_get_uint64(value)) == rows[i].value);
        }
        assert_refused("[99999999999999999999,\n99999999999999999999x]", "line 2");
        assert_refused("[-]", "line 1");
}

static void test_numbers_are_written_as_they_were_read(void **state) {
        static const char *const texts[] = {
                "\"99999999999999999999\"",
                "\"\\\"99999999999999999999\"",
                "1.99999999999999999999",
                "99999999999999999999.5",
                "1e-30",
                "1E5",
                "1E400",
                "-1.10",
                "0.1000000000000000055511151231257827",
                "0",
                "-0",
                "-0.0",
                "18446744073709551615",
                "18446744073709551616",
                "-9223372036854775809",
                "123456789012345678901234567890",
                "{\"-0\":[1,\"-0\",1.5,{\"\\\\\":-0,\"x\":[[],-99999999999999999999]}],\"9\":"
                "99999999999999999999"
                ",\"z\":2}",
        };

        (void) state;
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                _cleanup_free_ char *problem = NULL;
                _cleanup_json_ json_object *document = NULL;

                assert_int_equal(
                        json_document_parse(texts[i], strlen(texts[i]), DEPTH, &document, &problem),
                        0);
                assert_string_equal(
                        json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN), texts[i]);
        }
}

static void test_half_a_surrogate_pair_is_a_replacement_character(void **state) {
        static const struct {
                const char *text, *value;
        } rows[] = {
                { "\"\\ud83d\\ude00\"", "\U0001f600" },
                { "\"\\ud83d\"", "\ufffd" },
                { "\"\\ud83dx\"", "\ufffdx" },
                { "\"\\ude00\\ud83d\"", "\ufffd\ufffd" },
                { "\"\\ud83d\\ud83d\\ude00\"", "\ufffd\U0001f600" },
                { "\"\\ud83d\\u0041\"", "\ufffdA" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                const char *text = rows[i].text;
                _cleanup_free_ char *problem = NULL;
                _cleanup_json_ json_object *document = NULL;

                assert_int_equal(
                        json_document_parse(text, strlen(text), DEPTH, &document, &problem), 0);
                assert_string_equal(json_object_get_string(document), rows[i].value);
        }
}

static void test_what_is_masked_is_of_the_same_length(void **state) {
        static const char text[] = "{\"\u00e9 99999999999999999999\": [-99999999999999999999, "
                                   "100000000000000000000000,-0,1e999999999999999999999]}";
        _cleanup_free_ char *masked = json_document_mask(text, strlen(text));

        (void) state;
        assert_string_equal(masked,
                "{\"xx 99999999999999999999\": [-9223372036854775808 , "
                "18446744073709551615    ,-0,1e999999999999999999999]}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_json_of_every_kind_is_parsed),
                cmocka_unit_test(test_text_of_every_language_comes_through),
                cmocka_unit_test(test_what_is_no_json_is_refused_with_its_line),
                cmocka_unit_test(test_what_json_c_takes_beyond_json_is_refused),
                cmocka_unit_test(test_integers_beyond_64_bits_are_the_nearest),
                cmocka_unit_test(test_numbers_are_written_as_they_were_read),
                cmocka_unit_test(test_half_a_surrogate_pair_is_a_replacement_character),
                cmocka_unit_test(test_what_is_masked_is_of_the_same_length),
                cmocka_unit_test(test_a_nul_byte_is_refused),
                cmocka_unit_test(test_nesting_beyond_the_bound_is_refused),
                cmocka_unit_test(test_a_field_given_twice_is_refused_at_any_depth),
                cmocka_unit_test(test_field_given_twice_is_named_with_its_line),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
