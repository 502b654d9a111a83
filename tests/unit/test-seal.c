/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/check-report.h"
#include "lib/backup/seal.h"
#include "tests/unit/backup-fixture.h"

struct Sealed {
        struct Staging staging;
        struct Manifest *manifest;
        struct CheckReport *report;
        json_object *counts;
        json_object *warnings;
        struct Metadata metadata;
};

static void sealed_clear(struct Sealed *sealed) {
        staging_discard(&sealed->staging);
        manifest_free(sealed->manifest);
        check_report_free(sealed->report);
        json_object_put(sealed->counts);
        json_object_put(sealed->warnings);
}

static void sealed_init(struct Fixture *f, struct Sealed *sealed) {
        char digest[DIGEST_HEX_SIZE];

        *sealed = (struct Sealed){ .staging = STAGING_INIT,
                .manifest = manifest_new(),
                .report = check_report_new(""),
                .counts = json_object_new_object(),
                .warnings = json_object_new_array() };
        sealed->metadata = (struct Metadata){ .created_at = NOW,
                .root = "/r",
                .counts = sealed->counts,
                .warnings = sealed->warnings };
        assert_success(f,
                staging_create(f->layout->snapshots, STAGING_DIRECTORY, NOW_STAMP, &sealed->staging,
                        &f->failure));
        MUST(write_new_file_at(sealed->staging.fd, "z", "z", 1) == 0);
        MUST(digest_buffer("z", 1, digest) == 0);
        MUST(manifest_add(sealed->manifest, "z", digest) == 0);
}

static char *read_in(const struct Sealed *sealed, const char *name, size_t *ret_size) {
        char *text = NULL;

        MUST(read_file_at(sealed->staging.fd, name, 1 << 20, &text, ret_size) == 0);
        return text;
}

/* The two files agree with each other and with what was returned. */
static void assert_sealed(struct Sealed *sealed, json_object *metadata) {
        _cleanup_free_ char *text = NULL, *sums = NULL, *expected = NULL;
        char digest[DIGEST_HEX_SIZE], z[DIGEST_HEX_SIZE];
        _cleanup_json_ json_object *read = NULL;
        size_t size;
        char *problem = NULL;

        text = read_in(sealed, METADATA_NAME, &size);
        assert_int_equal(json_document_parse(text, size, 32, &read, &problem), 0);
        assert_true(json_object_equal(read, metadata));
        assert_int_equal(text[size - 1], '\n');
        MUST(digest_buffer(text, size, digest) == 0 && digest_buffer("z", 1, z) == 0);
        MUST(asprintf(&expected, "%s  " METADATA_NAME "\n%s  z\n", digest, z) > 0);
        sums = read_in(sealed, MANIFEST_NAME, &size);
        assert_string_equal(sums, expected);
}

static void test_the_sums_list_the_metadata_and_everything_else(void **state) {
        struct Fixture *f = *state;
        _cleanup_(sealed_clear) struct Sealed sealed;
        _cleanup_json_ json_object *metadata = NULL;

        sealed_init(f, &sealed);
        assert_success(f,
                seal_snapshot(&sealed.staging, sealed.manifest, &sealed.metadata, sealed.report,
                        &metadata, &f->failure));
        assert_sealed(&sealed, metadata);
}

static void test_what_is_unsealed_can_be_sealed_under_another_stamp(void **state) {
        struct Fixture *f = *state;
        _cleanup_(sealed_clear) struct Sealed sealed;

        sealed_init(f, &sealed);
        for (int i = 0; i < 3; i++) {
                _cleanup_json_ json_object *metadata = NULL;

                sealed.metadata.created_at = NOW + i;
                assert_success(f,
                        seal_snapshot(&sealed.staging, sealed.manifest, &sealed.metadata,
                                sealed.report, &metadata, &f->failure));
                assert_sealed(&sealed, metadata);
                assert_int_equal(sealed.manifest->n_entries, 2);
                assert_success(f, unseal_snapshot(&sealed.staging, &f->failure));
                assert_int_equal(scratch_entries(sealed.staging.path), 1);
        }
}

static void test_what_is_sealed_is_not_sealed_over(void **state) {
        struct Fixture *f = *state;
        _cleanup_(sealed_clear) struct Sealed sealed;
        json_object *metadata = (void *) f;

        sealed_init(f, &sealed);
        MUST(write_new_file_at(sealed.staging.fd, MANIFEST_NAME, "x", 1) == 0);
        assert_int_equal(seal_snapshot(&sealed.staging, sealed.manifest, &sealed.metadata,
                                 sealed.report, &metadata, &f->failure),
                -EEXIST);
        assert_ptr_equal(metadata, f);
        assert_true(failure_is_set(&f->failure));
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_the_sums_list_the_metadata_and_everything_else),
                ON_ROOT(test_what_is_unsealed_can_be_sealed_under_another_stamp),
                ON_ROOT(test_what_is_sealed_is_not_sealed_over),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
