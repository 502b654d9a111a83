/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/term-lists.h"

#include "lib/base/sqlite.h"
#include "lib/knowledge/term-index.h"

int term_lists_open(sqlite3 *db, struct TermLists *ret_lists, struct Failure *failure) {
        struct TermLists lists = { .db = db };
        int r;

        r = sqlite_prepare(db, "SELECT data FROM postings WHERE term_id = ?1 AND window = ?2",
                &lists.select, failure);
        if (r >= 0)
                r = sqlite_prepare(db,
                        "INSERT INTO postings (term_id, window, data) VALUES (?1, ?2, ?3)"
                        " ON CONFLICT (term_id, window) DO UPDATE SET data = excluded.data",
                        &lists.put, failure);
        if (r >= 0)
                r = sqlite_prepare(db, "DELETE FROM postings WHERE term_id = ?1 AND window = ?2",
                        &lists.remove, failure);
        if (r < 0) {
                term_lists_close(&lists);
                return r;
        }
        *ret_lists = lists;
        return 0;
}

void term_lists_close(struct TermLists *lists) {
        (void) sqlite3_finalize(lists->select);
        (void) sqlite3_finalize(lists->put);
        (void) sqlite3_finalize(lists->remove);
        posting_writer_clear(&lists->list);
        *lists = (struct TermLists){ 0 };
}

static int bind_place(
        sqlite3_stmt *statement, int64_t term, int64_t window, struct Failure *failure) {
        return sqlite3_bind_int64(statement, 1, term) != SQLITE_OK ||
                        sqlite3_bind_int64(statement, 2, window) != SQLITE_OK
                ? failure_out_of_memory(failure)
                : 0;
}

int term_lists_read(struct TermLists *lists, int64_t term, int64_t window,
        const struct ListedChunk *without, size_t n_without, struct Failure *failure) {
        sqlite3_stmt *select _cleanup_reset_ = lists->select;
        struct PostingReader reader;
        struct Posting posting;
        int r, code;

        posting_writer_reset(&lists->list);
        r = bind_place(select, term, window, failure);
        if (r < 0)
                return r;
        code = sqlite3_step(select);
        if (code == SQLITE_DONE)
                return n_without > 0 ? term_index_damaged(lists->db, failure) : 0;
        if (code != SQLITE_ROW)
                return sqlite_failure(lists->db, failure, "read the index");
        reader = posting_reader(
                sqlite3_column_blob(select, 0), (size_t) sqlite3_column_bytes(select, 0));
        while ((r = posting_read(&reader, &posting)) > 0) {
                if (posting.key >= TERM_WINDOW)
                        return term_index_damaged(lists->db, failure);
                if (n_without > 0 &&
                        without->chunk == window * TERM_WINDOW + (int64_t) posting.key) {
                        without++;
                        n_without--;
                } else if (posting_append(&lists->list, posting.key, posting.weight) < 0)
                        return failure_out_of_memory(failure);
        }
        return r < 0 || n_without > 0 ? term_index_damaged(lists->db, failure) : 0;
}

int term_lists_write(
        struct TermLists *lists, int64_t term, int64_t window, struct Failure *failure) {
        sqlite3_stmt *write _cleanup_reset_ = lists->list.size > 0 ? lists->put : lists->remove;
        int r = bind_place(write, term, window, failure);

        if (r < 0)
                return r;
        if (lists->list.size > 0 &&
                sqlite3_bind_blob64(write, 3, lists->list.data, lists->list.size, SQLITE_STATIC) !=
                        SQLITE_OK)
                return failure_out_of_memory(failure);
        return sqlite3_step(write) == SQLITE_DONE
                ? 0
                : sqlite_failure(lists->db, failure, "write the index");
}
