/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/converter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "converter-fixture.h"
#include "scratch.h"

static const struct ConverterLimits limits = {
        .confinement = { .memory = UINT64_C(256) << 20, .cpu_seconds = 1 },
        .milliseconds = 60000,
        .text_max = 1 << 20,
};
static const struct ConverterLimits no_time = {
        .confinement = { .memory = UINT64_C(256) << 20, .cpu_seconds = 60 },
        .milliseconds = 1,
        .text_max = 1 << 20,
};

static struct ConvertedText *run_with(
        const struct ConverterLimits *with, enum Conversion conversion, const char *script) {
        _cleanup_converters_ struct Converters *converters = NULL;
        const struct Operation operation = { 0 };
        struct Failure failure = { 0 };
        struct ConvertedText *text = NULL;
        const char *identity, *why;

        converter_install(scratch("bin"), conversion_kinds[conversion].program, script);
        scratch_write(scratch("document"), "the document\n", 13);
        _cleanup_close_ int fd = open(scratch("document"), O_RDONLY | O_CLOEXEC);
        assert_true(fd > 0);
        assert_int_equal(converters_new(with, &converters), 0);
        assert_int_equal(converters_find(converters, conversion, &identity, &why), 0);
        assert_non_null(identity);
        assert_int_equal(
                converters_run(converters, &operation, conversion, fd, &text, &failure), 0);
        return text;
}

static void expect_text(enum Conversion conversion, const char *script, const char *expected) {
        _cleanup_converted_text_ struct ConvertedText *text = run_with(&limits, conversion, script);

        assert_null(text->problem);
        assert_int_equal(text->size, strlen(expected));
        assert_memory_equal(text->text, expected, text->size);
}

static void expect_problem(const struct ConverterLimits *with, enum Conversion conversion,
        const char *script, bool unknown, const char *expected) {
        _cleanup_converted_text_ struct ConvertedText *text = run_with(with, conversion, script);

        assert_non_null(text->problem);
        assert_string_equal(text->problem, expected);
        assert_null(text->text);
        assert_int_equal(text->unknown, unknown);
        assert_false(text->passing);
}

static void test_the_text_is_what_the_program_makes_of_its_input(void **state) {
        (void) state;
        expect_text(CONVERSION_PDF, "read -r line; echo \"<$line>\"", "<the document>\n");
        expect_text(CONVERSION_HTML, "read -r line; echo \"<$line>\"", "<the document>\n");
}

static void test_what_it_complains_of_is_told_with_the_text(void **state) {
        _cleanup_converted_text_ struct ConvertedText *text = NULL;

        (void) state;
        text = run_with(&limits, CONVERSION_PDF, "echo text; echo one >&2; echo 'two\033' >&2");
        assert_non_null(text->text);
        assert_string_equal(text->warning, "two\\x1b");
}

static void test_a_status_is_a_problem_of_the_file(void **state) {
        (void) state;
        expect_problem(&limits, CONVERSION_DOCX, "echo text; echo 'not a zip' >&2; exit 63", false,
                "cannot be converted: pandoc ended with status 63: not a zip; see whether it is "
                "damaged or no DOCX, and save it anew");
        expect_problem(&limits, CONVERSION_PDF, "exit 1", false,
                "cannot be converted: pdftotext ended with status 1; see whether it is damaged or "
                "no PDF, and save it anew");
        expect_problem(&limits, CONVERSION_PDF,
                "echo 'Command Line Error: Incorrect password' >&2; exit 1", false,
                "is encrypted; keep a copy without a password");
}

static void test_a_crash_leaves_open_what_the_file_is(void **state) {
        (void) state;
        expect_problem(&limits, CONVERSION_PDF,
                "echo text; exec /usr/bin/python3 -I -c 'import ctypes; ctypes.string_at(0)'", true,
                "cannot be converted: pdftotext was ended by signal 11 (Segmentation fault); the "
                "file may be damaged, save it anew");
}

