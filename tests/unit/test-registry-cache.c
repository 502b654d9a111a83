/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry-cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"

#define ONE "{\"projects\":[{\"id\":\"one\",\"aliases\":[],\"ingest_roots\":[]}]}"
#define TWO "{\"projects\":[{\"id\":\"two\",\"aliases\":[],\"ingest_roots\":[]}]}"

static void write_registry(const char *text) {
        MUST(write_file_atomic_at(AT_FDCWD, scratch("registry.json"), text, strlen(text)) == 0);
}

static struct RegistryCache *cache_of_scratch(void) {
        struct RegistryCache *cache = NULL;

        MUST(registry_cache_new(scratch("registry.json"), &cache) == 0);
        return cache;
}

static void test_unchanged_file_is_read_once(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_registry_view_ struct RegistryView *first = NULL, *second = NULL;

        (void) state;
        write_registry(ONE);
        assert_int_equal(registry_cache_get(cache, &first, NULL), 0);
        assert_int_equal(registry_cache_get(cache, &second, NULL), 0);
        assert_ptr_equal(first, second);
        assert_string_equal(first->registry->projects[0].id, "one");
}

static void test_changed_file_is_read_again_and_old_views_stay(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_registry_view_ struct RegistryView *before = NULL, *after = NULL;

        (void) state;
        write_registry(ONE);
        assert_int_equal(registry_cache_get(cache, &before, NULL), 0);
        write_registry(TWO);
        assert_int_equal(registry_cache_get(cache, &after, NULL), 0);
        assert_string_equal(before->registry->projects[0].id, "one");
        assert_string_equal(after->registry->projects[0].id, "two");
}

static void test_file_that_broke_is_not_served_from_before(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_registry_view_ struct RegistryView *view = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        write_registry(ONE);
        assert_int_equal(registry_cache_get(cache, &view, NULL), 0);
        view = registry_view_release(view);

        write_registry("[]");
        assert_true(registry_cache_get(cache, &view, &failure) < 0);
        assert_int_equal(failure.event, EVENT_REGISTRY_INVALID);
        assert_null(view);

        write_registry(TWO);
        assert_int_equal(registry_cache_get(cache, &view, NULL), 0);
        assert_string_equal(view->registry->projects[0].id, "two");
}

static void test_absent_file_is_told_without_a_failure(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_registry_view_ struct RegistryView *view = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        assert_int_equal(registry_cache_get(cache, &view, &failure), -ENOENT);
        assert_false(failure_is_set(&failure));

        write_registry(ONE);
        assert_int_equal(registry_cache_get(cache, &view, &failure), 0);
        view = registry_view_release(view);
        MUST(unlink(scratch("registry.json")) == 0);
        assert_int_equal(registry_cache_get(cache, &view, &failure), -ENOENT);
}

#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                SCRATCH(test_unchanged_file_is_read_once),
                SCRATCH(test_changed_file_is_read_again_and_old_views_stay),
                SCRATCH(test_file_that_broke_is_not_served_from_before),
                SCRATCH(test_absent_file_is_told_without_a_failure),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
