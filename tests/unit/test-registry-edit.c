/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/registry-edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/json-document.h"
#include "tests/unit/lock-fixture.h"

#define PROJECT(id, more) "{\"id\":\"" id "\",\"ingest_roots\":[]" more "}"

static int registry_setup(void **state) {
        int r = setup(state);

        MUST(mkdir(scratch("config"), 0750) == 0);
        return r;
}

static void write_registry(const char *text) {
        scratch_write(layout->registry, text, strlen(text));
}

static void assert_registry(const char *expected) {
        _cleanup_free_ char *text = scratch_read(layout->registry, NULL);

        assert_non_null(text);
        assert_string_equal(text, expected);
}

static int prepare(const char *name, const char *project, struct RegistryEdit *ret_edit,
        enum RegistryEditResult *ret_result, struct RegistryFault *ret_fault,
        struct Failure *failure) {
        _cleanup_json_ json_object *object = json_tokener_parse(project);
        struct Operation operation = waiting(0);

        MUST(object);
        return registry_edit_prepare(
                &operation, name, object, true, ret_edit, ret_result, ret_fault, failure);
}

static int commit(const struct RegistryEdit *edit, struct Failure *failure) {
        struct Operation operation = waiting(0);
        bool kept;

        return registry_edit_commit(&operation, edit, &kept, failure);
}

static void edit(const char *name, const char *project) {
        _cleanup_registry_edit_ struct RegistryEdit prepared = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        _cleanup_failure_ struct Failure failure = { 0 };
        enum RegistryEditResult result;

        if (prepare(name, project, &prepared, &result, &fault, &failure) < 0)
                fail_msg("%s", failure_message(&failure));
        if (result != REGISTRY_EDIT_READY)
                fail_msg("%s %s", fault.field, fault.problem);
        if (commit(&prepared, &failure) < 0)
                fail_msg("%s", failure_message(&failure));
}

static void assert_refused(
        const char *name, const char *project, enum RegistryFaultKind kind, const char *field) {
        _cleanup_registry_edit_ struct RegistryEdit prepared = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        enum RegistryEditResult result;

        assert_int_equal(prepare(name, project, &prepared, &result, &fault, NULL), 0);
        assert_int_equal(result, REGISTRY_EDIT_REFUSED);
        assert_int_equal(fault.kind, kind);
        assert_string_equal(fault.field, field);
        assert_non_null(fault.advice);
        assert_int_equal(fault.kind == REGISTRY_FAULT_TAKEN, fault.owner != NULL);
}

/* Not with an empty list, which versions of json-c write in two ways. */
#define ADDED                                                                                      \
        "{\"id\":\"b\",\"description\":null,\"ingest_roots\":[{\"source\":\"vault\","              \
        "\"subpath\":\"x/y\"}]}"
#define WRITTEN(indent)                                                                            \
        "{\n" indent "  \"id\": \"b\",\n" indent "  \"ingest_roots\": [\n" indent "    {\n" indent \
        "      \"source\": \"vault\",\n" indent "      \"subpath\": \"x/y\"\n" indent              \
        "    }\n" indent "  ]\n" indent "}"

static void test_project_is_added_behind_the_others_and_their_text_stays(void **state) {
        (void) state;
        write_registry("{\"version\" : 123456789012345678901234567890,\n"
                       "  \"projects\": [\n"
                       "    {\"id\":\"a\",   \"ingest_roots\":[], \"mine\": 1.50}\n"
                       "  ], \"end\":null}\n\n");
        edit(NULL, ADDED);
        assert_registry("{\"version\" : 123456789012345678901234567890,\n"
                        "  \"projects\": [\n"
                        "    {\"id\":\"a\",   \"ingest_roots\":[], \"mine\": 1.50},\n"
                        "    " WRITTEN("    ") "\n"
                                               "  ], \"end\":null}\n\n");

        write_registry("{\"projects\":[{\"id\":\"x\",\"ingest_roots\":[]}]}");
        edit(NULL, ADDED);
        assert_registry("{\"projects\":[{\"id\":\"x\",\"ingest_roots\":[]}, " WRITTEN("") "]}");
}

