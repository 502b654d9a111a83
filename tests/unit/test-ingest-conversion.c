/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Documents that are converted, as ingest goes about them. */

#include "converter-fixture.h"
#include "ingest-fixture.h"

static struct Event last_notice;
static char last_message[1024];
static int n_notices;

static void notice(const struct Event *event, const char *message, void *userdata) {
        (void) userdata;
        last_notice = *event;
        (void) snprintf(last_message, sizeof last_message, "%s", message);
        n_notices++;
}

/* One that takes over what it is given. */
#define COPY "while IFS= read -r line; do printf '%s\\n' \"$line\"; done"

static int setup(void **state) {
        if (fixture_new(state) < 0)
                return -1;
        struct StoreFixture *f = *state;
        f->operation.notice = notice;
        n_notices = 0;
        converter_install(path_of(f, "bin"), "pandoc", COPY);
        converter_install(path_of(f, "bin"), "pdftotext", COPY);
        return 0;
}

#define UNREAD "what was known of it is kept"

static void test_documents_are_converted_and_have_chunks(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.PDF", "one\n\ftwo\n\f");
        write_text(f, "sources/drive/b.docx", "---\ntitle: \"B \\\\* b\"\n---\n\n# H\n\ntext\n");
        write_text(f, "sources/drive/c.xhtml", "# C\n\ntext\n");
        write_text(f, "sources/drive/d.odt", "text\n");
        expect(f, "4 4 0 0 +5 -0");
        expect_rows(f,
                "SELECT path, d.title, heading_path, start_line, end_line, content"
                " FROM documents d JOIN chunks ON document_id = d.id ORDER BY path, ordinal",
                "a.PDF|a|[\"Page 1\"]|1|1|one\n"
                "a.PDF|a|[\"Page 2\"]|2|2|two\n"
                "b.docx|B * b|[\"H\"]|5|7|# H\n\ntext\n"
                "c.xhtml|C|[\"C\"]|1|3|# C\n\ntext\n"
                "d.odt|d|[]|1|1|text\n");
        expect(f, "4 0 4 0 +0 -0");
}

static void test_what_did_not_change_is_not_converted_again(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.pdf", "one\n");
        expect(f, "1 1 0 0 +1 -0");
        converter_install(path_of(f, "bin"), "pdftotext", "exit 1");
        expect(f, "1 0 1 0 +0 -0");
        /* Touched: its digest tells. */
        set_time(f, "sources/drive/a.pdf", OLD + 10);
        expect(f, "1 0 1 0 +0 -0");
}

#define ENDED(status)                                                                              \
        "sources/drive/a.pdf: cannot be converted: pdftotext ended with status " status            \
        "; see whether it is damaged or no PDF, and save it anew"

static void test_what_failed_is_tried_again_when_file_or_program_changed(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.pdf", "one\n");
        converter_install(path_of(f, "bin"), "pdftotext", "exit 3");
        expect(f, "1 0 0 0 +0 -0\n" ENDED("3"));
        /* The same program as far as stat(2) tells: that it would fail otherwise is not noticed. */
        converter_install(path_of(f, "bin"), "pdftotext", "exit 4");
        expect(f, "1 0 0 0 +0 -0\n" ENDED("3"));
        expect(f, "1 0 0 0 +0 -0\n" ENDED("3"));
        set_time(f, "sources/drive/a.pdf", OLD + 10);
        expect(f, "1 0 0 0 +0 -0\n" ENDED("4"));
        converter_install(path_of(f, "bin"), "pdftotext", "exit 15");
        expect(f, "1 0 0 0 +0 -0\n" ENDED("15"));
        converter_install(path_of(f, "bin"), "pdftotext", COPY);
        expect(f, "1 1 0 0 +1 -0");
}

static void test_failures_of_files_that_are_gone_are_forgotten(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_free_ char *text = NULL;
        size_t size;

        write_text(f, "sources/vault/a.md", "text\n");
        write_text(f, "sources/drive/a.pdf", "one\n");
        write_text(f, "sources/drive/b.pdf", "one\n");
        converter_install(path_of(f, "bin"), "pdftotext", "exit 3");
        (void) ingest_result_free(ingest(f));
        remove_file(f, "sources/drive/a.pdf");
        (void) ingest_result_free(ingest(f));
        assert_int_equal(read_file_at(AT_FDCWD, path_of(f, "data/cache/unconverted.json"), 65536,
                                 &text, &size),
                0);
        assert_null(strstr(text, "a.pdf"));
        assert_non_null(strstr(text, "sources/drive/b.pdf"));
}

static void test_a_broken_memory_costs_a_conversion_and_nothing_else(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.pdf", "one\n");
        converter_install(path_of(f, "bin"), "pdftotext", "exit 3");
        expect(f, "1 0 0 0 +0 -0\n" ENDED("3"));
        write_text(f, "data/cache/unconverted.json", "{\"sources/drive/a.pdf\":{\"size\":");
        converter_install(path_of(f, "bin"), "pdftotext", "exit 4");
        expect(f, "1 0 0 0 +0 -0\n" ENDED("4"));
        write_text(f, "data/cache/unconverted.json", "{\"sources/drive/a.pdf\":[]}");
        expect(f, "1 0 0 0 +0 -0\n" ENDED("4"));
}

