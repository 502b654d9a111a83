/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry-cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/capture.h"
#include "tests/unit/scratch.h"

#define ONE "{\"projects\":[{\"id\":\"one\",\"aliases\":[],\"ingest_roots\":[]}]}"
#define TWO "{\"projects\":[{\"id\":\"two\",\"aliases\":[],\"ingest_roots\":[]}]}"

static struct Layout *layout;

static int setup(void **state) {
        int r = scratch_setup(state);

        MUST(layout_new(scratch_directory, &layout) == 0);
        MUST(mkdir(scratch("config"), 0750) == 0);
        return r;
}

static int teardown(void **state) {
        layout = layout_free(layout);
        return scratch_teardown(state);
}

static void write_registry(const char *text) {
        MUST(write_file_atomic_at(AT_FDCWD, layout->registry, text, strlen(text)) == 0);
}

static struct RegistryCache *cache_of_scratch(void) {
        struct RegistryCache *cache = NULL;

        MUST(registry_cache_new(layout, &cache) == 0);
        return cache;
}

/* Asserts that it can be had, as it was before `why` (EVENT_NONE: as it is); what was told is in
 * *ret_told, which the caller frees. */
static void assert_served(
        struct RegistryCache *cache, const char *id, enum EventId why, char **ret_told) {
        _cleanup_registry_view_ struct RegistryView *view = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Capture capture = capture_start(STDERR_FILENO);
        int r = registry_cache_get(cache, &view, &failure);

        *ret_told = capture_end(&capture);
        assert_int_equal(r, 0);
        assert_string_equal(view->registry->projects[0].id, id);
        assert_int_equal(failure.event, why);
        assert_int_equal(registry_cache_is_stale(cache), why != EVENT_NONE);
        if (why != EVENT_NONE)
                assert_non_null(strstr(failure_message(&failure), layout->registry));
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

static void test_file_that_broke_is_told_once_and_what_it_said_is_served_on(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_free_ char *good = NULL, *first = NULL, *again = NULL, *other = NULL, *back = NULL;

        (void) state;
        write_registry(ONE);
        assert_served(cache, "one", EVENT_NONE, &good);
        assert_string_equal(good, "");

        write_registry("{\"projects\":\n[{\"id\":7}]}");
        assert_served(cache, "one", EVENT_REGISTRY_INVALID, &first);
        assert_non_null(strstr(first, "line 2: projects[0]: id is not a string"));
        assert_non_null(strstr(first, "served until then [registry_invalid]"));
        assert_served(cache, "one", EVENT_REGISTRY_INVALID, &again);
        assert_string_equal(again, "");
        write_registry("[]");
        assert_served(cache, "one", EVENT_REGISTRY_INVALID, &other);
        assert_non_null(strstr(other, "[registry_invalid]"));

        write_registry(TWO);
        assert_served(cache, "two", EVENT_NONE, &back);
        assert_non_null(strstr(back, "[registry_mended]"));
}

static void test_file_that_is_gone_is_served_on_until_it_is_back(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_free_ char *good = NULL, *gone = NULL, *again = NULL, *back = NULL;

        (void) state;
        write_registry(ONE);
        assert_served(cache, "one", EVENT_NONE, &good);
        MUST(unlink(layout->registry) == 0);
        assert_served(cache, "one", EVENT_REGISTRY_MISSING, &gone);
        assert_non_null(strstr(gone, "[registry_missing]"));
        assert_served(cache, "one", EVENT_REGISTRY_MISSING, &again);
        assert_string_equal(again, "");
        write_registry(ONE);
        assert_served(cache, "one", EVENT_NONE, &back);
        assert_non_null(strstr(back, "[registry_mended]"));
}

static void test_file_that_cannot_be_read_is_tried_again_each_time(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_free_ char *good = NULL, *first = NULL, *again = NULL;

        (void) state;
        write_registry(ONE);
        assert_served(cache, "one", EVENT_NONE, &good);
        MUST(unlink(layout->registry) == 0 && mkdir(layout->registry, 0750) == 0);
        assert_served(cache, "one", EVENT_READ_FAILED, &first);
        assert_non_null(strstr(first, "[read_failed]"));
        assert_served(cache, "one", EVENT_READ_FAILED, &again);
        assert_string_equal(again, "");
}

static void test_edit_that_the_times_do_not_show_is_seen(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_free_ char *before = NULL, *after = NULL;
        struct stat st;

        (void) state;
        write_registry(ONE);
        assert_served(cache, "one", EVENT_NONE, &before);
        MUST(stat(layout->registry, &st) == 0);
        scratch_write(layout->registry, TWO, strlen(TWO)); /* in place, of the same size */
        MUST(utimensat(AT_FDCWD, layout->registry,
                     (const struct timespec[]){ st.st_atim, st.st_mtim }, 0) == 0);
        assert_served(cache, "two", EVENT_NONE, &after);
}

static void assert_nothing(struct RegistryCache *cache, enum EventId why) {
        _cleanup_registry_view_ struct RegistryView *view = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };

        assert_true(registry_cache_get(cache, &view, &failure) < 0);
        assert_null(view);
        assert_int_equal(failure.event, why);
        assert_false(registry_cache_is_stale(cache));
}

static void test_without_a_good_one_before_there_is_nothing_to_serve(void **state) {
        _cleanup_registry_cache_ struct RegistryCache *cache = cache_of_scratch();
        _cleanup_free_ char *told = NULL;

        (void) state;
        assert_nothing(cache, EVENT_REGISTRY_MISSING);
        write_registry("[]");
        assert_nothing(cache, EVENT_REGISTRY_INVALID);
        assert_nothing(cache, EVENT_REGISTRY_INVALID);
        write_registry(ONE);
        assert_served(cache, "one", EVENT_NONE, &told);
}

#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                SCRATCH(test_unchanged_file_is_read_once),
                SCRATCH(test_changed_file_is_read_again_and_old_views_stay),
                SCRATCH(test_file_that_broke_is_told_once_and_what_it_said_is_served_on),
                SCRATCH(test_file_that_is_gone_is_served_on_until_it_is_back),
                SCRATCH(test_file_that_cannot_be_read_is_tried_again_each_time),
                SCRATCH(test_edit_that_the_times_do_not_show_is_seen),
                SCRATCH(test_without_a_good_one_before_there_is_nothing_to_serve),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