static void test_first_project_of_an_empty_or_absent_registry(void **state) {
        static const char expected[] = "{\n  \"projects\": [\n    " WRITTEN("    ") "\n  ]\n}\n";

        (void) state;
        edit(NULL, ADDED);
        assert_registry(expected);
        assert_false(scratch_exists(layout->registry_previous));

        write_registry("{\n  \"projects\": [ ]\n}\n");
        edit(NULL, ADDED);
        assert_registry(expected);
}

static void test_replaced_project_keeps_its_id_and_what_is_not_known(void **state) {
        (void) state;
        write_registry(
                "{\"projects\":[\n"
                "{\"id\":\"One\",\"aliases\":[\"1\"],\"description\":\"old\",\"owner\":{\"x\":1},"
                "\"ingest_roots\":["
                "{\"source\":\"vault\",\"subpath\":\"a\",\"label\":\"l\",\"colour\":\"red\"},"
                "{\"source\":\"vault\",\"subpath\":\"b\",\"colour\":\"blue\"}]},\n"
                "{\"id\":\"two\",\"ingest_roots\":[]}]}");
        edit("1",
                "{\"id\":\"ONE\",\"description\":null,\"ingest_roots\":["
                "{\"source\":\"drive\",\"subpath\":\"a\"},"
                "{\"source\":\"vault\",\"subpath\":\"a\",\"label\":null}]}");

        _cleanup_registry_ struct Registry *registry = NULL;
        _cleanup_free_ char *text = scratch_read(layout->registry, NULL);
        assert_int_equal(registry_load(layout->registry, &registry, NULL), 0);
        assert_int_equal(registry->n_projects, 2);
        assert_string_equal(registry->projects[0].id, "One");
        assert_null(registry->projects[0].aliases[0]);
        assert_null(registry->projects[0].description);
        assert_int_equal(registry->projects[0].n_roots, 2);
        assert_null(registry->projects[0].roots[1].label);
        assert_non_null(strstr(text, "\"owner\""));
        assert_non_null(strstr(text, "\"red\""));
        assert_null(strstr(text, "\"blue\""));
        assert_non_null(strstr(text, ",\n{\"id\":\"two\",\"ingest_roots\":[]}]}"));

        edit("one", "{\"ingest_roots\":[]}");
        assert_int_equal(registry_find(registry, "ONE") == &registry->projects[0], true);
}

static void test_root_is_the_same_however_its_subpath_is_written(void **state) {
        _cleanup_free_ char *text = NULL;

        (void) state;
        write_registry("{\"projects\":[{\"id\":\"a\",\"ingest_roots\":["
                       "{\"source\":\"vault\",\"subpath\":\"./x//y/\",\"colour\":\"red\"},"
                       "{\"source\":\"drive\",\"subpath\":\".\",\"colour\":\"blue\"},"
                       "{\"source\":\"drive\",\"subpath\":\"x\",\"colour\":\"green\"}]}]}");
        edit("a",
                "{\"ingest_roots\":[{\"source\":\"drive\",\"subpath\":\"\"},"
                "{\"source\":\"vault\",\"subpath\":\"x/y\"},"
                "{\"source\":\"vault\",\"subpath\":\"x\"}]}");
        text = scratch_read(layout->registry, NULL);
        assert_non_null(strstr(text, "\"red\""));
        assert_non_null(strstr(text, "\"blue\""));
        assert_null(strstr(text, "\"green\""));
}

