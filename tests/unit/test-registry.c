/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/file-io.h"

static char directory[] = "/tmp/atocore-test-registry-XXXXXX";
static char *path;

static int make_directory(void **state) {
        (void) state;
        return mkdtemp(directory) && asprintf(&path, "%s/project-registry.json", directory) > 0
                ? 0
                : -1;
}

static int remove_directory(void **state) {
        (void) state;
        free(path);
        return remove_tree_at(AT_FDCWD, directory);
}

static int load_bytes(
        const void *text, size_t size, struct Registry **ret_registry, struct Failure *failure) {
        assert_int_equal(write_file_atomic_at(AT_FDCWD, path, text, size), 0);
        return registry_load(path, ret_registry, failure);
}

static struct Registry *load(const char *text) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Registry *registry = NULL;

        if (load_bytes(text, strlen(text), &registry, &failure) < 0)
                fail_msg("%s", failure_message(&failure));
        return registry;
}

static void assert_refused_bytes(const void *text, size_t size, const char *why) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_registry_ struct Registry *registry = NULL;

        assert_int_equal(load_bytes(text, size, &registry, &failure), -EBADMSG);
        assert_null(registry);
        assert_int_equal(failure.event, EVENT_REGISTRY_INVALID);
        assert_string_equal(failure.path, path);
        if (!strstr(failure_message(&failure), why))
                fail_msg("\"%s\" does not say \"%s\"", failure_message(&failure), why);
}

static void assert_refused(const char *text, const char *why) {
        assert_refused_bytes(text, strlen(text), why);
}

/* One project with the given members beside its id. */
static void assert_project_refused(const char *members, const char *why) {
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text, "{\"projects\":[{\"id\":\"p05\"%s}]}", members) > 0);
        assert_refused(text, why);
}

static const char example[] =
        "{\"projects\":[{\"id\":\"p05-interferometer\",\"aliases\":[\"p05\",\"Interferometer\"],"
        "\"description\":\"Optics\",\"ingest_roots\":[{\"source\":\"vault\","
        "\"subpath\":\"incoming/projects/p05-interferometer\",\"label\":\"notes\"},"
        "{\"source\":\"drive\",\"subpath\":\"\"}]},"
        "{\"id\":\"p06\",\"ingest_roots\":[],\"future\":{\"x\":[1]}}],\"version\":2}";

static void test_all_fields_are_read_and_unknown_ones_ignored(void **state) {
        (void) state;
        _cleanup_registry_ struct Registry *registry = load(example);

        assert_int_equal(registry->n_projects, 2);
        const struct Project *p = &registry->projects[0];
        assert_string_equal(p->id, "p05-interferometer");
        assert_string_equal(p->aliases[0], "p05");
        assert_string_equal(p->aliases[1], "Interferometer");
        assert_null(p->aliases[2]);
        assert_string_equal(p->description, "Optics");
        assert_int_equal(p->n_roots, 2);
        assert_string_equal(p->roots[0].source, "vault");
        assert_string_equal(p->roots[0].subpath, "incoming/projects/p05-interferometer");
        assert_string_equal(p->roots[0].label, "notes");
        assert_string_equal(p->roots[1].source, "drive");
        assert_string_equal(p->roots[1].subpath, "");
        assert_null(p->roots[1].label);

        p = &registry->projects[1];
        assert_null(p->aliases[0]);
        assert_null(p->description);
        assert_int_equal(p->n_roots, 0);
}

static void test_absent_file_is_enoent_without_a_failure(void **state) {
        (void) state;
        struct Failure failure = { 0 };
        struct Registry *registry = NULL;

        assert_int_equal(registry_load("/nonexistent/registry.json", &registry, &failure), -ENOENT);
        assert_false(failure_is_set(&failure));
}

