/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/embedding-cache.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/file-io.h"
#include "lib/base/sqlite.h"

#define FILE_NAME "embeddings.db"
#define COMMIT_AT 256 /* changes in one transaction */

/* `proof` is the digest of key and vector: a bit that flipped is found when the row is read,
 * without reading all of the file first. `used` tells the runs apart. WAL with NORMAL: a crash may
 * lose the last rows, and breaks none. */
#define SCHEMA                                                                                     \
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"                                  \
        "CREATE TABLE IF NOT EXISTS embeddings ("                                                  \
        "  digest TEXT NOT NULL, model TEXT NOT NULL, dimension INTEGER NOT NULL,"                 \
        "  vector BLOB NOT NULL, proof TEXT NOT NULL, used INTEGER NOT NULL,"                      \
        "  PRIMARY KEY (digest, model, dimension)"                                                 \
        ") STRICT;"

struct EmbeddingCache {
        const struct Operation *operation;
        const char *model;
        size_t dimension;
        int64_t run; /* of `used` */
        char *path;
        sqlite3 *db; /* NULL: it cannot be used */
        sqlite3_stmt *get, *put, *touch;
        uint32_t *numbers; /* one vector as it is stored: little-endian */
        unsigned changes;
        bool discarded; /* once a run is enough */
};

static void shut(struct EmbeddingCache *cache) {
        cache->get = sqlite_finalize(cache->get);
        cache->put = sqlite_finalize(cache->put);
        cache->touch = sqlite_finalize(cache->touch);
        if (cache->db && cache->changes > 0)
                (void) sqlite_commit(cache->db, NULL);
        cache->changes = 0;
        cache->db = sqlite_close(cache->db);
}

static int try_to_open(struct EmbeddingCache *cache, struct Failure *failure) {
        int r;

        r = sqlite_open(cache->path, SQLITE_MODE_CREATE, &cache->db, failure);
        if (r >= 0)
                r = sqlite_execute(cache->db, SCHEMA, failure);
        if (r >= 0)
                r = sqlite_prepare(cache->db,
                        "SELECT vector, proof FROM embeddings"
                        " WHERE digest = ?1 AND model = ?2 AND dimension = ?3",
                        &cache->get, failure);
        if (r >= 0)
                r = sqlite_prepare(cache->db,
                        "INSERT INTO embeddings (digest, model, dimension, vector, proof, used)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET"
                        " vector = excluded.vector, proof = excluded.proof, used = excluded.used",
                        &cache->put, failure);
        if (r >= 0)
                r = sqlite_prepare(cache->db,
                        "UPDATE embeddings SET used = ?4"
                        " WHERE digest = ?1 AND model = ?2 AND dimension = ?3 AND used <> ?4",
                        &cache->touch, failure);
        if (r < 0)
                shut(cache);
        return r;
}

/* Nothing is lost by it but time. If power goes in between, files are left that are no database
 * together; the next run discards them. */
static void remove_files(const struct EmbeddingCache *cache) {
        static const char *const endings[] = { "-wal", "-shm", "" };

        for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s%s", cache->path, endings[i]) < 0)
                        path = NULL;
                else
                        (void) unlink(path);
        }
}

static void tell(const struct EmbeddingCache *cache, const char *what, const char *why) {
        operation_notice(cache->operation,
                &(struct Event){ .id = EVENT_VECTOR_CACHE_DISCARDED, .path = cache->path },
                "The cache of vectors %s: %s; what is needed is embedded again", what, why);
}

/* Also of what only cannot be read now: a second try finds out. */
static void discard(struct EmbeddingCache *cache, const char *why) {
        _cleanup_failure_ struct Failure failure = { 0 };

        shut(cache);
        if (cache->discarded)
                return;
        cache->discarded = true;
        remove_files(cache);
        if (try_to_open(cache, &failure) < 0)
                tell(cache, "cannot be used", failure_message(&failure));
        else
                tell(cache, "was discarded", why);
}

/* The cause of the last call that failed. */
static void discard_failed(struct EmbeddingCache *cache, const char *doing) {
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) sqlite_failure(cache->db, &failure, doing);
        discard(cache, failure_message(&failure));
}

static int64_t new_run(void) {
        int64_t run = 0;

        return getrandom(&run, sizeof run, 0) == (ssize_t) sizeof run ? run : 0;
}

int embedding_cache_open(const struct Operation *operation, const char *model, size_t dimension,
        struct EmbeddingCache **ret_cache) {
        _cleanup_embedding_cache_ struct EmbeddingCache *cache = calloc(1, sizeof *cache);
        _cleanup_failure_ struct Failure failure = { 0 };

        if (!cache)
                return -ENOMEM;
        cache->operation = operation;
        cache->model = model;
        cache->dimension = dimension;
        cache->run = new_run();
        cache->numbers = calloc(dimension, sizeof *cache->numbers);
        if (asprintf(&cache->path, "%s/" FILE_NAME, operation->layout->cache) < 0)
                cache->path = NULL;
        if (!cache->path || !cache->numbers)
                return -ENOMEM;
        (void) make_directory_at(AT_FDCWD, operation->layout->cache);
        if (try_to_open(cache, &failure) < 0)
                discard(cache, failure_message(&failure));
        *ret_cache = STEAL(cache);
        return 0;
}

struct EmbeddingCache *embedding_cache_close(struct EmbeddingCache *cache) {
        if (!cache)
                return NULL;
        shut(cache);
        free(cache->path);
        free(cache->numbers);
        free(cache);
        return NULL;
}

