/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/manifest.h"
#include "lib/base/file-io.h"
#include "lib/base/stamp.h"

/* SHA-256 of nothing and of "x". */
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define X     "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

/* Names that sha256sum(1) escapes, and names that could be mistaken for something else. */
static const char *const awkward_names[] = {
        "back\\slash",
        "\\leading",
        "trailing\\",
        "new\nline",
        "carriage\rreturn",
        "trailing return\r",
        "all\\\n\r of them",
        " leading blank",
        "*star",
        "#comment",
        "trailing blank ",
        "SHA256 (x) = y",
        "chroma/SHA256SUMS",
        "chroma/..dots..",
        "\xff\xfe not UTF-8",
        "\xc3\xa4",
        "it's \"quoted\"",
        "chroma/-",
        "...",
};
#define N_AWKWARD (sizeof awkward_names / sizeof awkward_names[0])

static struct Manifest *manifest_of(const char *const *paths, size_t n) {
        struct Manifest *manifest = manifest_new();

        assert_non_null(manifest);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(manifest_add(manifest, paths[i], X), 0);
        manifest_sort(manifest);
        return manifest;
}

static char *format(const struct Manifest *manifest, size_t *ret_size) {
        char *text = NULL;

        assert_int_equal(manifest_format(manifest, &text, ret_size), 0);
        assert_int_equal(strlen(text), *ret_size);
        return text;
}

static struct Manifest *parse(const char *text, size_t size) {
        struct Manifest *manifest = NULL;
        const char *problem = NULL;
        int r = manifest_parse(text, size, &manifest, &problem);

        if (r < 0)
                fail_msg("parse: %s", problem);
        assert_null(problem);
        return manifest;
}

static void test_lines_are_those_of_sha256sum_sorted_by_bytes(void **state) {
        static const char *const paths[] = { "db/atocore.db", "db-wal", "a\\b", "\xff", "Z" };
        _cleanup_manifest_ struct Manifest *manifest = manifest_of(paths, 5);
        _cleanup_free_ char *text = NULL;
        size_t size;

        (void) state;
        text = format(manifest, &size);
        /* '-' < '/' and every byte from 0x80 sorts behind ASCII. */
        assert_string_equal(text,
                X "  Z\n"
                  "\\" X "  a\\\\b\n" X "  db-wal\n" X "  db/atocore.db\n" X "  \xff\n");
}

static void test_what_is_formatted_parses_to_the_same(void **state) {
        _cleanup_manifest_ struct Manifest *manifest = manifest_of(awkward_names, N_AWKWARD);
        _cleanup_manifest_ struct Manifest *parsed = NULL;
        _cleanup_free_ char *text = NULL, *again = NULL;
        size_t size, again_size;

        (void) state;
        text = format(manifest, &size);
        parsed = parse(text, size);
        assert_int_equal(parsed->n_entries, N_AWKWARD);
        for (size_t i = 0; i < N_AWKWARD; i++) {
                const struct ManifestEntry *entry = manifest_find(parsed, awkward_names[i]);

                assert_non_null(entry);
                assert_string_equal(entry->path, awkward_names[i]);
                assert_string_equal(entry->digest, X);
        }
        again = format(parsed, &again_size);
        assert_int_equal(size, again_size);
        assert_memory_equal(text, again, size);
}

static void test_what_is_not_listed_is_not_found(void **state) {
        static const char *const paths[] = { "a", "c" };
        _cleanup_manifest_ struct Manifest *manifest = manifest_of(paths, 2);
        _cleanup_manifest_ struct Manifest *none = manifest_of(NULL, 0);

        (void) state;
        assert_null(manifest_find(manifest, "b"));
        assert_null(manifest_find(manifest, ""));
        assert_null(manifest_find(manifest, "d"));
        assert_null(manifest_find(none, "a"));
}

static char *path_in(const char *directory, const char *name) {
        char *path = NULL;

        assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
        return path;
}

/* Output of a command run in `directory`. */
static size_t run(const char *directory, const char *command, char *output, size_t max) {
        char line[4096];
        FILE *pipe;
        size_t n;

        assert_true(snprintf(line, sizeof line, "cd '%s' && LC_ALL=C && export LC_ALL && %s 2>&1",
                            directory, command) < (int) sizeof line);
        pipe = popen(line, "re");
        assert_non_null(pipe);
        n = fread(output, 1, max - 1, pipe);
        output[n] = '\0';
        if (pclose(pipe) != 0)
                fail_msg("%s: %s", line, output);
        return n;
}

