/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/interaction.h"

#include <errno.h>
#include <sys/wait.h>

#include "store-fixture.h"

static char prompt[] = "What \"is\"\n it? \xf0\x9f\x98\x80", response[] = "That.", summary[] = "S",
            project[] = "p05", client[] = "claude-code", session[] = "s-1", chunks[] = "[1,2]",
            pack[] = "{\"a\":1}";

static int64_t save(struct StoreFixture *f, char *project_id, char *session_id, char *client_name,
        int64_t created_at) {
        struct Interaction interaction = { .created_at = created_at,
                .prompt = prompt,
                .project_id = project_id,
                .session_id = session_id,
                .client = client_name };

        assert_success(f, interaction_save(f->store, &interaction, &f->failure));
        return interaction.id;
}

static void test_what_was_saved_comes_back_whole(void **state) {
        struct StoreFixture *f = *state;
        struct Interaction saved = { .created_at = 1775541600,
                .prompt = prompt,
                .response = response,
                .response_summary = summary,
                .project_id = project,
                .client = client,
                .session_id = session,
                .chunks_used = chunks,
                .context_pack = pack };
        _cleanup_interaction_ struct Interaction *found = NULL;

        assert_success(f, interaction_save(f->store, &saved, &f->failure));
        assert_true(saved.id > 0);
        assert_success(f, interaction_get(f->store, saved.id, &found, &f->failure));
        assert_int_equal(found->id, saved.id);
        assert_int_equal(found->created_at, 1775541600);
        assert_string_equal(found->prompt, prompt);
        assert_string_equal(found->response, response);
        assert_string_equal(found->response_summary, summary);
        assert_string_equal(found->project_id, project);
        assert_string_equal(found->client, client);
        assert_string_equal(found->session_id, session);
        assert_string_equal(found->chunks_used, chunks);
        assert_string_equal(found->context_pack, pack);
}

static void test_what_was_not_given_stays_null_and_empty_stays_empty(void **state) {
        struct StoreFixture *f = *state;
        char empty[] = "";
        struct Interaction saved = { .prompt = prompt, .response = empty };
        _cleanup_interaction_ struct Interaction *found = NULL;

        assert_success(f, interaction_save(f->store, &saved, &f->failure));
        assert_success(f, interaction_get(f->store, saved.id, &found, &f->failure));
        assert_string_equal(found->response, "");
        assert_null(found->response_summary);
        assert_null(found->project_id);
        assert_null(found->client);
        assert_null(found->session_id);
        assert_null(found->chunks_used);
        assert_null(found->context_pack);
}

static void test_an_unknown_id_is_enoent_without_a_failure(void **state) {
        struct StoreFixture *f = *state;
        struct Interaction *found = NULL;

        assert_int_equal(interaction_get(f->store, 7, &found, &f->failure), -ENOENT);
        assert_null(found);
        assert_false(failure_is_set(&f->failure));
}