static void test_limits_are_told_with_what_they_are(void **state) {
        (void) state;
        expect_problem(&limits, CONVERSION_PDF, "while :; do :; done", true,
                "cannot be converted: pdftotext needs more processor time than 1 s; make it "
                "smaller, or keep its text beside it");
        expect_problem(&no_time, CONVERSION_PDF, "while :; do :; done", true,
                "cannot be converted: pdftotext needs longer than 0 s; make it smaller, or keep "
                "its text beside it");
        expect_problem(&limits, CONVERSION_HTML, "exit 251", true,
                "cannot be converted: pandoc needs more memory than 256 MiB; make it smaller, or "
                "keep its text beside it");
        expect_problem(&limits, CONVERSION_HTML, "exec /usr/bin/yes", false,
                "is larger than 1 MiB as text; split it");
}

static void test_what_is_no_text_is_a_problem(void **state) {
        (void) state;
        expect_problem(&limits, CONVERSION_PDF, "printf 'caf\\351\\n'", false,
                "cannot be converted: what pdftotext makes of it is not valid UTF-8 (at byte 4); "
                "see what pdftotext says of it");
        expect_problem(&limits, CONVERSION_PDF, "printf '\\f\\n\\f'", false,
                "holds no text; if its pages are pictures, make them searchable (ocrmypdf)");
        expect_problem(&limits, CONVERSION_ODT, ":", false, "holds no text");
}

static void test_nul_bytes_and_pictures_in_the_text_are_dropped(void **state) {
        (void) state;
        expect_text(CONVERSION_PDF, "printf 'a\\0b\\n'", "a b\n");
        expect_text(CONVERSION_HTML,
                "echo '![one](data:image/png;base64,AAAA) two [x](data:,b \"t\") [y](z)'",
                "![one](data:) two [x](data: \"t\") [y](z)\n");
}

static void test_a_program_that_is_missing_is_told_with_its_package(void **state) {
        _cleanup_converters_ struct Converters *converters = NULL;
        const char *identity, *why;

        (void) state;
        assert_int_equal(setenv("PATH", scratch("nowhere"), 1), 0);
        assert_int_equal(converters_new(&limits, &converters), 0);
        assert_int_equal(converters_find(converters, CONVERSION_PDF, &identity, &why), 0);
        assert_null(identity);
        assert_string_equal(why, "pdftotext is not installed; install the package poppler-utils");
}

static void test_one_that_cannot_be_started_is_no_fault_of_the_file(void **state) {
        _cleanup_converters_ struct Converters *converters = NULL;
        _cleanup_converted_text_ struct ConvertedText *text = NULL;
        const struct Operation operation = { 0 };
        struct Failure failure = { 0 };
        const char *identity, *why;

        (void) state;
        converter_install(scratch("bin"), "pdftotext", ":");
        assert_int_equal(converters_new(&limits, &converters), 0);
        assert_int_equal(converters_find(converters, CONVERSION_PDF, &identity, &why), 0);
        assert_int_equal(unlink(scratch("bin/pdftotext")), 0);
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(
                converters_run(converters, &operation, CONVERSION_PDF, fd, &text, &failure), 0);
        assert_true(text->passing);
        assert_true(text->unknown);
        assert_string_equal(text->problem, "cannot be converted: No such file or directory");
}

static void test_the_title_is_read_as_markdown(void **state) {
        char title[] = "A \\*b\\* \\\\ c\\d";

        (void) state;
        converted_title(title);
        assert_string_equal(title, "A *b* \\ c\\d");
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_SCRATCH(test_the_text_is_what_the_program_makes_of_its_input),
                IN_SCRATCH(test_what_it_complains_of_is_told_with_the_text),
                IN_SCRATCH(test_a_status_is_a_problem_of_the_file),
                IN_SCRATCH(test_a_crash_leaves_open_what_the_file_is),
                IN_SCRATCH(test_limits_are_told_with_what_they_are),
                IN_SCRATCH(test_what_is_no_text_is_a_problem),
                IN_SCRATCH(test_nul_bytes_and_pictures_in_the_text_are_dropped),
                IN_SCRATCH(test_a_program_that_is_missing_is_told_with_its_package),
                IN_SCRATCH(test_one_that_cannot_be_started_is_no_fault_of_the_file),
                IN_SCRATCH(test_the_title_is_read_as_markdown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
