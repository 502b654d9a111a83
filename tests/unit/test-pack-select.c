/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/pack-select.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/utf8.h"

#define CHUNKS_MAX 40
#define CITATION   "\n### sources/vault/1.md (lines 10–10)\n\n"

/* A retrieval, best first. */
struct Fixture {
        struct Retrieval retrieval;
        struct Chunk chunks[CHUNKS_MAX];
        char files[CHUNKS_MAX][32];
        char contents[CHUNKS_MAX][2048];
};

/* A chunk of one line, ten lines from its neighbours. */
static void add(struct Fixture *f, int64_t document, uint64_t ordinal, const char *content) {
        size_t i = f->retrieval.n_chunks++;

        (void) snprintf(f->files[i], sizeof f->files[i], "sources/vault/%d.md", (int) document);
        (void) snprintf(f->contents[i], sizeof f->contents[i], "%s", content);
        f->chunks[i] = (struct Chunk){ .id = (int64_t) i + 1,
                .document_id = document,
                .ordinal = ordinal,
                .source_file = f->files[i],
                .start_line = 10 * ordinal,
                .end_line = 10 * ordinal,
                .content = f->contents[i],
                .content_size = strlen(f->contents[i]),
                .char_count = utf8_count(f->contents[i], strlen(f->contents[i])) };
        f->retrieval.chunks = f->chunks;
}

/* So many characters that no other chunk has. */
static void add_size(struct Fixture *f, int64_t document, uint64_t ordinal, size_t size) {
        char content[2048];

        memset(content, (int) ('a' + f->retrieval.n_chunks), size);
        content[size] = '\0';
        add(f, document, ordinal, content);
}

static struct PackSelection *choose(const struct Fixture *f, uint64_t budget) {
        struct PackSelection *selection = NULL;

        assert_int_equal(pack_select(&f->retrieval, budget, &selection), 0);
        assert_true(selection->characters <= budget);
        return selection;
}

/* 'u'sed, 'b'udget, 'd'uplicate, by rank; "/" and the passages, by ids. */
static void expect(const struct Fixture *f, uint64_t budget, const char *expected) {
        _cleanup_pack_selection_ struct PackSelection *selection = choose(f, budget);
        char found[128];
        size_t at = 0;

        for (size_t i = 0; i < f->retrieval.n_chunks; i++)
                found[at++] = "bdu"[selection->decisions[i]];
        for (size_t i = 0; i < selection->n_passages; i++) {
                const struct Passage *passage = selection->passages[i];

                found[at++] = i == 0 ? '/' : ' ';
                for (size_t k = 0; k < passage->n_chunks; k++)
                        found[at++] = (char) ('0' + passage->chunks[k]->id);
                if (passage->cut)
                        found[at++] = '~';
        }
        found[at] = '\0';
        assert_string_equal(found, expected);
}

static void test_neighbours_join_in_the_order_of_the_text_at_the_rank_of_the_best(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        add(&f, 1, 5, "five");
        add(&f, 2, 1, "other");
        add(&f, 1, 3, "three");
        add(&f, 1, 7, "seven");
        expect(&f, 10000, "uuuu/1 2 3 4");
        add(&f, 1, 4, "four");
        expect(&f, 10000, "uuuuu/351 2 4");
        add(&f, 1, 6, "six");
        expect(&f, 10000, "uuuuuu/35164 2");
}

static void test_a_long_row_of_neighbours_makes_several_passages(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        for (size_t i = 0; i < CHUNKS_MAX; i++)
                add_size(&f, 1, i + 1, 20 + i);
        _cleanup_pack_selection_ struct PackSelection *selection = choose(&f, 100000);
        assert_int_equal(selection->n_passages, 3);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(selection->passages[i]->n_chunks,
                        i < 2 ? PASSAGE_CHUNKS_MAX : CHUNKS_MAX - 2 * PASSAGE_CHUNKS_MAX);
}

static void test_what_joins_needs_no_citation_of_its_own(void **state) {
        (void) state;
        struct Fixture f = { 0 };
        uint64_t citation = utf8_count(CITATION, strlen(CITATION));

        add(&f, 1, 1, "12345");
        add(&f, 1, 2, "1234567");
        /* Ten line ends between them, and one behind. */
        expect(&f, citation + 5 + 10 + 7 + 1, "uu/12");
        expect(&f, citation + 5 + 10 + 7, "ub/1");
}

static void test_a_chunk_left_over_is_taken_once_its_neighbour_brought_the_citation(void **state) {
        (void) state;
        struct Fixture f = { 0 };
        uint64_t citation = utf8_count(CITATION, strlen(CITATION));

        add_size(&f, 1, 1, 100);
        add_size(&f, 1, 2, 8);
        expect(&f, citation + 100, "bu/2");
        expect(&f, citation + 100 + 10 + 8 + 1, "uu/12");
}

static void test_what_was_used_is_not_repeated(void **state) {
        (void) state;
        static const char text[] = "one two three four five six seven eight nine ten eleven twelve";
        char longer[256];
        struct Fixture f = { 0 };

        (void) snprintf(longer, sizeof longer, "%s thirteen", text);
        add(&f, 1, 1, longer);
        add(&f, 2, 1, text);
        add(&f, 3, 1, "something else");
        expect(&f, 10000, "udu/1 3");
        /* Where the better one does not fit, the other stands for both. */
        expect(&f, utf8_count(CITATION, strlen(CITATION)) + strlen(longer), "dub/2");
}