static void test_a_memory_that_cannot_be_kept_is_told(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.pdf", "one\n");
        write_text(f, "data/cache", "in the way");
        converter_install(path_of(f, "bin"), "pdftotext", "exit 3");
        expect(f, "1 0 0 0 +0 -0\n" ENDED("3"));
        assert_int_equal(last_notice.id, EVENT_STATE_NOT_SAVED);
}

static void test_without_a_program_each_kind_is_told_once_and_nothing_is_removed(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.pdf", "one\n");
        write_text(f, "sources/drive/b.docx", "text\n");
        write_text(f, "sources/drive/n.md", "text\n");
        expect(f, "3 3 0 0 +3 -0");
        remove_file(f, "bin");
        write_text(f, "sources/drive/a.pdf", "two, changed\n");
        write_text(f, "sources/drive/c.pdf", "one\n");
        write_text(f, "sources/drive/d.odt", "one\n");
        write_text(f, "sources/drive/n.md", "text, changed\n");
        expect(f,
                "5 1 1 0 +1 -1\n"
                "sources/drive/a.pdf: pdftotext is not installed; install the package "
                "poppler-utils (PDF files that were not read: 2; what was known of them is kept)\n"
                "sources/drive/d.odt: pandoc is not installed; install the package pandoc (ODT "
                "files that were not read: 1; what was known of them is kept)");
        assert_int_equal(n_notices, 2);
        assert_int_equal(last_notice.id, EVENT_INGEST_CONVERTER_MISSING);
        expect_rows(f, "SELECT path FROM documents ORDER BY path", "a.pdf\nb.docx\nn.md\n");
}

static void test_one_that_is_certain_to_be_no_document_any_more_is_removed(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.pdf", "one\n");
        write_text(f, "sources/drive/b.pdf", "one\n");
        expect(f, "2 2 0 0 +2 -0");
        converter_install(path_of(f, "bin"), "pdftotext", "exit 3");
        write_text(f, "sources/drive/a.pdf", "damaged\n");
        expect(f, "2 0 1 1 +0 -1\n" ENDED("3"));
}

static void test_one_that_the_program_fails_on_is_kept_as_it_was(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.pdf", "one\n");
        expect(f, "1 1 0 0 +1 -0");
        converter_install(path_of(f, "bin"), "pdftotext",
                "exec /usr/bin/python3 -I -c 'import ctypes; ctypes.string_at(0)'");
        write_text(f, "sources/drive/a.pdf", "damaged\n");
        for (int i = 0; i < 2; i++)
                expect(f,
                        "1 0 0 0 +0 -0\nsources/drive/a.pdf: cannot be converted: pdftotext was "
                        "ended by signal 11 (Segmentation fault); the file may be damaged, save it "
                        "anew; " UNREAD);
        expect_rows(f, "SELECT path FROM documents", "a.pdf\n");
}

static void test_files_that_are_empty_too_large_or_no_text_are_told(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.html", "");
        write_text(f, "sources/drive/b.pdf", "");
        write_bytes(f, "sources/drive/c.html", "\x89PNG\0", 5);
        write_text(f, "sources/drive/d.docx", "x");
        assert_return_code(truncate(path_of(f, "sources/drive/d.docx"), (128 << 20) + 1), errno);
        expect(f,
                "4 0 0 0 +0 -0\n"
                "sources/drive/a.html: is empty\n"
                "sources/drive/b.pdf: is empty\n"
                "sources/drive/c.html: is binary: it holds a NUL byte\n"
                "sources/drive/d.docx: is larger than 128 MiB");
}

static void test_what_a_program_complains_of_is_told_and_the_text_indexed(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/drive/a.pdf", "one\n");
        converter_install(path_of(f, "bin"), "pdftotext", "echo text; echo 'Bad annotation' >&2");
        expect(f,
                "1 1 0 0 +1 -0\nsources/drive/a.pdf: pdftotext complained: Bad annotation; parts "
                "of the text may be missing");
        assert_int_equal(last_notice.id, EVENT_INGEST_CONVERSION_WARNING);
        expect(f, "1 0 1 0 +0 -0");
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, fixture_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_ROOT(test_documents_are_converted_and_have_chunks),
                WITH_ROOT(test_what_did_not_change_is_not_converted_again),
                WITH_ROOT(test_what_failed_is_tried_again_when_file_or_program_changed),
                WITH_ROOT(test_failures_of_files_that_are_gone_are_forgotten),
                WITH_ROOT(test_a_broken_memory_costs_a_conversion_and_nothing_else),
                WITH_ROOT(test_a_memory_that_cannot_be_kept_is_told),
                WITH_ROOT(test_without_a_program_each_kind_is_told_once_and_nothing_is_removed),
                WITH_ROOT(test_one_that_is_certain_to_be_no_document_any_more_is_removed),
                WITH_ROOT(test_one_that_the_program_fails_on_is_kept_as_it_was),
                WITH_ROOT(test_files_that_are_empty_too_large_or_no_text_are_told),
                WITH_ROOT(test_what_a_program_complains_of_is_told_and_the_text_indexed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
