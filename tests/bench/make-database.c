/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * make-database FILE BYTES: a database of AtoCore's schema, lexical index included, of at least
 * so many bytes; the same for the same size on every machine. About two thirds are documents and
 * their index, the rest is interactions. Words come as in prose, few of them often and many of them
 * rarely, because that is what the size and shape of an index depend on.
 */

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/schema.h"
#include "lib/knowledge/term-index.h"

#define WORDS        50000
#define DRAWS        (1 << 16) /* a power of two */
#define WORD_MAX     16
#define CHUNK_WORDS  180
#define FILE_CHUNKS  12
#define PACK_CHUNKS  6
#define HEADING_PATH "[\"Notes\"]"
#define SIZE_LOOK    500 /* documents between two looks at the size; indexed together */
#define CONTENT_SIZE (CHUNK_WORDS * (WORD_MAX + 1) + 1)

struct Writer {
        uint64_t random;
        char words[WORDS][WORD_MAX];
        uint32_t draws[DRAWS]; /* word by its frequency: 1 / rank */
        sqlite3 *db;
        sqlite3_stmt *document;
        sqlite3_stmt *chunk;
        sqlite3_stmt *interaction;
        struct TermIndex *index;
};

/* xorshift64* */
static uint64_t next_random(struct Writer *writer) {
        uint64_t x = writer->random;

        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        writer->random = x;
        return x * 0x2545f4914f6cdd1dULL;
}

static void make_words(struct Writer *writer) {
        static const char *const syllables[] = { "ka", "ren", "ti", "mo", "sul", "ve", "dra", "po",
                "lin", "ge", "ba", "tor", "ny", "cha", "wes", "fi" };

        for (size_t i = 0; i < WORDS; i++) {
                char *end = writer->words[i];

                /* The number in base 16, each digit a syllable: no two words are the same. */
                for (size_t left = i + 1; left > 0; left /= 16)
                        end = stpcpy(end, syllables[left % 16]);
        }
        for (size_t i = 0; i < DRAWS; i++) {
                double rank = pow(WORDS, ((double) i + 0.5) / DRAWS);

                writer->draws[i] = (uint32_t) rank - 1;
        }
}

static size_t write_content(struct Writer *writer, char *content) {
        char *end = content;

        for (size_t i = 0; i < CHUNK_WORDS; i++) {
                end = stpcpy(end, writer->words[writer->draws[next_random(writer) % DRAWS]]);
                *end++ = i % 15 == 14 ? '\n' : ' ';
        }
        *end = '\0';
        return (size_t) (end - content);
}

static bool step(sqlite3_stmt *statement) {
        return sqlite3_step(statement) == SQLITE_DONE && sqlite3_reset(statement) == SQLITE_OK;
}

