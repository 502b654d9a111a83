/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/json-document.h"

static int parse(const char *body, size_t size, enum FieldNeed need, json_object **ret_object,
        struct Response *response) {
        struct Request request = { .body = (char *) body, .body_size = size };

        return fields_parse(&request, need, ret_object, response);
}

static json_object *object_of(const char *text) {
        _cleanup_response_ struct Response response = { 0 };
        json_object *object = NULL;

        assert_int_equal(parse(text, strlen(text), FIELD_REQUIRED, &object, &response), 0);
        return object;
}

static void assert_refused(
        const struct Response *response, unsigned status, const char *code, const char *field) {
        json_object *member = NULL;

        assert_int_equal(response->status, status);
        assert_string_equal(response->code, code);
        if (!field)
                return;
        assert_true(json_object_object_get_ex(response->body, "field", &member));
        assert_string_equal(json_object_get_string(member), field);
        assert_non_null(strstr(response->detail, field));
}

/* Bodies. */

static void test_body_that_is_no_json_is_refused(void **state) {
        static const char *const bad[] = { "{", "{\"a\":1,}", "{'a':1}", "{\"a\":1} x", "{}{}",
                "{\"a\":NaN}", "{\"a\":01}", "{\"a\":\"\x01\"}", "{\"a\":1,\"a\":2}", "\xff{}",
                "{\"a\":\"\xc3\"}", "/* c */{}", " " };

        (void) state;
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                _cleanup_response_ struct Response response = { 0 };
                _cleanup_json_ json_object *object = NULL;

                if (parse(bad[i], strlen(bad[i]), FIELD_REQUIRED, &object, &response) >= 0)
                        fail_msg("%s is accepted", bad[i]);
                assert_refused(&response, HTTP_BAD_REQUEST, "json_malformed", NULL);
        }
}

static void test_nul_byte_in_the_body_is_refused(void **state) {
        static const char body[] = "{\"a\":1}\0";
        _cleanup_response_ struct Response response = { 0 };
        _cleanup_json_ json_object *object = NULL;

        (void) state;
        assert_true(parse(body, sizeof body - 1, FIELD_REQUIRED, &object, &response) < 0);
        assert_refused(&response, HTTP_BAD_REQUEST, "json_malformed", NULL);
}

static void test_json_deeper_than_32_is_refused(void **state) {
        (void) state;
        for (size_t depth = 31; depth <= 33; depth++) {
                _cleanup_response_ struct Response response = { 0 };
                _cleanup_json_ json_object *object = NULL;
                char body[128] = "{\"a\":";
                size_t size = strlen(body);

                for (size_t i = 1; i < depth; i++)
                        body[size++] = '[';
                for (size_t i = 1; i < depth; i++)
                        body[size++] = ']';
                body[size++] = '}';
                assert_int_equal(
                        parse(body, size, FIELD_REQUIRED, &object, &response) >= 0, depth <= 32);
        }
}

static void test_body_must_be_an_object(void **state) {
        static const char *const bad[] = { "[]", "\"text\"", "1", "true", "null" };

        (void) state;
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                _cleanup_response_ struct Response response = { 0 };
                _cleanup_json_ json_object *object = NULL;

                assert_true(parse(bad[i], strlen(bad[i]), FIELD_OPTIONAL, &object, &response) < 0);
                assert_refused(&response, HTTP_BAD_REQUEST, "json_no_object", NULL);
        }
}

static void test_absent_body_is_an_empty_object_where_it_is_optional(void **state) {
        _cleanup_response_ struct Response response = { 0 };
        _cleanup_json_ json_object *object = NULL;

        (void) state;
        assert_int_equal(parse(NULL, 0, FIELD_OPTIONAL, &object, &response), 0);
        assert_int_equal(json_object_object_length(object), 0);

        json_object_put(STEAL(object));
        assert_true(parse(NULL, 0, FIELD_REQUIRED, &object, &response) < 0);
        assert_refused(&response, HTTP_BAD_REQUEST, "body_missing", NULL);
}

/* Fields. */