static void test_ids_and_aliases_are_found_in_any_case(void **state) {
        (void) state;
        _cleanup_registry_ struct Registry *registry = load(
                "{\"projects\":["
                "{\"id\":\"P05\",\"aliases\":[\"\\u00c4pfel\",\"\\u039f\\u0394\\u039f\\u03a3\"],"
                "\"ingest_roots\":[]},{\"id\":\"q\",\"ingest_roots\":[]}]}");
        const struct Project *p05 = &registry->projects[0];

        assert_ptr_equal(registry_find(registry, "p05"), p05);
        assert_ptr_equal(registry_find(registry, "P05"), p05);
        assert_ptr_equal(registry_find(registry, "\xc3\xa4PFEL"), p05);
        assert_ptr_equal(registry_find(registry, "\xce\xbf\xce\xb4\xce\xbf\xcf\x82"), p05);
        assert_ptr_equal(registry_find(registry, "Q"), &registry->projects[1]);
        assert_null(registry_find(registry, "p0"));
        assert_null(registry_find(registry, "p055"));
        assert_null(registry_find(registry, ""));
        assert_null(registry_find(registry, "\xff\xfe"));
}

static void test_names_are_found_in_any_composition(void **state) {
        (void) state;
        _cleanup_registry_ struct Registry *registry = load(
                "{\"projects\":[{\"id\":\"K\u00fcche\",\"ingest_roots\":[]},"
                "{\"id\":\"Ga\u0308rten\",\"aliases\":[\"stra\u00dfe\"],\"ingest_roots\":[]}]}");

        assert_ptr_equal(registry_find(registry, "Ku\u0308che"), &registry->projects[0]);
        assert_ptr_equal(registry_find(registry, "KU\u0308CHE"), &registry->projects[0]);
        assert_ptr_equal(registry_find(registry, "g\u00e4rten"), &registry->projects[1]);
        assert_ptr_equal(registry_find(registry, "STRASSE"), &registry->projects[1]);
        assert_null(registry_find(registry, "Kuche"));
}

/* What a file has been served with is served on, each by its own name. */
static void test_names_that_nobody_would_give_now_are_read(void **state) {
        (void) state;
        _cleanup_registry_ struct Registry *registry =
                load("{\"projects\":[{\"id\":\"K\u00fcche\",\"ingest_roots\":[]},"
                     "{\"id\":\"Ku\u0308che\",\"aliases\":[\" \",\"..\",\"a/b\",\"\u200b\"],"
                     "\"ingest_roots\":[]}]}");

        assert_ptr_equal(registry_find(registry, "k\u00fcche"), &registry->projects[0]);
        assert_ptr_equal(registry_find(registry, "ku\u0308che"), &registry->projects[1]);
        assert_ptr_equal(registry_find(registry, " "), &registry->projects[1]);
        assert_ptr_equal(registry_find(registry, "\u200b"), &registry->projects[1]);
}

static void test_known_ids_are_listed_in_order(void **state) {
        (void) state;
        _cleanup_registry_ struct Registry *registry = load(example);
        _cleanup_registry_ struct Registry *empty = load("{\"projects\":[]}");
        _cleanup_free_ char *ids = registry_known_ids(registry);
        _cleanup_free_ char *none = registry_known_ids(empty);

        assert_string_equal(ids, "p05-interferometer, p06");
        assert_string_equal(none, "");
}

static void test_names_are_unique_together_without_regard_to_case(void **state) {
        (void) state;
        assert_refused("{\"projects\":[{\"id\":\"a\",\"ingest_roots\":[]},"
                       "{\"id\":\"A\",\"ingest_roots\":[]}]}",
                "projects[1]: id \"A\" is an id or alias of project \"a\"");
        assert_refused("{\"projects\":[{\"id\":\"a\",\"ingest_roots\":[]},{\"id\":\"b\","
                       "\"aliases\":[\"x\",\"A\"],\"ingest_roots\":[]}]}",
                "project \"b\": aliases[1] \"A\" is an id or alias of project \"a\"");
        assert_refused("{\"projects\":[{\"id\":\"a\",\"aliases\":[\"\\u00e9\"],"
                       "\"ingest_roots\":[]},{\"id\":\"\\u00c9\",\"ingest_roots\":[]}]}",
                "is an id or alias of project \"a\"");
        assert_project_refused(",\"aliases\":[\"x\",\"X\"],\"ingest_roots\":[]", "aliases[1]");
}

