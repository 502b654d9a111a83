/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void test_paths_are_those_of_the_contract(void **state) {
        _cleanup_layout_ struct Layout *layout = NULL;

        (void) state;
        assert_int_equal(layout_new("/srv/storage/atocore", &layout), 0);
        const struct {
                const char *path, *expected;
        } rows[] = {
                { layout->registry, "config/project-registry.json" },
                { layout->registry_previous, "config/project-registry.json.previous" },
                { layout->database_dir, "data/db" },
                { layout->database, "data/db/atocore.db" },
                { layout->chroma, "data/chroma" },
                { layout->cache, "data/cache" },
                { layout->tmp, "data/tmp" },
                { layout->locks, "data/locks" },
                { layout->sources, "sources" },
                { layout->logs, "logs" },
                { layout->restore_journal, "data/restore-journal.json" },
                { layout->last_drill, "data/last-drill.json" },
                { layout->backups, "backups" },
                { layout->snapshots, "backups/snapshots" },
                { layout->archives, "backups/archives" },
                { layout->pre_restore, "backups/pre-restore" },
                { layout->state, "backups/state" },
                { layout->gate_lock, "data/locks/gate.lock" },
                { layout->store_lock, "data/locks/store.lock" },
                { layout->ingestion_lock, "data/locks/ingestion.lock" },
                { layout->registry_lock, "data/locks/registry.lock" },
                { layout->backups_lock, "backups/.lock" },
        };

        assert_string_equal(layout->root, "/srv/storage/atocore");
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                assert_non_null(rows[i].path);
                assert_string_equal(
                        rows[i].path + strlen("/srv/storage/atocore/"), rows[i].expected);
                assert_string_equal(layout_relative(layout, rows[i].path), rows[i].expected);
        }
        /* No member was left out above: root and one pointer per row. */
        assert_int_equal(sizeof *layout, (1 + sizeof rows / sizeof rows[0]) * sizeof(char *));
}

static void test_trailing_slashes_of_the_root_do_not_count(void **state) {
        static const char *const roots[] = { "/a b/c", "/a b/c/", "/a b/c///" };

        (void) state;
        for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
                _cleanup_layout_ struct Layout *layout = NULL;
                assert_int_equal(layout_new(roots[i], &layout), 0);
                assert_string_equal(layout->root, "/a b/c");
                assert_string_equal(layout->database, "/a b/c/data/db/atocore.db");
        }
}

static void test_the_root_directory_itself_can_be_the_storage_root(void **state) {
        static const char *const roots[] = { "/", "//" };

        (void) state;
        for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
                _cleanup_layout_ struct Layout *layout = NULL;
                assert_int_equal(layout_new(roots[i], &layout), 0);
                assert_string_equal(layout->root, "/");
                assert_string_equal(layout->database, "/data/db/atocore.db");
                assert_string_equal(
                        layout_relative(layout, layout->database), "data/db/atocore.db");
                assert_string_equal(layout_relative(layout, "/"), "/");
        }
}

static void test_relative_root_is_refused(void **state) {
        static const char *const roots[] = { "", ".", "atocore", "./atocore", "~/atocore" };

        (void) state;
        for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
                struct Layout *layout = NULL;
                assert_int_equal(layout_new(roots[i], &layout), -EINVAL);
                assert_null(layout);
        }
}

static void test_what_lies_elsewhere_keeps_its_path(void **state) {
        _cleanup_layout_ struct Layout *layout = NULL;

        (void) state;
        assert_int_equal(layout_new("/srv/atocore", &layout), 0);
        assert_string_equal(layout_relative(layout, "/srv/atocore2/x"), "/srv/atocore2/x");
        assert_string_equal(layout_relative(layout, "/srv/atocore"), "/srv/atocore");
        assert_string_equal(layout_relative(layout, "/etc/x"), "/etc/x");
        assert_string_equal(
                layout_relative(layout, "/srv/atocore/sources/vault/a.md"), "sources/vault/a.md");
}

static void test_freeing_nothing_is_fine(void **state) {
        (void) state;
        assert_null(layout_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths_are_those_of_the_contract),
                cmocka_unit_test(test_trailing_slashes_of_the_root_do_not_count),
                cmocka_unit_test(test_the_root_directory_itself_can_be_the_storage_root),
                cmocka_unit_test(test_relative_root_is_refused),
                cmocka_unit_test(test_what_lies_elsewhere_keeps_its_path),
                cmocka_unit_test(test_freeing_nothing_is_fine),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