static void test_text_must_be_a_string_with_something_in_it(void **state) {
        static const struct {
                const char *body;
                unsigned status; /* 0: taken */
                const char *code;
        } rows[] = {
                { "{\"prompt\":\"words\"}", 0, NULL },
                { "{\"prompt\":\" \"}", 0, NULL },
                { "{}", 400, "field_missing" },
                { "{\"prompt\":null}", 400, "field_missing" },
                { "{\"Prompt\":\"x\"}", 400, "field_missing" },
                { "{\"prompt\":1}", 400, "field_type" },
                { "{\"prompt\":true}", 400, "field_type" },
                { "{\"prompt\":[\"x\"]}", 400, "field_type" },
                { "{\"prompt\":{}}", 400, "field_type" },
                { "{\"prompt\":\"\"}", 422, "field_range" },
                { "{\"prompt\":\"a\\u0000b\"}", 422, "field_range" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                _cleanup_response_ struct Response response = { 0 };
                _cleanup_json_ json_object *object = object_of(rows[i].body);
                const char *text = NULL;
                int r = field_text(object, "prompt", FIELD_REQUIRED, &text, &response);

                assert_int_equal(r >= 0, rows[i].status == 0);
                if (rows[i].status == 0)
                        assert_non_null(text);
                else
                        assert_refused(&response, rows[i].status, rows[i].code, "prompt");
        }
}

static void test_absent_and_null_fields_leave_the_default(void **state) {
        _cleanup_response_ struct Response response = { 0 };
        _cleanup_json_ json_object *object =
                object_of("{\"text\":null,\"number\":null,\"flag\":null,\"list\":null}");
        _cleanup_free_ char *list = NULL;
        const char *text = "before";
        uint64_t number = 7;
        bool flag = true;

        (void) state;
        assert_int_equal(field_text(object, "text", FIELD_OPTIONAL, &text, &response), 0);
        assert_int_equal(field_text(object, "absent", FIELD_OPTIONAL, &text, &response), 0);
        assert_int_equal(field_number(object, "number", 1, 9, &number, &response), 0);
        assert_int_equal(field_flag(object, "flag", &flag, &response), 0);
        assert_int_equal(field_document(object, "list", json_type_array, &list, &response), 0);
        assert_string_equal(text, "before");
        assert_int_equal(number, 7);
        assert_true(flag);
        assert_null(list);
        assert_int_equal(response.status, 0);
}

static void test_number_must_be_whole_and_in_range(void **state) {
        static const struct {
                const char *value;
                unsigned status;
        } rows[] = {
                { "1", 0 },
                { "1000", 0 },
                { "0", 422 },
                { "1001", 422 },
                { "-1", 422 },
                { "-9223372036854775808", 422 },
                { "9223372036854775807", 422 },
                { "3.0", 400 },
                { "1e2", 400 },
                { "\"10\"", 400 },
                { "true", 400 },
                { "[10]", 400 },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                _cleanup_response_ struct Response response = { 0 };
                char body[64];
                uint64_t number = 0;

                (void) snprintf(body, sizeof body, "{\"top_k\":%s}", rows[i].value);
                _cleanup_json_ json_object *object = object_of(body);
                int r = field_number(object, "top_k", 1, 1000, &number, &response);

                assert_int_equal(r >= 0, rows[i].status == 0);
                if (rows[i].status != 0)
                        assert_refused(&response, rows[i].status,
                                rows[i].status == 400 ? "field_type" : "field_range", "top_k");
                if (rows[i].status == 422)
                        assert_non_null(strstr(response.detail, "from 1 to 1000"));
        }
}

static void test_flag_must_be_a_boolean(void **state) {
        static const char *const bad[] = { "1", "0", "\"true\"", "\"\"", "[]", "{}" };

        (void) state;
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                _cleanup_response_ struct Response response = { 0 };
                char body[64];
                bool flag = false;

                (void) snprintf(body, sizeof body, "{\"archive\":%s}", bad[i]);
                _cleanup_json_ json_object *object = object_of(body);
                assert_true(field_flag(object, "archive", &flag, &response) < 0);
                assert_refused(&response, 400, "field_type", "archive");
        }
}

