/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/check-report.h"
#include "tests/unit/backup-fixture.h"

static void assert_text(struct CheckReport *report, size_t i, const char *expected) {
        char *text = finding_text(&report->findings[i]);

        assert_string_equal(text, expected);
        free(text);
}

static void test_every_code_has_the_name_of_the_contract_and_an_action(void **state) {
        static const char *const names[] = { "snapshot_directory_missing", "metadata_missing",
                "metadata_invalid_json", "manifest_missing", "manifest_invalid",
                "db_snapshot_missing", "db_open_failed", "db_integrity_check_failed",
                "db_foreign_key_check_failed", "registry_snapshot_missing", "registry_invalid_json",
                "chroma_snapshot_missing", "checksum_mismatch", "file_missing", "file_unexpected",
                "archive_invalid" };
        _cleanup_check_report_ struct CheckReport *report = check_report_new("");

        (void) state;
        assert_int_equal(sizeof names / sizeof names[0], FINDING_CODE_COUNT_);
        for (int code = 0; code < FINDING_CODE_COUNT_; code++) {
                assert_string_equal(finding_code_name((enum FindingCode) code), names[code]);
                assert_int_equal(check_report_add(report, (enum FindingCode) code, SEVERITY_WARNING,
                                         NULL, NULL),
                        0);
                assert_true(strlen(report->findings[code].action) > 0);
        }
        assert_int_equal(report->n_findings, FINDING_CODE_COUNT_);
}

static void test_a_text_begins_with_its_code_and_says_what_there_is(void **state) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new(NOW_STAMP);

        (void) state;
        check_report_add(report, FINDING_FILE_MISSING, SEVERITY_ERROR, "a/b", "detail %d", 7);
        check_report_add(report, FINDING_FILE_MISSING, SEVERITY_ERROR, "a/b", NULL);
        check_report_add(report, FINDING_METADATA_MISSING, SEVERITY_ERROR, NULL, NULL);
        check_report_add(report, FINDING_METADATA_MISSING, SEVERITY_ERROR, NULL, "%s", "x");
        check_report_add(report, FINDING_FILE_MISSING, SEVERITY_ERROR, "a\nb\x1b", "\xff");
        assert_text(report, 0, "file_missing: a/b: detail 7");
        assert_text(report, 1, "file_missing: a/b");
        assert_text(report, 2, "metadata_missing");
        assert_text(report, 3, "metadata_missing: x");
        assert_text(report, 4, "file_missing: a\\nb\\x1b: \\xff");
}

static void test_what_was_not_checked_is_not_called_unfit_to_be_restored(void **state) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new(NOW_STAMP);
        const enum FindingCode code = FINDING_DB_INTEGRITY_CHECK_FAILED;

        (void) state;
        check_report_add(report, code, SEVERITY_ERROR, "db", "damaged");
        check_report_add(report, code, SEVERITY_WARNING, "db", "not checked: t");
        assert_non_null(strstr(report->findings[0].action, "do not restore it"));
        assert_null(strstr(report->findings[1].action, "do not restore it"));
        assert_non_null(strstr(report->findings[1].action, "check"));
}

static void test_only_errors_make_it_invalid(void **state) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new(NOW_STAMP);

        (void) state;
        assert_true(report->valid);
        check_report_add(report, FINDING_MANIFEST_MISSING, SEVERITY_WARNING, NULL, NULL);
        assert_true(report->valid);
        check_report_add(report, FINDING_MANIFEST_MISSING, SEVERITY_ERROR, NULL, NULL);
        check_report_add(report, FINDING_MANIFEST_MISSING, SEVERITY_WARNING, NULL, NULL);
        assert_false(report->valid);
        assert_true(check_report_has(report, FINDING_MANIFEST_MISSING));
        assert_false(check_report_has(report, FINDING_MANIFEST_INVALID));
}