static void test_wrong_types_name_project_and_field(void **state) {
        (void) state;
        assert_refused("[]", "not a JSON object");
        assert_refused("null", "not a JSON object");
        assert_refused("{}", "projects is missing");
        assert_refused("{\"projects\":{}}", "projects is not an array");
        assert_refused("{\"projects\":[7]}", "projects[0]: is not an object");
        assert_refused("{\"projects\":[null]}", "projects[0]");
        assert_refused("{\"projects\":[{\"ingest_roots\":[]}]}", "projects[0]: id is missing");
        assert_refused("{\"projects\":[{\"id\":5}]}", "projects[0]: id is not a string");
        assert_refused("{\"projects\":[{\"id\":null}]}", "projects[0]: id is not a string");
        assert_refused("{\"projects\":[{\"id\":\"\"}]}", "projects[0]: id is empty");
        assert_refused("{\"projects\":[{\"id\":\"a\\nb\"}]}", "projects[0]: id \"a\\nb\" holds");
        assert_refused("{\"projects\":[{\"id\":\"a\\u0000b\"}]}", "projects[0]: id holds a NUL");

        assert_project_refused("", "project \"p05\": ingest_roots is missing");
        assert_project_refused(",\"aliases\":\"x\"", "project \"p05\": aliases is not an array");
        assert_project_refused(",\"aliases\":[\"x\",1]", "project \"p05\": aliases[1] is not a");
        assert_project_refused(",\"aliases\":[null]", "project \"p05\": aliases[0] is not a");
        assert_project_refused(",\"aliases\":[\"\"]", "project \"p05\": aliases[0] is empty");
        assert_project_refused(",\"description\":[]", "project \"p05\": description is not a");
        assert_project_refused(",\"ingest_roots\":{}", "project \"p05\": ingest_roots is not an");
        assert_project_refused(",\"ingest_roots\":[1]", "ingest_roots[0] is not an object");
        assert_project_refused(",\"ingest_roots\":[{}]", "ingest_roots[0].source is missing");
        assert_project_refused(
                ",\"ingest_roots\":[{\"source\":\"vault\"}]", "ingest_roots[0].subpath is missing");
        assert_project_refused(",\"ingest_roots\":[{\"source\":\"vault\",\"subpath\":\"a\"},"
                               "{\"source\":\"Vault\",\"subpath\":\"a\"}]",
                "ingest_roots[1].source \"Vault\" is no source");
        assert_project_refused(",\"ingest_roots\":[{\"source\":\"vault\",\"subpath\":7}]",
                "ingest_roots[0].subpath is not a string");
        assert_project_refused(
                ",\"ingest_roots\":[{\"source\":\"vault\",\"subpath\":\"a\",\"label\":1}]",
                "ingest_roots[0].label is not a string");
}

static void test_line_of_a_mistake_is_told(void **state) {
        (void) state;
        assert_refused("{\"projects\":[\n{\"id\":\"a\",\n\"ingest_roots\":[\n"
                       "{\"source\":\"vault\",\"subpath\":\"\"},\n{\"source\":\"vault\",\n"
                       "\"subpath\":\"..\"}]}]}",
                "line 6: project \"a\": ingest_roots[1].subpath \"..\" leaves its source");
        assert_refused("{\"projects\":[\n{\"id\":\"a\",\"ingest_roots\":[\n{\n"
                       "\"source\":\"vault\"}]}]}",
                "line 3: project \"a\": ingest_roots[0].subpath is missing");
        assert_refused("\n{\"project\":[]}", "line 2: projects is missing");
        assert_refused("{\n\"projects\":\n7}", "line 3: projects is not an array");
}

static void assert_subpath(const char *given, const char *normalised) {
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text,
                            "{\"projects\":[{\"id\":\"a\",\"ingest_roots\":[{\"source\":\"vault\","
                            "\"subpath\":\"%s\"}]}]}",
                            given) > 0);
        if (!normalised) {
                assert_refused(text, "leaves its source");
                return;
        }
        _cleanup_registry_ struct Registry *registry = load(text);
        assert_string_equal(registry->projects[0].roots[0].subpath, normalised);
}

static void test_subpaths_are_normalised(void **state) {
        (void) state;
        assert_subpath("", "");
        assert_subpath(".", "");
        assert_subpath("./", "");
        assert_subpath("a", "a");
        assert_subpath("a/", "a");
        assert_subpath("./a//b/./c//", "a/b/c");
        assert_subpath("a/...", "a/...");
        assert_subpath("..a/b..", "..a/b..");
        assert_subpath(".hidden", ".hidden");
        assert_subpath("a b\\n", "a b\n");
}