static void test_sha256sum_agrees_on_every_awkward_name(void **state) {
        char directory[] = "/tmp/atocore-test-manifest-XXXXXX";
        _cleanup_manifest_ struct Manifest *manifest = NULL;
        _cleanup_free_ char *text = NULL, *sums = NULL, *chroma = NULL;
        char output[8192];
        size_t size;

        (void) state;
        assert_non_null(mkdtemp(directory));
        chroma = path_in(directory, "chroma");
        assert_int_equal(make_directory_at(AT_FDCWD, chroma), 0);
        for (size_t i = 0; i < N_AWKWARD; i++) {
                _cleanup_free_ char *path = path_in(directory, awkward_names[i]);

                assert_int_equal(write_new_file_at(AT_FDCWD, path, "x", 1), 0);
        }

        /* What it writes is what we write. */
        size = run(directory, "find . -type f -printf '%P\\0' | sort -z | xargs -0 sha256sum --",
                output, sizeof output);
        manifest = manifest_of(awkward_names, N_AWKWARD);
        text = format(manifest, &size);
        assert_string_equal(output, text);

        /* And it verifies with what we write. */
        sums = path_in(directory, MANIFEST_NAME);
        assert_int_equal(write_new_file_at(AT_FDCWD, sums, text, size), 0);
        (void) run(directory, "sha256sum --strict --quiet -c SHA256SUMS", output, sizeof output);
        assert_string_equal(output, "");

        assert_int_equal(remove_tree_at(AT_FDCWD, directory), 0);
}

static void test_paths_that_lead_elsewhere_are_not_taken(void **state) {
        static const char *const paths[] = { "", "/", "/etc/passwd", "..", ".", "a/..", "../a",
                "a/../b", "a/./b", "./a", "a//b", "a/", "SHA256SUMS" };
        _cleanup_manifest_ struct Manifest *manifest = manifest_new();

        (void) state;
        assert_non_null(manifest);
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
                assert_int_equal(manifest_add(manifest, paths[i], X), -EINVAL);
        assert_int_equal(manifest_add(manifest, "a", "short"), -EINVAL);
        assert_int_equal(manifest_add(manifest, "a", X "0"), -EINVAL);
        assert_int_equal(manifest->n_entries, 0);
}

static void test_nothing_but_a_sorted_manifest_is_formatted(void **state) {
        _cleanup_manifest_ struct Manifest *manifest = manifest_new();
        char *text = NULL;
        size_t size;

        (void) state;
        assert_non_null(manifest);
        assert_int_equal(manifest_format(manifest, &text, &size), -EINVAL);
        assert_int_equal(manifest_add(manifest, "b", X), 0);
        assert_int_equal(manifest_add(manifest, "a", X), 0);
        assert_int_equal(manifest_format(manifest, &text, &size), -EINVAL);
        manifest_sort(manifest);
        assert_int_equal(manifest_add(manifest, "b", EMPTY), 0);
        assert_int_equal(manifest_format(manifest, &text, &size), -EINVAL);
        assert_null(text);
}

#define BAD(text, problem)                                                                         \
        { text, sizeof(text) - 1, problem }

