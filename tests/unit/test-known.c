/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/known.h"

#include "store-fixture.h"

/* In the order of bytes: the slash comes after the dot and before the zero. */
static const char *const paths[] = { "a", "a.md", "a/b", "a/b/c", "a/b.md", "a0", "ab/c",
        "\xc3\xa4/x" };

static struct KnownDocuments *load(struct StoreFixture *f, const char *subpath) {
        struct KnownDocuments *known = NULL;

        assert_success(
                f, known_load(store_database(f->store), "vault", subpath, &known, &f->failure));
        return known;
}

static int setup(void **state) {
        if (fixture_new_with_store(state) < 0)
                return -1;
        struct StoreFixture *f = *state;
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
                (void) fixture_add_document(f, "vault", paths[i]);
                (void) fixture_add_document(f, "drive", paths[i]);
        }
        return 0;
}

static void expect_paths(struct StoreFixture *f, const char *subpath, const char *expected) {
        _cleanup_known_ struct KnownDocuments *known = load(f, subpath);
        char found[256] = "";

        for (size_t i = 0; i < known->n; i++) {
                strcat(found, known->documents[i].path);
                strcat(found, " ");
        }
        assert_string_equal(found, expected);
}

static void test_a_part_of_a_source_is_what_is_at_and_below_it(void **state) {
        struct StoreFixture *f = *state;

        expect_paths(f, "", "a a.md a/b a/b.md a/b/c a0 ab/c \xc3\xa4/x ");
        expect_paths(f, "a", "a a/b a/b.md a/b/c ");
        expect_paths(f, "a/b", "a/b a/b/c ");
        expect_paths(f, "a.md", "a.md ");
        expect_paths(f, "\xc3\xa4", "\xc3\xa4/x ");
        expect_paths(f, "nothing", "");
}

static void test_all_are_found_and_nothing_else(void **state) {
        struct StoreFixture *f = *state;
        static const char *const others[] = { "", "/", "A", "a/", "a/b/", "a/bc", "ab", "a.m",
                "a.md/", "b", "\xc3" };
        _cleanup_known_ struct KnownDocuments *known = load(f, "");

        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
                const struct KnownDocument *found = known_find(known, paths[i]);
                assert_non_null(found);
                assert_string_equal(found->path, paths[i]);
        }
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
                assert_null(known_find(known, others[i]));
}

static void expect_kept(struct StoreFixture *f, const char *path, size_t n) {
        _cleanup_known_ struct KnownDocuments *known = load(f, "");
        size_t length = strlen(path);

        assert_int_equal(known_keep(known, path), n);
        assert_int_equal(known_count_absent(known), known->n - n);
        for (size_t i = 0; i < known->n; i++) {
                const struct KnownDocument *document = &known->documents[i];
                bool below = length == 0 ||
                        (strncmp(document->path, path, length) == 0 &&
                                (document->path[length] == '/' || document->path[length] == '\0'));
                assert_int_equal(document->present, below);
        }
}

static void test_what_is_kept_is_what_is_at_and_below_it(void **state) {
        struct StoreFixture *f = *state;

        expect_kept(f, "", 8);
        expect_kept(f, "a", 4);
        expect_kept(f, "a/b", 2);
        expect_kept(f, "a/b/c", 1);
        expect_kept(f, "\xc3\xa4", 1);
        expect_kept(f, "nothing", 0);
}

static void test_nothing_known_is_nothing_found(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_known_ struct KnownDocuments *known = load(f, "nothing");

        assert_null(known_find(known, "a"));
        assert_int_equal(known_keep(known, ""), 0);
        assert_int_equal(known_count_absent(known), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_a_part_of_a_source_is_what_is_at_and_below_it),
                TEST(test_all_are_found_and_nothing_else),
                TEST(test_what_is_kept_is_what_is_at_and_below_it),
                TEST(test_nothing_known_is_nothing_found),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