static void test_a_document_gets_half_while_others_wait_and_the_rest_then(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        add_size(&f, 1, 1, 200);
        add_size(&f, 1, 3, 200);
        add_size(&f, 1, 5, 200);
        add_size(&f, 2, 1, 200);
        expect(&f, 5000, "uuuu/1 2 3 4");
        expect(&f, 750, "uubu/1 2 4");
        expect(&f, 500, "ubbu/1 4");
        /* Nobody else waits: in the order of rank. */
        f.retrieval.n_chunks = 3;
        expect(&f, 750, "uuu/1 2 3");
}

static void test_nobody_waits_behind_the_last_of_the_others(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        add_size(&f, 2, 1, 200);
        add_size(&f, 1, 1, 200);
        add_size(&f, 1, 3, 200);
        add_size(&f, 1, 5, 20);
        /* With the limit, the smaller one would come before the better one. */
        expect(&f, 740, "uuub/1 2 3");
}

static void test_what_the_others_leave_is_filled_by_rank(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        add_size(&f, 1, 1, 300);
        add_size(&f, 1, 3, 300);
        add_size(&f, 1, 5, 100);
        add_size(&f, 2, 1, 50);
        expect(&f, 700, "ubuu/1 3 4");
        expect(&f, 800, "uubu/1 2 4");
        /* A duplicate that waits takes nothing. */
        add(&f, 3, 1, f.contents[0]);
        expect(&f, 800, "uubud/1 2 4");
}

static void test_the_first_of_a_document_may_be_larger_than_its_half(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        add_size(&f, 1, 1, 700);
        add_size(&f, 2, 1, 100);
        expect(&f, 1000, "uu/1 2");
}

/* Sentences, each of 20 characters with its blank. */
static void add_sentences(struct Fixture *f, int64_t document, uint64_t ordinal, size_t n) {
        char content[2048];

        for (size_t i = 0; i < n; i++)
                (void) snprintf(content + 20 * i, sizeof content - 20 * i, "Sentence %c%c, a b c. ",
                        (char) ('a' + f->retrieval.n_chunks), (char) ('A' + i));
        add(f, document, ordinal, content);
}

static void test_the_last_one_is_cut_where_a_sentence_ends(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        add_sentences(&f, 1, 1, 10);
        add_sentences(&f, 2, 1, 50);
        add_sentences(&f, 3, 1, 3);
        expect(&f, 900, "uuu/1 2~ 3");

        _cleanup_pack_selection_ struct PackSelection *selection = choose(&f, 900);
        const struct Passage *cut = selection->passages[1];
        assert_true(cut->content_size < f.chunks[1].content_size);
        assert_memory_equal(cut->content, f.chunks[1].content, cut->content_size);
        assert_int_equal(cut->content[cut->content_size - 1], '.');
        assert_non_null(strstr(cut->text, "\n\n[…]\n"));
        assert_true(900 - selection->characters < 20);
}

static void test_no_excerpt_of_little_or_without_a_good_place(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        add_sentences(&f, 1, 1, 10);
        add_size(&f, 2, 1, 1000);
        expect(&f, 900, "ub/1");
        add_sentences(&f, 3, 1, 50);
        expect(&f, 900, "ubu/1 3~");
        expect(&f, 400, "ubb/1");
}

static void test_an_excerpt_joins_what_it_continues_and_not_what_follows(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        add_sentences(&f, 1, 1, 3);
        add_sentences(&f, 1, 3, 3);
        add_sentences(&f, 1, 2, 50);
        expect(&f, 800, "uuu/13~ 2");
}

static void test_an_excerpt_leaves_room_for_its_fence(void **state) {
        (void) state;
        char content[2048] = "```\n";
        struct Fixture f = { 0 };
        size_t excerpts = 0;

        for (size_t i = 0; i < 60; i++)
                (void) snprintf(content + strlen(content), sizeof content - strlen(content),
                        "line %zu;\n", i);
        (void) strcat(content, "```");
        add(&f, 1, 1, content);
        for (uint64_t budget = 0; budget < 700; budget++) {
                _cleanup_pack_selection_ struct PackSelection *selection = choose(&f, budget);

                if (selection->n_passages == 0 || !selection->passages[0]->cut)
                        continue;
                excerpts++;
                assert_non_null(strstr(selection->passages[0]->text, "\n````\n\n[…]\n"));
        }
        assert_true(excerpts > 250);
}

static void test_budgets_at_the_edges(void **state) {
        (void) state;
        struct Fixture f = { 0 };

        expect(&f, 1000, "");
        add(&f, 1, 1, "one");
        add(&f, 2, 1, "two");
        expect(&f, 0, "bb");
        expect(&f, 1, "bb");
        expect(&f, UINT64_MAX, "uu/1 2");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(
                        test_neighbours_join_in_the_order_of_the_text_at_the_rank_of_the_best),
                cmocka_unit_test(test_a_long_row_of_neighbours_makes_several_passages),
                cmocka_unit_test(test_what_joins_needs_no_citation_of_its_own),
                cmocka_unit_test(
                        test_a_chunk_left_over_is_taken_once_its_neighbour_brought_the_citation),
                cmocka_unit_test(test_what_was_used_is_not_repeated),
                cmocka_unit_test(test_a_document_gets_half_while_others_wait_and_the_rest_then),
                cmocka_unit_test(test_nobody_waits_behind_the_last_of_the_others),
                cmocka_unit_test(test_what_the_others_leave_is_filled_by_rank),
                cmocka_unit_test(test_the_first_of_a_document_may_be_larger_than_its_half),
                cmocka_unit_test(test_the_last_one_is_cut_where_a_sentence_ends),
                cmocka_unit_test(test_no_excerpt_of_little_or_without_a_good_place),
                cmocka_unit_test(test_an_excerpt_joins_what_it_continues_and_not_what_follows),
                cmocka_unit_test(test_an_excerpt_leaves_room_for_its_fence),
                cmocka_unit_test(test_budgets_at_the_edges),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
