/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/check-report.h"
#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "tests/unit/backup-fixture.h"

static int read_text(const char *text, size_t size, json_object **ret_metadata) {
        _cleanup_close_ int fd = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const char *problem = NULL;
        int r;

        scratch_write(scratch(METADATA_NAME), text, size);
        r = metadata_read(fd, ret_metadata, &problem);
        assert_true((r == -EBADMSG) == (problem != NULL));
        return r;
}

static void test_only_a_json_object_is_metadata(void **state) {
        static const char *const bad[] = { "", "{", "[]", "null", "7", "{} x", "{\"a\":1,}",
                "{'a':1}", "{\"a\":\"\xff\"}", "{\"a\":1,\"a\":2}", "// x\n{}" };
        json_object *metadata = NULL;

        (void) state;
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                if (read_text(bad[i], strlen(bad[i]), &metadata) != -EBADMSG || metadata)
                        fail_msg("%s", bad[i]);
        assert_int_equal(read_text("{}\0", 3, &metadata), -EBADMSG);
        assert_int_equal(read_text("{\"a\":1}\n", 8, &metadata), 0);
        assert_true(metadata_has(metadata, "a"));
        json_object_put(metadata);
}

static void test_metadata_that_is_not_there_is_told_from_what_is_none(void **state) {
        _cleanup_close_ int fd = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        json_object *metadata = NULL;
        const char *problem = NULL;

        (void) state;
        assert_int_equal(metadata_read(fd, &metadata, &problem), -ENOENT);
        MUST(mkdir(scratch(METADATA_NAME), 0750) >= 0);
        assert_int_equal(metadata_read(fd, &metadata, &problem), -EISDIR);
        assert_null(metadata);
}

static void test_members_are_asked_for_without_surprise(void **state) {
        static const char text[] =
                "{\"null\":null,\"true\":true,\"false\":false,\"text\":\"true\",\"one\":1}";
        json_object *metadata = NULL;

        (void) state;
        assert_int_equal(read_text(text, strlen(text), &metadata), 0);
        assert_non_null(metadata);
        assert_false(metadata_has(metadata, "absent"));
        assert_false(metadata_has(metadata, "null"));
        assert_true(metadata_has(metadata, "false"));
        assert_true(metadata_is_true(metadata, "true"));
        assert_false(metadata_is_true(metadata, "false"));
        assert_false(metadata_is_true(metadata, "text"));
        assert_false(metadata_is_true(metadata, "one"));
        assert_false(metadata_is_true(metadata, "null"));
        assert_false(metadata_is_true(metadata, "absent"));
        assert_false(metadata_is_ours(metadata));
        json_object_object_add(metadata, "atocore_version", NULL);
        assert_false(metadata_is_ours(metadata));
        json_object_object_add(metadata, "atocore_version", json_object_new_string("0.1.0"));
        assert_true(metadata_is_ours(metadata));
        json_object_put(metadata);
}

static json_object *make(const struct Metadata *metadata) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new("");
        _cleanup_json_ json_object *object = metadata_new(metadata, report);

        assert_non_null(object);
        return json_again(object);
}

