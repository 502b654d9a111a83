/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Documents as ingest writes them to the index, from Markdown.
 */

#include "index-fixture.h"
#include "lib/knowledge/index.h"
#include "store-fixture.h"

static inline void put(struct StoreFixture *f, struct Index *index, int64_t id, const char *path,
        const char *markdown) {
        static const struct Evidence evidence = { 1, 1, 1, 1 };
        _cleanup_document_text_ struct DocumentText *text = NULL;

        assert_int_equal(chunk_document(markdown, strlen(markdown), DOCUMENT_MARKDOWN, &text), 0);
        const struct IndexDocument document = {
                .id = id,
                .source = "vault",
                .path = path,
                .digest = "x",
                .evidence = &evidence,
                .text = text,
                .ingested_at = 1,
        };
        assert_success(f, index_put(index, &document, &f->failure));
}

static inline struct Index *open_index(struct StoreFixture *f) {
        struct Index *index = NULL;

        assert_success(f, index_open(store_database(f->store), &index, &f->failure));
        return index;
}

static inline void apply(struct StoreFixture *f, struct Index *index) {
        uint64_t added = 0, removed = 0;

        assert_success(f, index_apply(index, &added, &removed, &f->failure));
}
