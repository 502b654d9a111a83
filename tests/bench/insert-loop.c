/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * insert-loop DIRECTORY DATABASE: the least that indexing a directory of text can be. Each file is
 * read and inserted as it is, one row each, into one FTS5 table with the tokenizer of AtoCore's
 * index, in one transaction that is on disk at the end.
 */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/file-io.h"
#include "lib/base/sqlite.h"

#define TABLE                                                                                      \
        "CREATE VIRTUAL TABLE text USING fts5 (path, content, tokenize = 'porter unicode61 "       \
        "remove_diacritics 2')"

#define FILE_MAX ((size_t) 16 << 20)

static sqlite3_stmt *insert; /* nftw(3) has no pointer of the caller's */

static int insert_file(const char *path, const struct stat *st, int kind, struct FTW *place) {
        _cleanup_free_ char *text = NULL;
        size_t size;

        (void) st;
        (void) place;
        if (kind != FTW_F)
                return 0;
        if (read_file_at(AT_FDCWD, path, FILE_MAX, &text, &size) < 0)
                return -1;
        (void) sqlite3_bind_text(insert, 1, path, -1, SQLITE_STATIC);
        (void) sqlite3_bind_text(insert, 2, text, (int) size, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE || sqlite3_reset(insert) != SQLITE_OK)
                return -1;
        return 0;
}

static int insert_all(const char *directory, const char *path, struct Failure *failure) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        int r;

        r = sqlite_open(path, SQLITE_MODE_CREATE, &db, failure);
        if (r < 0)
                return r;
        r = sqlite_execute(db, "PRAGMA journal_mode=WAL; BEGIN; " TABLE, failure);
        if (r < 0)
                return r;
        r = sqlite_prepare(db, "INSERT INTO text VALUES (?1, ?2)", &insert, failure);
        if (r < 0)
                return r;
        r = nftw(directory, insert_file, 16, FTW_PHYS);
        insert = sqlite_finalize(insert);
        if (r < 0)
                return failure_set(
                        failure, EVENT_READ_FAILED, 0, directory, "Cannot index %s", directory);
        return sqlite_commit(db, failure);
}

int main(int argc, char **argv) {
        _cleanup_failure_ struct Failure failure = { 0 };

        if (argc != 3) {
                (void) fprintf(stderr, "Usage: insert-loop DIRECTORY DATABASE\n");
                return EXIT_FAILURE;
        }
        if (insert_all(argv[1], argv[2], &failure) < 0) {
                (void) fprintf(stderr, "insert-loop: %s\n", failure_message(&failure));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