static void test_anything_else_is_refused_with_its_problem(void **state) {
        static const struct {
                const char *text;
                size_t size;
                const char *problem;
        } cases[] = {
                BAD("", "empty"),
                BAD("\n", "too short"),
                BAD(X "  a", "newline"),
                BAD(X "  a\n\n", "too short"),
                BAD("# comment\n", "too short"),
                BAD(X "  \n", "too short"),
                BAD(X " \n", "too short"),
                BAD("\\" X "  \n", "too short"),
                BAD(X "  a\0b\n", "NUL"),
                BAD(X " *a\n", "two spaces"),
                BAD(X "\t a\n", "two spaces"),
                BAD(" " X "  a\n", "hex digits"),
                BAD("2D711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  a\n",
                        "hex digits"),
                BAD("gd711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  a\n",
                        "hex digits"),
                BAD(X "0  a\n", "two spaces"),
                BAD("SHA256 (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa) = " X "\n",
                        "hex digits"),
                BAD(X "  a\r\n", "carriage return"),
                BAD(X "  a\\b\n", "not escaped"),
                BAD("\\" X "  a\n", "no escape"),
                BAD("\\" X "  a\\tb\n", "none of"),
                BAD("\\" X "  a\\\n", "none of"),
                BAD("\\\\" X "  a\\\\\n", "hex digits"),
                BAD(X "  b\n" X "  a\n", "ascending"),
                BAD(X "  a\n" X "  a\n", "ascending"),
                BAD(X "  /a\n", "absolute"),
                BAD(X "  ../a\n", ".."),
                BAD(X "  a/../../b\n", ".."),
                BAD(X "  a//b\n", "empty"),
                BAD(X "  a/\n", "empty"),
                BAD(X "  ./a\n", ". or .."),
                BAD(X "  SHA256SUMS\n", "lists itself"),
        };

        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                /* A copy without a byte to spare: reading past the end is seen by the sanitizer. */
                _cleanup_free_ char *text = malloc(cases[i].size > 0 ? cases[i].size : 1);
                struct Manifest *manifest = NULL;
                const char *problem = NULL;

                assert_non_null(text);
                memcpy(text, cases[i].text, cases[i].size);
                assert_int_equal(
                        manifest_parse(text, cases[i].size, &manifest, &problem), -EBADMSG);
                assert_null(manifest);
                assert_non_null(problem);
                if (!strstr(problem, cases[i].problem))
                        fail_msg("case %zu: %s", i, problem);
        }
}

/* Every changed byte either makes it invalid or makes it say something else. */
static void test_no_changed_byte_goes_unnoticed(void **state) {
        _cleanup_manifest_ struct Manifest *manifest = manifest_of(awkward_names, N_AWKWARD);
        _cleanup_free_ char *text = NULL;
        size_t size;

        (void) state;
        text = format(manifest, &size);
        for (size_t i = 0; i < size; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        _cleanup_manifest_ struct Manifest *parsed = NULL;
                        _cleanup_free_ char *again = NULL;
                        const char *problem = NULL;
                        size_t again_size;
                        int r;

                        text[i] = (char) (text[i] ^ (1 << bit));
                        r = manifest_parse(text, size, &parsed, &problem);
                        if (r == 0) {
                                again = format(parsed, &again_size);
                                assert_int_equal(again_size, size);
                                assert_memory_equal(again, text, size);
                        } else
                                assert_int_equal(r, -EBADMSG);
                        text[i] = (char) (text[i] ^ (1 << bit));
                }
}

/* Ten times the entries take about ten times as long. A quadratic walk takes a hundred times, and
 * minutes: the margin is wide enough for any machine. */
static void test_a_hundred_thousand_entries_are_no_burden(void **state) {
        const size_t n = 100000;
        _cleanup_manifest_ struct Manifest *manifest = manifest_new(), *parsed = NULL;
        _cleanup_free_ char *text = NULL;
        uint64_t start = monotonic_ms();
        size_t size;

        (void) state;
        assert_non_null(manifest);
        for (size_t i = 0; i < n; i++) {
                char path[64];

                (void) snprintf(path, sizeof path, "chroma/%05zu/data", i * 7919 % n);
                assert_int_equal(manifest_add(manifest, path, X), 0);
        }
        manifest_sort(manifest);
        text = format(manifest, &size);
        parsed = parse(text, size);
        assert_int_equal(parsed->n_entries, n);
        for (size_t i = 0; i < n; i++)
                assert_non_null(manifest_find(parsed, manifest->entries[i].path));
        assert_true(monotonic_ms() - start < 20000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines_are_those_of_sha256sum_sorted_by_bytes),
                cmocka_unit_test(test_what_is_formatted_parses_to_the_same),
                cmocka_unit_test(test_what_is_not_listed_is_not_found),
                cmocka_unit_test(test_sha256sum_agrees_on_every_awkward_name),
                cmocka_unit_test(test_paths_that_lead_elsewhere_are_not_taken),
                cmocka_unit_test(test_nothing_but_a_sorted_manifest_is_formatted),
                cmocka_unit_test(test_anything_else_is_refused_with_its_problem),
                cmocka_unit_test(test_no_changed_byte_goes_unnoticed),
                cmocka_unit_test(test_a_hundred_thousand_entries_are_no_burden),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
