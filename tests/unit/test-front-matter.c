/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/front-matter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/utf8.h"

static struct FrontMatter *read_bytes(const char *text, size_t size) {
        struct FrontMatter *front_matter = NULL;

        assert_int_equal(front_matter_read(text, size, &front_matter), 0);
        assert_non_null(front_matter->tags);
        assert_non_null(front_matter->aliases);
        if (front_matter->error && !strstr(front_matter->error, "in part")) {
                assert_null(front_matter->title);
                assert_null(front_matter->tags[0]);
                assert_null(front_matter->aliases[0]);
        }
        return front_matter;
}

/* `yaml` between fences. */
static struct FrontMatter *read_yaml(const char *yaml) {
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text, "---\n%s\n---\n", yaml) > 0);
        assert_int_equal(front_matter_size(text, strlen(text)), strlen(text));
        return read_bytes(text, strlen(text));
}

static void expect_strings(char **found, const char *const *expected) {
        size_t i = 0;

        for (; expected[i]; i++) {
                assert_non_null(found[i]);
                assert_string_equal(found[i], expected[i]);
        }
        assert_null(found[i]);
}
#define STRINGS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* `unread` is the line of what should be text and is not; 0: none. */
static void expect_in_part(unsigned unread, const char *yaml, const char *title,
        const char *const *tags, const char *const *aliases) {
        _cleanup_front_matter_ struct FrontMatter *front_matter = read_yaml(yaml);

        if (unread > 0) {
                _cleanup_free_ char *error = NULL;

                assert_true(
                        asprintf(&error, "in part: line %u has neither text nor a list of texts",
                                unread) > 0);
                assert_string_equal(front_matter->error, error);
                assert_true(front_matter->says_more);
        } else
                assert_null(front_matter->error);
        if (title)
                assert_string_equal(front_matter->title, title);
        else
                assert_null(front_matter->title);
        expect_strings(front_matter->tags, tags);
        expect_strings(front_matter->aliases, aliases);
}

static void expect(
        const char *yaml, const char *title, const char *const *tags, const char *const *aliases) {
        expect_in_part(0, yaml, title, tags, aliases);
}

static void expect_error(const char *yaml, const char *part) {
        _cleanup_front_matter_ struct FrontMatter *front_matter = read_yaml(yaml);

        assert_non_null(front_matter->error);
        assert_non_null(strstr(front_matter->error, part));
}

static void test_it_stands_on_the_first_line_between_its_fences(void **state) {
        (void) state;
        static const struct {
                const char *text;
                size_t size;
        } cases[] = {
                { "---\na: b\n---\ntext\n", 13 },
                { "---\na: b\n...\ntext\n", 13 },
                { "--- \t\r\na: b\r\n--- \r\ntext", 19 },
                { "---\ra: b\r---\rtext", 13 },
                { "---\n---", 7 },
                { "---\n--- a\n----\n ---\n---\n", 24 },
                { "", 0 },
                { "---", 0 },
                { "---\n", 0 },
                { "---\na: b\n", 0 },
                { "\n---\na: b\n---\n", 0 },
                { " ---\na: b\n---\n", 0 },
                { "----\na: b\n---\n", 0 },
                { "...\na: b\n---\n", 0 },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                assert_int_equal(
                        front_matter_size(cases[i].text, strlen(cases[i].text)), cases[i].size);
}

static void test_title_tags_and_aliases_are_read(void **state) {
        (void) state;
        expect("title: A title\ntags:\n  - one\n  - two\naliases: [Alias, \"Other, name\"]",
                "A title", STRINGS("one", "two"), STRINGS("Alias", "Other, name"));
        expect("tag: [one]\nalias:\n- A", NULL, STRINGS("one"), STRINGS("A"));
        expect("", NULL, STRINGS(), STRINGS());
        expect("# only a comment", NULL, STRINGS(), STRINGS());
}

static void test_case_does_not_matter_in_keys(void **state) {
        (void) state;
        expect("Title: T\nTAGS: [one]\nAliases: A", "T", STRINGS("one"), STRINGS("A"));
        expect("Tag: two\nAlias: B", NULL, STRINGS("two"), STRINGS("B"));
}

static void test_one_string_may_hold_several(void **state) {
        (void) state;
        expect("tags: \"#one, two #three/four\"\naliases: First name, Second name", NULL,
                STRINGS("one", "two", "three/four"), STRINGS("First name", "Second name"));
        expect("tags:\n  - '#one'\n  - '# two,three'", NULL, STRINGS("one", "two", "three"),
                STRINGS());
}

static void test_values_that_are_nothing_are_left_out(void **state) {
        (void) state;
        expect("title:\ntags:\naliases:", NULL, STRINGS(), STRINGS());
        expect("title: ~\ntags: null\naliases: [Null, '', ' ', a]", NULL, STRINGS(), STRINGS("a"));
        expect("title: ''\ntags: ['#', \"null\"]", NULL, STRINGS("null"), STRINGS());
}

static void test_scalars_of_other_types_are_their_text(void **state) {
        (void) state;
        expect("title: 2024-01-02\ntags: [1, true, 1.5]\naliases: 7", "2024-01-02",
                STRINGS("1", "true", "1.5"), STRINGS("7"));
        expect("title: >\n  folded\n  lines\n", "folded lines", STRINGS(), STRINGS());
}

static void test_lists_may_be_in_lists(void **state) {
        (void) state;
        expect("tags: [[one, [two]], three, []]\naliases:\n- - A\n  - - B\n- C", NULL,
                STRINGS("one", "two", "three"), STRINGS("A", "B", "C"));
}

static void test_what_has_another_shape_is_left_out_and_told(void **state) {
        (void) state;
        expect_in_part(2, "title: [a, b]\ntags: one", NULL, STRINGS("one"), STRINGS());
        expect_in_part(3, "title: T\ntags: {a: b}", "T", STRINGS(), STRINGS());
        expect_in_part(4, "aliases:\n- flat\n- {x: y, z: [a, b]}\n- last", NULL, STRINGS(),
                STRINGS("flat", "last"));
        expect_in_part(2, "title: {{title}}\ntags: [a, {{b}}]", NULL, STRINGS("a"), STRINGS());
        expect("? [complex, key]\n: value\n? {a: b}\n: [title]\ntitle: T", "T", STRINGS(),
                STRINGS());
        expect("other: {title: no, tags: [no]}\ntags: one", NULL, STRINGS("one"), STRINGS());
}

static void test_it_is_known_whether_it_says_more(void **state) {
        (void) state;
        static const struct {
                const char *yaml;
                bool more;
        } cases[] = {
                { "title: T\ntags: [a, [b]]\nalias: A", false },
                { "title: T\nserial:\nowner: ~\nlist: []", false },
                { "", false },
                { "title: T\nserial: SN98765", true },
                { "list: [a]", true },
                { "map: {a: b}", true },
                { "? [a]\n:", true },
                { "tags: &a [x]\nother: *a", true },
                { "title: A\ntitle: B", true },
                { "title: [T]", true },
        };
        char yaml[400] = "tags: [one, ";

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                _cleanup_front_matter_ struct FrontMatter *front_matter = read_yaml(cases[i].yaml);
                assert_int_equal(front_matter->says_more, cases[i].more);
        }
        memset(yaml + strlen(yaml), 'x', 300);
        strcat(yaml, "]");
        _cleanup_front_matter_ struct FrontMatter *cut = read_yaml(yaml);
        assert_true(cut->says_more);
}