static void test_a_saved_interaction_survives_the_death_of_its_writer(void **state) {
        struct StoreFixture *f = *state;
        int status;
        pid_t pid;

        f->store = store_close(f->store);
        pid = fork();
        if (pid == 0) {
                struct Interaction interaction = { .prompt = prompt };
                struct Store *store = NULL;

                if (store_open(&f->operation, SQLITE_MODE_WRITE, &store, NULL) < 0 ||
                        interaction_save(store, &interaction, NULL) < 0)
                        _exit(1);
                _exit(0); /* closes nothing */
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_success(f, store_open(&f->operation, SQLITE_MODE_READ, &f->store, &f->failure));
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM interactions"), 1);
}

/* The ids of a listing, "3 2 1 | 1" with the cursor of the next page behind the bar. */
static void assert_lists(
        struct StoreFixture *f, const struct InteractionFilter *filter, const char *expected) {
        struct Interaction *rows = NULL;
        char text[256] = "", number[32];
        int64_t next;
        size_t n;

        assert_success(f, interaction_list(f->store, filter, &rows, &n, &next, &f->failure));
        for (size_t i = 0; i < n; i++) {
                (void) snprintf(number, sizeof number, "%lld ", (long long) rows[i].id);
                strcat(text, number);
        }
        (void) snprintf(number, sizeof number, "| %lld", (long long) next);
        strcat(text, number);
        interaction_list_free(rows, n);
        assert_string_equal(text, expected);
}

#define FILTER(...) (&(struct InteractionFilter){ __VA_ARGS__ })

static void test_filters_and_combinations_of_them(void **state) {
        struct StoreFixture *f = *state;
        char other[] = "P05";

        save(f, project, session, client, 100); /* 1 */
        save(f, project, session, NULL, 200);
        save(f, project, NULL, client, 300);
        save(f, NULL, session, client, 150); /* the clock was set back */
        save(f, other, other, other, 400);

        assert_lists(f, FILTER(.since = INT64_MIN), "5 4 3 2 1 | 0");
        assert_lists(f, FILTER(.project_id = project), "3 2 1 | 0");
        assert_lists(f, FILTER(.session_id = session), "4 2 1 | 0");
        assert_lists(f, FILTER(.client = client), "4 3 1 | 0");
        assert_lists(f, FILTER(.project_id = project, .client = client), "3 1 | 0");
        assert_lists(
                f, FILTER(.project_id = project, .session_id = session, .client = client), "1 | 0");
        assert_lists(f, FILTER(.project_id = "' OR 1=1 --"), "| 0");
        assert_lists(f, FILTER(.project_id = ""), "| 0");
}

static void test_since_is_inclusive(void **state) {
        struct StoreFixture *f = *state;

        save(f, NULL, NULL, NULL, 100);
        save(f, NULL, NULL, NULL, 200);
        assert_lists(f, FILTER(.since = 200), "2 | 0");
        assert_lists(f, FILTER(.since = 201), "| 0");
        assert_lists(f, FILTER(.since = 100), "2 1 | 0");
        assert_lists(f, FILTER(.since = -5), "2 1 | 0");
}

static void test_pages_follow_each_other_without_gap_or_overlap(void **state) {
        struct StoreFixture *f = *state;

        for (int i = 0; i < 5; i++)
                save(f, i % 2 == 0 ? project : NULL, NULL, NULL, 100);
        assert_lists(f, FILTER(.limit = 2), "5 4 | 4");
        save(f, project, NULL, NULL, 100); /* arrives while somebody reads */
        assert_lists(f, FILTER(.limit = 2, .before = 4), "3 2 | 2");
        assert_lists(f, FILTER(.limit = 2, .before = 2), "1 | 0");
        assert_lists(f, FILTER(.limit = 5, .before = 6), "5 4 3 2 1 | 0");
        assert_lists(f, FILTER(.limit = 2, .before = 6, .project_id = project), "5 3 | 3");
        assert_lists(f, FILTER(.limit = 2, .before = 3, .project_id = project), "1 | 0");
        assert_lists(f, FILTER(.before = 1), "| 0");
        assert_lists(f, FILTER(.before = -1), "| 0");
}

static void test_limits_are_bounded_and_have_a_default(void **state) {
        struct StoreFixture *f = *state;
        struct Interaction *rows = NULL;
        int64_t next;
        size_t n;

        fixture_execute(f, "BEGIN");
        for (int i = 0; i < INTERACTION_LIMIT_MAX + 10; i++)
                save(f, NULL, NULL, NULL, 100);
        fixture_execute(f, "COMMIT");
        assert_success(
                f, interaction_list(f->store, FILTER(.limit = 0), &rows, &n, &next, &f->failure));
        interaction_list_free(rows, n);
        assert_int_equal(n, INTERACTION_LIMIT_DEFAULT);
        assert_success(f,
                interaction_list(
                        f->store, FILTER(.limit = UINT64_MAX), &rows, &n, &next, &f->failure));
        interaction_list_free(rows, n);
        assert_int_equal(n, INTERACTION_LIMIT_MAX);
        assert_int_equal(next, 11);
}

static void test_a_page_of_large_texts_ends_early(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_free_ char *large = malloc((1 << 20) + 1);
        struct Interaction interaction = { .prompt = large };

        memset(large, 'x', 1 << 20);
        large[1 << 20] = '\0';
        for (int i = 0; i < 6; i++)
                assert_success(f, interaction_save(f->store, &interaction, &f->failure));
        assert_lists(f, FILTER(.limit = 50), "6 5 4 3 | 3");
        assert_lists(f, FILTER(.limit = 50, .before = 3), "2 1 | 0");
}

static void test_a_store_that_cannot_be_written_fails_to_save(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_store_ struct Store *reader = NULL;
        struct Interaction interaction = { .prompt = prompt };

        assert_success(f, store_open(&f->operation, SQLITE_MODE_READ, &reader, &f->failure));
        assert_true(interaction_save(reader, &interaction, &f->failure) < 0);
        assert_true(failure_is_set(&f->failure));
        assert_int_equal(interaction.id, 0);
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_new_with_store, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_what_was_saved_comes_back_whole),
                ON_STORE(test_what_was_not_given_stays_null_and_empty_stays_empty),
                ON_STORE(test_an_unknown_id_is_enoent_without_a_failure),
                ON_STORE(test_a_saved_interaction_survives_the_death_of_its_writer),
                ON_STORE(test_filters_and_combinations_of_them),
                ON_STORE(test_since_is_inclusive),
                ON_STORE(test_pages_follow_each_other_without_gap_or_overlap),
                ON_STORE(test_limits_are_bounded_and_have_a_default),
                ON_STORE(test_a_page_of_large_texts_ends_early),
                ON_STORE(test_a_store_that_cannot_be_written_fails_to_save),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