static int write_document(struct Writer *writer, int64_t id, struct Failure *failure) {
        char path[64], content[CONTENT_SIZE];
        struct IndexedText text = {
                .title = path,
                .heading_path = HEADING_PATH,
                .keywords = "",
                .path = path,
                .content = content,
        };
        int r;

        (void) snprintf(path, sizeof path, "notes/%03" PRIi64 "/%" PRIi64 ".md", id % 500, id);
        (void) sqlite3_bind_int64(writer->document, 1, id);
        (void) sqlite3_bind_text(writer->document, 2, path, -1, SQLITE_STATIC);
        if (!step(writer->document))
                return sqlite_failure(writer->db, failure, "write a document");
        for (int i = 0; i < FILE_CHUNKS; i++) {
                text.content_size = write_content(writer, content);
                (void) sqlite3_bind_int64(writer->chunk, 1, id);
                (void) sqlite3_bind_int(writer->chunk, 2, i);
                (void) sqlite3_bind_text(writer->chunk, 3, path, -1, SQLITE_STATIC);
                (void) sqlite3_bind_int64(writer->chunk, 4, (int64_t) text.content_size);
                (void) sqlite3_bind_text(
                        writer->chunk, 5, content, (int) text.content_size, SQLITE_STATIC);
                if (!step(writer->chunk))
                        return sqlite_failure(writer->db, failure, "write a chunk");
                r = term_index_add(writer->index, sqlite3_last_insert_rowid(writer->db),
                        (uint64_t) i, &text, failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* With its context pack it is about as long as the document and its index are. */
static bool write_interaction(struct Writer *writer, int64_t id) {
        char content[CONTENT_SIZE], pack[PACK_CHUNKS * CONTENT_SIZE];
        size_t length = 0;

        for (int i = 0; i < PACK_CHUNKS; i++)
                length += write_content(writer, pack + length);
        (void) sqlite3_bind_int64(writer->interaction, 1, 1775541600 + id);
        (void) sqlite3_bind_text(writer->interaction, 2, content,
                (int) write_content(writer, content), SQLITE_STATIC);
        (void) sqlite3_bind_text(writer->interaction, 3, pack, (int) length, SQLITE_STATIC);
        return step(writer->interaction);
}

static int fill(struct Writer *writer, int64_t bytes, struct Failure *failure) {
        int r;

        r = sqlite_prepare(writer->db,
                "INSERT INTO documents (id, source, path, title, size, mtime_ns, ctime_ns, inode,"
                " digest, ingested_at) VALUES (?1, 'vault', ?2, ?2, 1, 1, 1, ?1,"
                " hex(zeroblob(32)), 1775541600)",
                &writer->document, failure);
        if (r < 0)
                return r;
        r = sqlite_prepare(writer->db,
                "INSERT INTO chunks (document_id, ordinal, title, heading_path, start_line,"
                " end_line, char_count, content) VALUES (?1, ?2, ?3, '" HEADING_PATH
                "', ?2 * 20 + 1,"
                " ?2 * 20 + 12, ?4, ?5)",
                &writer->chunk, failure);
        if (r < 0)
                return r;
        r = sqlite_prepare(writer->db,
                "INSERT INTO interactions (created_at, prompt, response, context_pack, client)"
                " VALUES (?1, 'prompt', ?2, ?3, 'bench')",
                &writer->interaction, failure);
        if (r < 0)
                return r;
        for (int64_t id = 1;; id++) {
                int64_t size = 0;

                r = write_document(writer, id, failure);
                if (r < 0)
                        return r;
                if (!write_interaction(writer, id))
                        return sqlite_failure(writer->db, failure, "write an interaction");
                if (id % SIZE_LOOK != 0)
                        continue;
                r = term_index_apply(writer->index, failure);
                if (r < 0)
                        return r;
                r = sqlite_query_int64(writer->db,
                        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
                        &size, failure);
                if (r < 0 || size >= bytes)
                        return r;
        }
}

static int make(struct Writer *writer, const char *path, int64_t bytes, struct Failure *failure) {
        int r;

        r = sqlite_open(path, SQLITE_MODE_CREATE, &writer->db, failure);
        if (r < 0)
                return r;
        r = schema_migrate(writer->db, failure);
        if (r < 0)
                return r;
        /* Nothing is lost when it is interrupted: it is made again. */
        r = sqlite_execute(writer->db,
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-262144; BEGIN",
                failure);
        if (r < 0)
                return r;
        r = term_index_open(writer->db, &writer->index, failure);
        if (r < 0)
                return r;
        r = fill(writer, bytes, failure);
        if (r < 0)
                return r;
        return sqlite_execute(writer->db, "COMMIT; PRAGMA journal_mode=WAL", failure);
}

int main(int argc, char **argv) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Writer *writer = calloc(1, sizeof *writer);
        int r;

        if (argc != 3 || !writer) {
                (void) fprintf(stderr, "Usage: make-database FILE BYTES\n");
                return EXIT_FAILURE;
        }
        writer->random = 20260407;
        make_words(writer);
        r = make(writer, argv[1], strtoll(argv[2], NULL, 10), &failure);
        if (r < 0)
                (void) fprintf(stderr, "make-database: %s\n", failure_message(&failure));
        (void) sqlite3_finalize(writer->document);
        (void) sqlite3_finalize(writer->chunk);
        (void) sqlite3_finalize(writer->interaction);
        (void) term_index_close(writer->index);
        (void) sqlite_close(writer->db);
        free(writer);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