static void test_a_label_is_one_bounded_line(void **state) {
        (void) state;
        _cleanup_free_ char *yaml = malloc(4000);

        assert_non_null(yaml);
        expect("title: \"  a\\n\\tb\\x07c  \"", "a b c", STRINGS(), STRINGS());

        strcpy(yaml, "title: x");
        for (size_t i = 0; i < 1000; i++)
                strcat(yaml, "\xe2\x82\xac");
        _cleanup_front_matter_ struct FrontMatter *front_matter = read_yaml(yaml);
        assert_int_equal(strlen(front_matter->title), 238);
        assert_true(utf8_is_valid(front_matter->title, 238));
}

static void test_broken_yaml_names_the_line_of_the_file(void **state) {
        (void) state;
        expect_error("a: b\ntitle: [x", "line ");
        expect_error("a: b\n\ttitle: x", "line 3");
        expect_error("title: @x", "line 2");
        expect_error("title: \"\\ud800\"", "line 2");
        expect_error("title: \x01", "");
        expect_error("a: *unknown]", "line 2");
}

static void test_what_is_no_mapping_is_an_error(void **state) {
        (void) state;
        expect_error("just text", "mapping");
        expect_error("- a\n- b", "mapping");
        expect_error("[title]", "mapping");
}

static void test_yaml_aliases_are_not_expanded(void **state) {
        (void) state;
        expect_in_part(6,
                "a: &a [x,x,x,x,x,x,x,x,x]\n"
                "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                "aliases: [*d, plain]\ntitle: *d\ntags: *d\n*d : x",
                NULL, STRINGS(), STRINGS("plain"));
}

static char *filled(const char *pattern, size_t size) {
        size_t n = strlen(pattern);
        char *text = malloc(size + 1);

        assert_non_null(text);
        for (size_t i = 0; i < size; i++)
                text[i] = pattern[i % n];
        text[size] = '\0';
        return text;
}

static void test_size_and_nesting_are_bounded(void **state) {
        (void) state;
        static const char *const patterns[] = { "[", "{a: ", "- ", "? ", "&a ", "!t ", "a: [", "'",
                "#", "a:\n ", "*a", "%", "[a,", "{\"a\":", "\"a\":", "a\n", "- a\n", "- - a\n" };

        for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
                _cleanup_free_ char *yaml = filled(patterns[i], FRONT_MATTER_MAX - 10);
                _cleanup_front_matter_ struct FrontMatter *front_matter = read_yaml(yaml);
                assert_true(front_matter->error || !front_matter->title);
        }

        expect_error("a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                "nested");
        _cleanup_free_ char *large = filled("a: b\n", FRONT_MATTER_MAX);
        expect_error(large, "64 KiB");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_it_stands_on_the_first_line_between_its_fences),
                cmocka_unit_test(test_title_tags_and_aliases_are_read),
                cmocka_unit_test(test_case_does_not_matter_in_keys),
                cmocka_unit_test(test_one_string_may_hold_several),
                cmocka_unit_test(test_values_that_are_nothing_are_left_out),
                cmocka_unit_test(test_scalars_of_other_types_are_their_text),
                cmocka_unit_test(test_lists_may_be_in_lists),
                cmocka_unit_test(test_what_has_another_shape_is_left_out_and_told),
                cmocka_unit_test(test_it_is_known_whether_it_says_more),
                cmocka_unit_test(test_a_label_is_one_bounded_line),
                cmocka_unit_test(test_broken_yaml_names_the_line_of_the_file),
                cmocka_unit_test(test_what_is_no_mapping_is_an_error),
                cmocka_unit_test(test_yaml_aliases_are_not_expanded),
                cmocka_unit_test(test_size_and_nesting_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