static void test_version_before_is_kept_with_the_mode_of_the_file(void **state) {
        _cleanup_free_ char *previous = NULL;
        struct stat st;

        (void) state;
        write_registry("{\"projects\":[]}");
        MUST(chmod(layout->registry, 0600) == 0);
        edit(NULL, PROJECT("a", ""));
        previous = scratch_read(layout->registry_previous, NULL);
        assert_string_equal(previous, "{\"projects\":[]}");
        MUST(stat(layout->registry_previous, &st) == 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        MUST(stat(layout->registry, &st) == 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(scratch_entries(scratch("config")), 2);
}

static void test_faults_name_their_kind_and_field(void **state) {
        static const char before[] =
                "{\"projects\":[" PROJECT("a", ",\"aliases\":[\"x\"]") "," PROJECT("b", "") "]}";

        (void) state;
        write_registry(before);
        assert_refused(NULL, "{\"ingest_roots\":[]}", REGISTRY_FAULT_MISSING, "id");
        assert_refused(NULL, "{\"id\":null,\"ingest_roots\":[]}", REGISTRY_FAULT_MISSING, "id");
        assert_refused(NULL, "{\"id\":\"c\"}", REGISTRY_FAULT_MISSING, "ingest_roots");
        assert_refused(NULL, PROJECT("c", ",\"aliases\":7"), REGISTRY_FAULT_TYPE, "aliases");
        assert_refused(NULL, "{\"id\":\"c\",\"ingest_roots\":[4]}", REGISTRY_FAULT_TYPE,
                "ingest_roots[0]");
        assert_refused(NULL, PROJECT("c", ",\"alias\":\"y\""), REGISTRY_FAULT_UNKNOWN, "alias");
        assert_refused(NULL,
                "{\"id\":\"c\",\"ingest_roots\":[{\"source\":\"vault\",\"path\":\"a\"}]}",
                REGISTRY_FAULT_UNKNOWN, "ingest_roots[0].path");
        assert_refused(NULL,
                "{\"id\":\"c\",\"ingest_roots\":[{\"source\":\"vault\",\"subpath\":\"../a\"}]}",
                REGISTRY_FAULT_RANGE, "ingest_roots[0].subpath");
        assert_refused(
                NULL, PROJECT("c", ",\"aliases\":[\"C\"]"), REGISTRY_FAULT_RANGE, "aliases[0]");
        assert_refused(NULL, PROJECT("X", ""), REGISTRY_FAULT_TAKEN, "id");
        assert_refused(NULL, PROJECT("c", ",\"aliases\":[\"y\",\"B\"]"), REGISTRY_FAULT_TAKEN,
                "aliases[1]");
        /* Of one that stands before the other, too. */
        assert_refused(
                "a", PROJECT("a", ",\"aliases\":[\"B\"]"), REGISTRY_FAULT_TAKEN, "aliases[0]");
        assert_refused("a", PROJECT("c", ""), REGISTRY_FAULT_RANGE, "id");
        assert_refused("a", PROJECT("x", ""), REGISTRY_FAULT_RANGE, "id");
        assert_refused("a", "{\"id\":7,\"ingest_roots\":[]}", REGISTRY_FAULT_TYPE, "id");
        assert_registry(before);
        assert_false(scratch_exists(layout->registry_previous));
}

static void test_new_names_keep_to_the_rule(void **state) {
        static const char *const unfit[] = { " ", " a", "a ", "a\u00a0", "\u3000a", ".", "..",
                "a/b", "\u200b", "a\u200bb", "a\u00adb", "\u3164", "a\ufeff" };
        static const char *const fit[] = { "a b", "a.b", "...", "caf\u00e9", "cafe\u0301s",
                "\u4e2d\u6587", "p05 (old)", "\U0001f600" };
        char longest[101 + 1] = { 0 };
        _cleanup_free_ char *project = NULL;

        (void) state;
        write_registry("{\"projects\":[" PROJECT("x", "") "]}");
        for (size_t i = 0; i < sizeof unfit / sizeof unfit[0]; i++) {
                _cleanup_free_ char *by_id = NULL, *by_alias = NULL;

                assert_true(asprintf(&by_id, PROJECT("%s", ""), unfit[i]) > 0);
                assert_true(
                        asprintf(&by_alias, PROJECT("c", ",\"aliases\":[\"%s\"]"), unfit[i]) > 0);
                assert_refused(NULL, by_id, REGISTRY_FAULT_RANGE, "id");
                assert_refused(NULL, by_alias, REGISTRY_FAULT_RANGE, "aliases[0]");
        }
        for (size_t i = 0; i < sizeof fit / sizeof fit[0]; i++) {
                _cleanup_free_ char *by_id = NULL;

                assert_true(asprintf(&by_id, PROJECT("%s", ""), fit[i]) > 0);
                edit(NULL, by_id);
        }
        memset(longest, 'n', 101);
        assert_true(asprintf(&project, PROJECT("%s", ""), longest) > 0);
        assert_refused(NULL, project, REGISTRY_FAULT_RANGE, "id");
        project = (free(project), NULL);
        longest[100] = '\0';
        assert_true(asprintf(&project, PROJECT("%s", ""), longest) > 0);
        edit(NULL, project);
}

static void test_new_name_is_taken_in_any_composition(void **state) {
        (void) state;
        write_registry(
                "{\"projects\":[" PROJECT("K\u00fcche", "") "," PROJECT("stra\u00dfe", "") "]}");
        assert_refused(NULL, PROJECT("ku\u0308che", ""), REGISTRY_FAULT_TAKEN, "id");
        assert_refused(NULL, PROJECT("c", ",\"aliases\":[\"STRASSE\"]"), REGISTRY_FAULT_TAKEN,
                "aliases[0]");
        assert_refused(NULL, PROJECT("c", ",\"aliases\":[\"\u00e9\",\"e\u0301\"]"),
                REGISTRY_FAULT_RANGE, "aliases[1]");
        edit("KU\u0308CHE", PROJECT("Ku\u0308che", ",\"aliases\":[\"k\"]"));
}

static void test_names_that_a_project_has_may_stay(void **state) {
        (void) state;
        write_registry("{\"projects\":[" PROJECT("e\u0301", "") "," PROJECT(
                " a", ",\"aliases\":[\"..\",\"\u00e9\"]") "]}");
        edit(" a", PROJECT(" a", ",\"aliases\":[\"..\",\"\u00e9\",\"new\"]"));
        edit("new", "{\"aliases\":[\"..\",\"new\"],\"ingest_roots\":[]}");
        assert_refused(" a", "{\"aliases\":[\"..\",\".\"],\"ingest_roots\":[]}",
                REGISTRY_FAULT_RANGE, "aliases[1]");
        assert_refused(" a", "{\"aliases\":[\"..\",\"\u00e9\"],\"ingest_roots\":[]}",
                REGISTRY_FAULT_TAKEN, "aliases[1]");
        edit(NULL, PROJECT("other", ""));
}

static void test_unknown_project_cannot_be_replaced(void **state) {
        _cleanup_registry_edit_ struct RegistryEdit prepared = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        enum RegistryEditResult result;

        (void) state;
        write_registry("{\"projects\":[" PROJECT("a", "") "]}");
        assert_int_equal(prepare("b", PROJECT("b", ""), &prepared, &result, &fault, NULL), 0);
        assert_int_equal(result, REGISTRY_EDIT_UNKNOWN);
        assert_int_equal(prepared.registry->n_projects, 1);
}

static void test_registry_does_not_grow_past_what_can_be_read(void **state) {
        _cleanup_free_ char *text = malloc(REGISTRY_FILE_MAX + 1);
        _cleanup_registry_edit_ struct RegistryEdit prepared = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        enum RegistryEditResult result;

        (void) state;
        memset(text, ' ', REGISTRY_FILE_MAX);
        memcpy(text, "{\"projects\":[]}", 15);
        scratch_write(layout->registry, text, REGISTRY_FILE_MAX);
        assert_int_equal(prepare(NULL, PROJECT("a", ""), &prepared, &result, &fault, NULL), 0);
        assert_int_equal(result, REGISTRY_EDIT_REFUSED);
        assert_int_equal(fault.kind, REGISTRY_FAULT_RANGE);
        assert_null(fault.field);
}

static void assert_fails(const char *project, enum EventId event) {
        _cleanup_registry_edit_ struct RegistryEdit prepared = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        _cleanup_failure_ struct Failure failure = { 0 };
        enum RegistryEditResult result;
        int r;

        r = prepare(NULL, project, &prepared, &result, &fault, &failure);
        if (r >= 0) {
                assert_int_equal(result, REGISTRY_EDIT_READY);
                r = commit(&prepared, &failure);
        }
        assert_true(r < 0);
        assert_int_equal(failure.event, event);
        assert_non_null(failure.path);
}

static void test_what_is_broken_gone_or_a_link_is_not_written(void **state) {
        (void) state;
        write_registry("{\"projects\":[}");
        assert_fails(PROJECT("a", ""), EVENT_REGISTRY_INVALID);
        assert_registry("{\"projects\":[}");

        MUST(rename(layout->registry, layout->registry_previous) == 0);
        assert_fails(PROJECT("a", ""), EVENT_REGISTRY_MISSING);
        assert_false(scratch_exists(layout->registry));

        MUST(symlink(layout->registry_previous, layout->registry) == 0);
        assert_fails(PROJECT("a", ""), EVENT_WRITE_FAILED);
}

static void test_change_by_somebody_else_meanwhile_stands(void **state) {
        _cleanup_registry_edit_ struct RegistryEdit prepared = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        _cleanup_failure_ struct Failure failure = { 0 };
        enum RegistryEditResult result;

        (void) state;
        write_registry("{\"projects\":[]}");
        assert_int_equal(prepare(NULL, PROJECT("a", ""), &prepared, &result, &fault, &failure), 0);
        write_registry("{\"projects\":[" PROJECT("by-hand", "") "]}");
        assert_int_equal(commit(&prepared, &failure), -ESTALE);
        assert_int_equal(failure.event, EVENT_REGISTRY_CHANGED);
        assert_registry("{\"projects\":[" PROJECT("by-hand", "") "]}");
}

static void test_there_is_one_writer_at_a_time(void **state) {
        _cleanup_registry_edit_ struct RegistryEdit first = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        enum RegistryEditResult result;

        (void) state;
        write_registry("{\"projects\":[]}");
        assert_int_equal(prepare(NULL, PROJECT("a", ""), &first, &result, &fault, NULL), 0);
        assert_fails(PROJECT("b", ""), EVENT_LOCK_BUSY);
        free(busy_message(layout->store_lock, LOCK_MODE_EXCLUSIVE));
        assert_int_equal(commit(&first, NULL), 0);
        registry_edit_clear(&first);
        edit(NULL, PROJECT("b", ""));
        assert_free(layout->store_lock);
}

static void test_what_a_killed_writer_left_is_removed(void **state) {
        (void) state;
        write_registry("{\"projects\":[]}");
        scratch_write(scratch("config/.project-registry.json.tmp-0123456789abcdef"), "{", 1);
        scratch_write(
                scratch("config/.project-registry.json.previous.tmp-0123456789abcdef"), "{", 1);
        edit(NULL, PROJECT("a", ""));
        assert_int_equal(scratch_entries(scratch("config")), 2);
}

/* On a file system of its own, so that the locks are beside it. */
static void test_full_or_read_only_file_system_leaves_the_registry(void **state) {
        static char project[100000];
        char *path;

        (void) state;
        if (!scratch_mount("64k"))
                skip();
        MUST(rename(scratch("data"), scratch("mount/data")) < 0 && errno == EXDEV);
        layout = layout_free(layout);
        MUST(layout_new(scratch("mount"), &layout) == 0);
        MUST(make_directories(scratch("mount"), layout->locks) == 0);
        path = stpcpy(project, "{\"id\":\"a\",\"ingest_roots\":[],\"description\":\"");
        memset(path, 'x', sizeof project - 1000);
        (void) strcpy(path + sizeof project - 1000, "\"}");
        MUST(mkdir(scratch("mount/config"), 0750) == 0);
        write_registry("{\"projects\":[]}");
        assert_fails(project, EVENT_NO_SPACE);
        assert_registry("{\"projects\":[]}");
        edit(NULL, PROJECT("small", ""));

        scratch_make_read_only();
        assert_fails(PROJECT("b", ""), EVENT_WRITE_FAILED);
        _cleanup_registry_ struct Registry *registry = NULL;
        assert_int_equal(registry_load(layout->registry, &registry, NULL), 0);
        assert_int_equal(registry->n_projects, 1);
}

/* In a child; the event. */
static int edit_as_nobody(void *userdata) {
        _cleanup_registry_edit_ struct RegistryEdit prepared = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        _cleanup_failure_ struct Failure failure = { 0 };
        enum RegistryEditResult result;

        (void) userdata;
        become_nobody();
        if (prepare(NULL, PROJECT("a", ""), &prepared, &result, &fault, &failure) >= 0)
                (void) commit(&prepared, &failure);
        return (int) failure.event;
}

static void test_who_may_not_write_there_leaves_the_registry(void **state) {
        (void) state;
        if (geteuid() != 0)
                skip();
        write_registry("{\"projects\":[]}");
        MUST(chmod(layout->registry, 0644) == 0 && chmod(scratch("config"), 0755) == 0);
        MUST(chmod(layout->locks, 0777) == 0 && chmod(scratch("data"), 0755) == 0);
        MUST(chmod(scratch_directory, 0755) == 0);
        assert_int_equal(child_ask(edit_as_nobody, NULL), EVENT_WRITE_FAILED);
        assert_registry("{\"projects\":[]}");
        MUST(chmod(layout->registry, 0600) == 0);
        assert_int_equal(child_ask(edit_as_nobody, NULL), EVENT_PERMISSION_DENIED);
}

static void test_without_a_storage_root_there_is_nothing_to_write_to(void **state) {
        (void) state;
        layout = layout_free(layout);
        MUST(layout_new(scratch("absent"), &layout) == 0);
        assert_fails(PROJECT("a", ""), EVENT_STORAGE_ROOT_MISSING);
        assert_false(scratch_exists(scratch("absent")));
}

#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, registry_setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                SCRATCH(test_project_is_added_behind_the_others_and_their_text_stays),
                SCRATCH(test_first_project_of_an_empty_or_absent_registry),
                SCRATCH(test_replaced_project_keeps_its_id_and_what_is_not_known),
                SCRATCH(test_root_is_the_same_however_its_subpath_is_written),
                SCRATCH(test_version_before_is_kept_with_the_mode_of_the_file),
                SCRATCH(test_faults_name_their_kind_and_field),
                SCRATCH(test_new_names_keep_to_the_rule),
                SCRATCH(test_new_name_is_taken_in_any_composition),
                SCRATCH(test_names_that_a_project_has_may_stay),
                SCRATCH(test_unknown_project_cannot_be_replaced),
                SCRATCH(test_registry_does_not_grow_past_what_can_be_read),
                SCRATCH(test_what_is_broken_gone_or_a_link_is_not_written),
                SCRATCH(test_change_by_somebody_else_meanwhile_stands),
                SCRATCH(test_there_is_one_writer_at_a_time),
                SCRATCH(test_what_a_killed_writer_left_is_removed),
                SCRATCH(test_full_or_read_only_file_system_leaves_the_registry),
                SCRATCH(test_who_may_not_write_there_leaves_the_registry),
                SCRATCH(test_without_a_storage_root_there_is_nothing_to_write_to),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