static void test_document_is_kept_as_it_was_given(void **state) {
        _cleanup_response_ struct Response response = { 0 };
        _cleanup_json_ json_object *object =
                object_of("{\"list\":[1,\"a/b\",{\"c\":null}],\"object\":{\"x\":1.50}}");
        _cleanup_free_ char *list = NULL;
        _cleanup_free_ char *other = NULL;

        (void) state;
        assert_int_equal(field_document(object, "list", json_type_array, &list, &response), 0);
        assert_string_equal(list, "[1,\"a/b\",{\"c\":null}]");
        assert_int_equal(field_document(object, "object", json_type_object, &other, &response), 0);
        assert_string_equal(other, "{\"x\":1.50}");
        assert_true(field_document(object, "object", json_type_array, &list, &response) < 0);
        assert_refused(&response, 400, "field_type", "object");
}

/* Parameters. */

static void test_parameters_follow_the_same_rules(void **state) {
        static const struct {
                const char *value;
                unsigned status;
        } rows[] = {
                { "1", 0 },
                { "500", 0 },
                { "", 422 },
                { "0", 422 },
                { "501", 422 },
                { "99999999999999999999999", 422 },
                { "-1", 400 },
                { "+1", 400 },
                { "1.0", 400 },
                { "0x10", 400 },
                { "ten", 400 },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                _cleanup_response_ struct Response response = { 0 };
                struct Parameter parameter = { (char *) "limit", (char *) rows[i].value };
                struct Request request = { .parameters = &parameter, .n_parameters = 1 };
                uint64_t number = 50;
                int r = parameter_number(&request, "limit", 1, 500, &number, &response);

                assert_int_equal(r >= 0, rows[i].status == 0);
                assert_int_equal(response.status, rows[i].status);
        }
}

static void test_parameter_given_twice_is_refused(void **state) {
        _cleanup_response_ struct Response response = { 0 };
        struct Parameter parameters[] = { { (char *) "client", (char *) "a" },
                { (char *) "other", (char *) "b" }, { (char *) "client", (char *) "a" } };
        struct Request request = { .parameters = parameters, .n_parameters = 3 };
        const char *text = NULL;

        (void) state;
        assert_int_equal(parameter_text(&request, "other", &text, &response), 0);
        assert_string_equal(text, "b");
        assert_true(parameter_text(&request, "client", &text, &response) < 0);
        assert_refused(&response, 400, "field_type", "client");
}

static void test_time_parameter_is_rfc_3339(void **state) {
        static const struct {
                const char *value;
                bool taken;
        } rows[] = {
                { "2026-04-07T06:00:00Z", true },
                { "2026-04-07T08:00:00.5+02:00", true },
                { "20260407T060000Z", false },
                { "2026-04-07", false },
                { "2026-02-31T00:00:00Z", false },
                { "yesterday", false },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                _cleanup_response_ struct Response response = { 0 };
                struct Parameter parameter = { (char *) "since", (char *) rows[i].value };
                struct Request request = { .parameters = &parameter, .n_parameters = 1 };
                int64_t seconds = 0;

                assert_int_equal(
                        parameter_time(&request, "since", &seconds, &response) >= 0, rows[i].taken);
                if (rows[i].taken)
                        assert_int_equal(seconds, 1775541600);
                else
                        assert_refused(&response, 400, "field_type", "since");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_body_that_is_no_json_is_refused),
                cmocka_unit_test(test_nul_byte_in_the_body_is_refused),
                cmocka_unit_test(test_json_deeper_than_32_is_refused),
                cmocka_unit_test(test_body_must_be_an_object),
                cmocka_unit_test(test_absent_body_is_an_empty_object_where_it_is_optional),
                cmocka_unit_test(test_text_must_be_a_string_with_something_in_it),
                cmocka_unit_test(test_absent_and_null_fields_leave_the_default),
                cmocka_unit_test(test_number_must_be_whole_and_in_range),
                cmocka_unit_test(test_flag_must_be_a_boolean),
                cmocka_unit_test(test_document_is_kept_as_it_was_given),
                cmocka_unit_test(test_parameters_follow_the_same_rules),
                cmocka_unit_test(test_parameter_given_twice_is_refused),
                cmocka_unit_test(test_time_parameter_is_rfc_3339),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