static void test_errors_come_first_and_each_by_path(void **state) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new(NOW_STAMP);

        (void) state;
        check_report_sort(report); /* of nothing */
        check_report_add(report, FINDING_FILE_MISSING, SEVERITY_WARNING, "a", NULL);
        check_report_add(report, FINDING_FILE_UNEXPECTED, SEVERITY_ERROR, "b", NULL);
        check_report_add(report, FINDING_FILE_MISSING, SEVERITY_ERROR, "b", NULL);
        check_report_add(report, FINDING_FILE_MISSING, SEVERITY_ERROR, "a", NULL);
        check_report_add(report, FINDING_SNAPSHOT_DIRECTORY_MISSING, SEVERITY_ERROR, NULL, NULL);
        check_report_sort(report);
        assert_text(report, 0, "snapshot_directory_missing");
        assert_text(report, 1, "file_missing: a");
        assert_text(report, 2, "file_missing: b");
        assert_text(report, 3, "file_unexpected: b");
        assert_int_equal(report->findings[4].severity, SEVERITY_WARNING);
}

static void test_any_number_of_findings_is_kept(void **state) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new(NOW_STAMP);
        char path[16];

        (void) state;
        for (int i = 0; i < 3000; i++) {
                (void) snprintf(path, sizeof path, "%05d", 2999 - i);
                assert_int_equal(
                        check_report_add(report, FINDING_FILE_MISSING, SEVERITY_ERROR, path, NULL),
                        0);
        }
        check_report_sort(report);
        for (int i = 0; i < 3000; i++) {
                (void) snprintf(path, sizeof path, "%05d", i);
                assert_string_equal(report->findings[i].path, path);
        }
}

static void test_json_is_json_whatever_the_names(void **state) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new(NOW_STAMP);
        _cleanup_json_ json_object *json = NULL, *again = NULL, *verdict = NULL, *read = NULL;
        json_object *first, *errors;

        (void) state;
        check_report_add(report, FINDING_FILE_UNEXPECTED, SEVERITY_ERROR, "\xff\n\"", "d\xc3");
        check_report_add(report, FINDING_FILE_UNEXPECTED, SEVERITY_WARNING, "new\nline", NULL);
        report->duration_ms = 5;
        json = check_report_to_json(report);
        again = json_again(json);
        assert_string_equal(json_text_of(again, "stamp"), NOW_STAMP);
        assert_string_equal(json_text_of(again, "valid"), "false");
        assert_string_equal(json_text_of(again, "duration_ms"), "5");
        errors = json_member(again, "errors");
        assert_int_equal(json_object_array_length(errors), 1);
        assert_string_equal(json_object_get_string(json_object_array_get_idx(errors, 0)),
                "file_unexpected: \\xff\\n\": d\\xc3");
        assert_int_equal(json_object_array_length(json_member(again, "warnings")), 1);
        first = json_object_array_get_idx(json_member(again, "findings"), 0);
        assert_string_equal(json_text_of(first, "code"), "file_unexpected");
        assert_string_equal(json_text_of(first, "severity"), "error");
        assert_string_equal(json_text_of(first, "path"), "\\xff\\n\"");
        first = json_object_array_get_idx(json_member(again, "findings"), 1);
        assert_string_equal(json_text_of(first, "path"), "new\nline");
        assert_null(json_member(first, "detail"));

        verdict = check_report_verdict(report, NOW);
        read = json_again(verdict);
        assert_string_equal(json_text_of(read, "validated_at"), "2026-04-07T06:00:00Z");
        assert_string_equal(json_text_of(read, "valid"), "false");
        assert_int_equal(json_object_array_length(json_member(read, "errors")), 1);
}

static void test_no_report_is_freed_without_harm(void **state) {
        (void) state;
        assert_null(check_report_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_code_has_the_name_of_the_contract_and_an_action),
                cmocka_unit_test(test_a_text_begins_with_its_code_and_says_what_there_is),
                cmocka_unit_test(test_what_was_not_checked_is_not_called_unfit_to_be_restored),
                cmocka_unit_test(test_only_errors_make_it_invalid),
                cmocka_unit_test(test_errors_come_first_and_each_by_path),
                cmocka_unit_test(test_any_number_of_findings_is_kept),
                cmocka_unit_test(test_json_is_json_whatever_the_names),
                cmocka_unit_test(test_no_report_is_freed_without_harm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