static void test_what_is_absent_is_null_and_what_is_there_is_named(void **state) {
        static const char *const maybe[] = { "registry_snapshot_path", "registry_size_bytes",
                "chroma_snapshot_path", "chroma_snapshot_files", "chroma_snapshot_bytes", "label" };
        _cleanup_json_ json_object *counts = json_object_new_object();
        _cleanup_json_ json_object *warnings = json_object_new_array();
        struct Metadata metadata = { .created_at = NOW,
                .root = "/r",
                .counts = counts,
                .warnings = warnings,
                .validated_at = NOW + 1 };
        _cleanup_json_ json_object *least = NULL, *most = NULL;

        (void) state;
        least = make(&metadata);
        for (size_t i = 0; i < sizeof maybe / sizeof maybe[0]; i++)
                assert_null(json_member(least, maybe[i]));
        assert_string_equal(json_text_of(least, "chroma_snapshot_included"), "false");
        assert_string_equal(json_text_of(least, "stamp"), NOW_STAMP);
        assert_string_equal(json_text_of(least, "created_at"), "2026-04-07T06:00:00Z");
        assert_string_equal(json_text_of(least, "db_snapshot_path"), "/r/db/atocore.db");
        assert_string_equal(json_text_of(json_member(least, "validation"), "validated_at"),
                "2026-04-07T06:00:01Z");

        metadata.has_registry = metadata.has_chroma = metadata.pinned = true;
        metadata.label = "l";
        metadata.chroma_files = UINT64_C(1) << 40;
        metadata.schema_version = -7;
        most = make(&metadata);
        for (size_t i = 0; i < sizeof maybe / sizeof maybe[0]; i++)
                assert_non_null(json_member(most, maybe[i]));
        assert_string_equal(json_text_of(most, "chroma_snapshot_files"), "1099511627776");
        assert_string_equal(json_text_of(most, "schema_version"), "-7");
        assert_string_equal(
                json_text_of(most, "registry_snapshot_path"), "/r/config/project-registry.json");
        assert_string_equal(json_text_of(most, "chroma_snapshot_path"), "/r/chroma");
        assert_string_equal(json_text_of(most, "pinned"), "true");
}

static void test_a_warning_is_told_at_once_and_is_text(void **state) {
        struct Fixture *f = *state;
        _cleanup_json_ json_object *warnings = json_object_new_array(), *again = NULL;

        assert_success(f,
                metadata_warn(&f->operation, warnings, "\xff", &f->failure, "%s is a %s", "\xff\n",
                        "pipe"));
        assert_int_equal(f->n_notices, 1);
        assert_int_equal(f->notices[0].id, EVENT_BACKUP_WARNING);
        assert_string_equal(f->notices[0].path, "\xff");
        assert_string_equal(f->notices[0].message, "\\xff\\n is a pipe");
        again = json_again(warnings);
        assert_string_equal(
                json_object_get_string(json_object_array_get_idx(again, 0)), "\\xff\\n is a pipe");
}

static void test_a_registry_is_json_or_it_is_not(void **state) {
        static const char *const good[] = { "{}", "[]", " {\"a\": [1, 2.5, null]}\n\n", "7",
                "\"x\"", "true", "null" };
        static const char *const bad[] = { "", " ", "{", "{}}", "{} {}", "{,}", "[1,]", "nul",
                "\xff", "\"\xff\"", "{\"a\" 1}", "\xef\xbb\xbf{}" };

        (void) state;
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
                if (!json_text_is_valid(good[i], strlen(good[i])))
                        fail_msg("%s", good[i]);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                if (json_text_is_valid(bad[i], strlen(bad[i])))
                        fail_msg("%s", bad[i]);
        assert_false(json_text_is_valid("{}\0", 3));
        assert_false(json_text_is_valid("{\0}", 3));
        assert_false(json_text_is_valid("{}\0{}", 5));
}

static bool is_valid_at_depth(size_t depth) {
        char *text = malloc(2 * depth + 1);
        bool valid;

        MUST(text);
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        valid = json_text_is_valid(text, 2 * depth);
        free(text);
        return valid;
}

static void test_a_deep_registry_is_refused_without_harm(void **state) {
        (void) state;
        assert_true(is_valid_at_depth(100));
        assert_false(is_valid_at_depth(1000000));
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_only_a_json_object_is_metadata),
                ON_ROOT(test_metadata_that_is_not_there_is_told_from_what_is_none),
                ON_ROOT(test_members_are_asked_for_without_surprise),
                ON_ROOT(test_what_is_absent_is_null_and_what_is_there_is_named),
                ON_ROOT(test_a_warning_is_told_at_once_and_is_text),
                ON_ROOT(test_a_registry_is_json_or_it_is_not),
                ON_ROOT(test_a_deep_registry_is_refused_without_harm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