static void test_subpaths_never_leave_their_source(void **state) {
        (void) state;
        assert_subpath("..", NULL);
        assert_subpath("../x", NULL);
        assert_subpath("a/..", NULL);
        assert_subpath("a/../b", NULL);
        assert_subpath("a/../../b", NULL);
        assert_subpath("/", NULL);
        assert_subpath("/etc", NULL);
        assert_subpath("//etc", NULL);
        assert_project_refused(
                ",\"ingest_roots\":[{\"source\":\"vault\",\"subpath\":\"a\\u0000/../..\"}]",
                "ingest_roots[0].subpath holds a NUL");
        assert_project_refused(",\"ingest_roots\":[{\"source\":\"vault\",\"subpath\":\"../x\"}]",
                "project \"p05\": ingest_roots[0].subpath \"../x\" leaves its source");
}

static void test_a_project_has_a_bounded_number_of_roots(void **state) {
        (void) state;
        static const char root[] = ",{\"source\":\"vault\",\"subpath\":\"a\"}";
        _cleanup_free_ char *text = malloc(100 + sizeof root * (REGISTRY_ROOTS_MAX + 1));
        char *end = stpcpy(text, "{\"projects\":[{\"id\":\"p05\",\"ingest_roots\":[");

        for (size_t i = 0; i < REGISTRY_ROOTS_MAX; i++)
                end = stpcpy(end, i > 0 ? root : root + 1);
        strcpy(end, "]}]}");
        _cleanup_registry_ struct Registry *registry = load(text);
        assert_int_equal(registry->projects[0].n_roots, REGISTRY_ROOTS_MAX);

        strcpy(stpcpy(end, root), "]}]}");
        assert_refused(text, "project \"p05\": ingest_roots has 1001 entries");
}

static void test_text_that_is_no_json_is_refused(void **state) {
        (void) state;
        char deep[1000];

        assert_refused("", "ends too early");
        assert_refused("{\"projects\":[]} x", "more behind");
        assert_refused("{\"projects\":[]", "ends too early");
        assert_refused("{\"projects\":[],\"projects\":[]}", "twice");
        assert_refused_bytes("{\"projects\":[]}\0", 16, "NUL");
        assert_refused("{\"projects\":[{\"id\":\"\xc3\"}]}", "not UTF-8");
        memset(deep, '[', sizeof deep);
        assert_refused_bytes(deep, sizeof deep, "line 1");
}

static void test_file_above_the_limit_is_refused(void **state) {
        (void) state;
        _cleanup_free_ char *text = malloc(REGISTRY_FILE_MAX + 1);

        memset(text, ' ', REGISTRY_FILE_MAX + 1);
        memcpy(text, "{\"projects\":[]}", 15);
        assert_refused_bytes(text, REGISTRY_FILE_MAX + 1, "larger than");

        _cleanup_registry_ struct Registry *registry = NULL;
        assert_int_equal(load_bytes(text, REGISTRY_FILE_MAX, &registry, NULL), 0);
}

static void test_a_directory_in_its_place_is_a_read_failure(void **state) {
        (void) state;
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Registry *registry = NULL;

        assert_true(registry_load(directory, &registry, &failure) < 0);
        assert_int_equal(failure.event, EVENT_READ_FAILED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_fields_are_read_and_unknown_ones_ignored),
                cmocka_unit_test(test_absent_file_is_enoent_without_a_failure),
                cmocka_unit_test(test_ids_and_aliases_are_found_in_any_case),
                cmocka_unit_test(test_known_ids_are_listed_in_order),
                cmocka_unit_test(test_names_are_found_in_any_composition),
                cmocka_unit_test(test_names_that_nobody_would_give_now_are_read),
                cmocka_unit_test(test_names_are_unique_together_without_regard_to_case),
                cmocka_unit_test(test_wrong_types_name_project_and_field),
                cmocka_unit_test(test_line_of_a_mistake_is_told),
                cmocka_unit_test(test_subpaths_are_normalised),
                cmocka_unit_test(test_subpaths_never_leave_their_source),
                cmocka_unit_test(test_a_project_has_a_bounded_number_of_roots),
                cmocka_unit_test(test_text_that_is_no_json_is_refused),
                cmocka_unit_test(test_file_above_the_limit_is_refused),
                cmocka_unit_test(test_a_directory_in_its_place_is_a_read_failure),
        };
        return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
