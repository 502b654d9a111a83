/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/metadata.h"
#include "lib/backup/registry-copy.h"
#include "tests/unit/backup-fixture.h"

static struct Copied {
        bool copied;
        uint64_t bytes;
        struct Manifest *manifest;
        json_object *warnings;
} got;

static int copy(struct Fixture *f) {
        _cleanup_close_ int fd = open(scratch("target"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        MUST(fd >= 0);
        return registry_copy(&f->operation, fd, scratch("target"), got.manifest, got.warnings,
                &got.copied, &got.bytes, &f->failure);
}

static int setup(void **state) {
        MUST(fixture_setup(state) == 0);
        MUST(mkdir(scratch("target"), 0750) >= 0 && mkdir(scratch("config"), 0750) >= 0);
        got = (struct Copied){ .copied = true,
                .bytes = 99,
                .manifest = manifest_new(),
                .warnings = json_object_new_array() };
        return 0;
}

static int teardown(void **state) {
        manifest_free(got.manifest);
        json_object_put(got.warnings);
        return fixture_teardown(state);
}

static void assert_copied(const char *text) {
        _cleanup_free_ char *read = scratch_read(scratch("target/" SNAPSHOT_REGISTRY), NULL);
        char digest[DIGEST_HEX_SIZE];

        assert_true(got.copied);
        assert_int_equal(got.bytes, strlen(text));
        assert_string_equal(read, text);
        MUST(digest_buffer(text, strlen(text), digest) == 0);
        assert_int_equal(got.manifest->n_entries, 1);
        assert_string_equal(got.manifest->entries[0].digest, digest);
        assert_string_equal(got.manifest->entries[0].path, SNAPSHOT_REGISTRY);
        assert_int_equal(json_object_array_length(got.warnings), 0);
}

static void assert_left_out(size_t warnings) {
        assert_false(got.copied);
        assert_int_equal(got.bytes, 0);
        assert_int_equal(got.manifest->n_entries, 0);
        assert_int_equal(json_object_array_length(got.warnings), warnings);
        assert_int_equal(scratch_entries(scratch("target")), 0);
}

static void test_it_is_copied_byte_for_byte(void **state) {
        static const char text[] = " {\"projects\":  []}\r\n\n";
        struct Fixture *f = *state;

        scratch_write(f->layout->registry, text, strlen(text));
        assert_success(f, copy(f));
        assert_copied(text);
        assert_int_equal(f->checks, 0); /* read once */
}

static void test_none_is_nothing_to_warn_of(void **state) {
        struct Fixture *f = *state;

        assert_success(f, copy(f));
        assert_left_out(0);
        assert_int_equal(f->n_notices, 0);
}

static void test_a_torn_one_is_left_out_with_a_warning(void **state) {
        struct Fixture *f = *state;

        scratch_write(f->layout->registry, "{\"projects\":", 12);
        assert_success(f, copy(f));
        assert_left_out(1);
        assert_int_equal(fixture_count(f, EVENT_BACKUP_WARNING), 1);
        assert_true(f->checks >= 3); /* not given up at once */
}

static const char whole[] = "{\"projects\":[]}";
static struct Fixture *writing;

static void finish_writing(void) {
        if (writing->checks == 2)
                scratch_write(writing->layout->registry, whole, strlen(whole));
}

static void test_a_writer_may_finish_meanwhile(void **state) {
        struct Fixture *f = *state;

        writing = f;
        f->asked = finish_writing;
        scratch_write(f->layout->registry, whole, strlen(whole) - 1);
        assert_success(f, copy(f));
        assert_copied(whole);
        assert_int_equal(f->checks, 2);
}

static void replace_by_nothing(void) {
        (void) unlink(writing->layout->registry);
}

static void test_one_that_is_removed_meanwhile_is_none(void **state) {
        struct Fixture *f = *state;

        writing = f;
        f->asked = replace_by_nothing;
        scratch_write(f->layout->registry, "{", 1);
        assert_success(f, copy(f));
        assert_left_out(0);
}

static void test_waiting_for_a_writer_can_be_stopped(void **state) {
        struct Fixture *f = *state;

        f->stop_at = 1;
        scratch_write(f->layout->registry, "{", 1);
        assert_int_equal(copy(f), -EINTR);
        assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
        assert_left_out(0);
}

static void test_what_is_no_file_is_left_out_with_a_warning(void **state) {
        struct Fixture *f = *state;

        MUST(mkdir(f->layout->registry, 0750) >= 0);
        assert_success(f, copy(f));
        assert_left_out(1);
        MUST(rmdir(f->layout->registry) >= 0);
        MUST(mkfifo(f->layout->registry, 0640) >= 0);
        assert_success(f, copy(f));
        assert_left_out(2);
}

static void test_one_too_large_to_be_one_is_left_out_with_a_warning(void **state) {
        struct Fixture *f = *state;

        scratch_write(f->layout->registry, "{}", 2);
        MUST(truncate(f->layout->registry, ((off_t) 16 << 20) + 1) >= 0);
        assert_success(f, copy(f));
        assert_left_out(1);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_it_is_copied_byte_for_byte),
                ON_ROOT(test_none_is_nothing_to_warn_of),
                ON_ROOT(test_a_torn_one_is_left_out_with_a_warning),
                ON_ROOT(test_a_writer_may_finish_meanwhile),
                ON_ROOT(test_one_that_is_removed_meanwhile_is_none),
                ON_ROOT(test_waiting_for_a_writer_can_be_stopped),
                ON_ROOT(test_what_is_no_file_is_left_out_with_a_warning),
                ON_ROOT(test_one_too_large_to_be_one_is_left_out_with_a_warning),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