static size_t vector_size(const struct EmbeddingCache *cache) {
        return cache->dimension * sizeof *cache->numbers;
}

static bool prove(const struct EmbeddingCache *cache, const char *digest, const void *vector,
        char ret_proof[DIGEST_HEX_SIZE]) {
        _cleanup_digest_ struct Digest *proof = NULL;

        return digest_new(&proof) >= 0 && digest_update(proof, digest, strlen(digest)) >= 0 &&
                digest_update(proof, vector, vector_size(cache)) >= 0 &&
                digest_finish(proof, ret_proof) >= 0;
}

static bool bind_key(
        const struct EmbeddingCache *cache, sqlite3_stmt *statement, const char *digest) {
        return sqlite3_bind_text(statement, 1, digest, -1, SQLITE_STATIC) == SQLITE_OK &&
                sqlite3_bind_text(statement, 2, cache->model, -1, SQLITE_STATIC) == SQLITE_OK &&
                sqlite3_bind_int64(statement, 3, (sqlite3_int64) cache->dimension) == SQLITE_OK;
}

/* Several changes in one transaction. */
static bool begin(struct EmbeddingCache *cache) {
        return cache->changes > 0 || sqlite_begin(cache->db, NULL) >= 0;
}

static bool count_change(struct EmbeddingCache *cache) {
        if (++cache->changes < COMMIT_AT)
                return true;
        cache->changes = 0;
        return sqlite_commit(cache->db, NULL) >= 0;
}

static void decode(const struct EmbeddingCache *cache, const void *blob, float *vector) {
        memcpy(cache->numbers, blob, vector_size(cache));
        for (size_t i = 0; i < cache->dimension; i++) {
                uint32_t number = le32toh(cache->numbers[i]);

                memcpy(&vector[i], &number, sizeof number);
        }
}

static bool mark_used(struct EmbeddingCache *cache, const char *digest) {
        (void) sqlite3_reset(cache->touch);
        if (!begin(cache) || !bind_key(cache, cache->touch, digest) ||
                sqlite3_bind_int64(cache->touch, 4, cache->run) != SQLITE_OK ||
                sqlite3_step(cache->touch) != SQLITE_DONE)
                return false;
        return count_change(cache);
}

bool embedding_cache_get(
        struct EmbeddingCache *cache, const char digest[DIGEST_HEX_SIZE], float *vector) {
        char proof[DIGEST_HEX_SIZE];
        const void *blob;
        bool sound;
        int code;

        if (!cache->db)
                return false;
        (void) sqlite3_reset(cache->get);
        code = bind_key(cache, cache->get, digest) ? sqlite3_step(cache->get) : SQLITE_NOMEM;
        if (code == SQLITE_DONE || code == SQLITE_NOMEM)
                return false;
        if (code != SQLITE_ROW) {
                discard_failed(cache, "read the cache of vectors");
                return false;
        }
        blob = sqlite3_column_blob(cache->get, 0);
        sound = blob && (size_t) sqlite3_column_bytes(cache->get, 0) == vector_size(cache) &&
                prove(cache, digest, blob, proof) &&
                strcmp((const char *) sqlite3_column_text(cache->get, 1), proof) == 0;
        if (sound)
                decode(cache, blob, vector);
        (void) sqlite3_reset(cache->get);
        if (!sound)
                discard(cache, "a vector in it does not match its checksum");
        else if (!mark_used(cache, digest))
                discard_failed(cache, "write the cache of vectors");
        return sound;
}

static bool put(struct EmbeddingCache *cache, const char *digest, const char *proof) {
        sqlite3_stmt *row = cache->put;

        (void) sqlite3_reset(row);
        if (!begin(cache) || !bind_key(cache, row, digest) ||
                sqlite3_bind_blob64(row, 4, cache->numbers, vector_size(cache), SQLITE_STATIC) !=
                        SQLITE_OK ||
                sqlite3_bind_text(row, 5, proof, -1, SQLITE_STATIC) != SQLITE_OK ||
                sqlite3_bind_int64(row, 6, cache->run) != SQLITE_OK ||
                sqlite3_step(row) != SQLITE_DONE)
                return false;
        return count_change(cache);
}

void embedding_cache_put(
        struct EmbeddingCache *cache, const char digest[DIGEST_HEX_SIZE], const float *vector) {
        char proof[DIGEST_HEX_SIZE];

        if (!cache->db)
                return;
        for (size_t i = 0; i < cache->dimension; i++) {
                uint32_t number;

                memcpy(&number, &vector[i], sizeof number);
                cache->numbers[i] = htole32(number);
        }
        if (prove(cache, digest, cache->numbers, proof) && !put(cache, digest, proof))
                discard_failed(cache, "write the cache of vectors");
}

void embedding_cache_keep_used(struct EmbeddingCache *cache) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;

        if (!cache->db)
                return;
        if (!begin(cache) ||
                sqlite_prepare(cache->db, "DELETE FROM embeddings WHERE used <> ?1", &statement,
                        NULL) < 0 ||
                sqlite3_bind_int64(statement, 1, cache->run) != SQLITE_OK ||
                sqlite3_step(statement) != SQLITE_DONE) {
                statement = sqlite_finalize(statement);
                discard_failed(cache, "write the cache of vectors");
                return;
        }
        cache->changes++; /* shut() commits */
}
