/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/sqlite-blocks.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file-io.h"

/* A check goes along one tree and looks into several others, and into pages that overflowed. */
#define BLOCK_SIZE ((sqlite3_int64) 64 << 10)
#define BLOCKS     8

/* A page is read with its block when one beside it was read lately: there more will be wanted. What
 * is looked up here and there is read as it is. */
#define LATELY 8 /* reads */

struct Block {
        sqlite3_int64 number; /* -1: none */
        uint64_t used;        /* when: the larger, the later */
};

struct File {
        sqlite3_file base; /* SQLite knows it by this */
        sqlite3_file *real;
        sqlite3_int64 size; /* that does not change */
        char *memory;       /* of the blocks */
        struct Block blocks[BLOCKS];
        uint64_t uses;
        sqlite3_int64 unreadable; /* the last block that could not be read as a whole; -1: none */
        sqlite3_int64 lately[LATELY]; /* where was read, in turn */
        size_t reads;
};

static struct File *file_of(sqlite3_file *base) {
        return (struct File *) base;
}

static sqlite3_file *real_of(sqlite3_file *base) {
        return file_of(base)->real;
}

static char *memory_of(struct File *file, const struct Block *block) {
        return file->memory + (block - file->blocks) * BLOCK_SIZE;
}

/* Whether it is beside what was read lately; remembers it. */
static bool goes_on(struct File *file, sqlite3_int64 at, int size) {
        bool beside = false;

        for (size_t i = 0; i < LATELY; i++)
                beside = beside || llabs(file->lately[i] - at) <= size;
        file->lately[file->reads++ % LATELY] = at;
        return beside;
}

static struct Block *find_block(struct File *file, sqlite3_int64 number) {
        for (size_t i = 0; i < BLOCKS; i++)
                if (file->blocks[i].number == number)
                        return &file->blocks[i];
        return NULL;
}

/* NULL: it cannot be read as a whole. */
static struct Block *read_block(struct File *file, sqlite3_int64 number) {
        struct Block *oldest = &file->blocks[0];
        sqlite3_int64 at = number * BLOCK_SIZE;
        sqlite3_int64 size = file->size - at < BLOCK_SIZE ? file->size - at : BLOCK_SIZE;

        if (number == file->unreadable) /* a disk takes seconds to give up */
                return NULL;
        for (size_t i = 1; i < BLOCKS; i++)
                if (file->blocks[i].used < oldest->used)
                        oldest = &file->blocks[i];
        oldest->number = -1;
        if (file->real->pMethods->xRead(file->real, memory_of(file, oldest), (int) size, at) !=
                SQLITE_OK) {
                file->unreadable = number;
                return NULL;
        }
        oldest->number = number;
        return oldest;
}

static int read_pages(sqlite3_file *base, void *buffer, int size, sqlite3_int64 at) {
        struct File *file = file_of(base);
        struct Block *block = NULL;

        if (at >= 0 && at + size <= file->size && at % BLOCK_SIZE + size <= BLOCK_SIZE) {
                bool more = goes_on(file, at, size);

                block = find_block(file, at / BLOCK_SIZE);
                if (!block && more)
                        block = read_block(file, at / BLOCK_SIZE);
        }
        /* Of a block that is damaged in places, the page may be whole: this is what tells. */
        if (!block)
                return file->real->pMethods->xRead(file->real, buffer, size, at);
        block->used = ++file->uses;
        memcpy(buffer, memory_of(file, block) + at % BLOCK_SIZE, (size_t) size);
        return SQLITE_OK;
}

static int close_file(sqlite3_file *base) {
        free(file_of(base)->memory);
        return real_of(base)->pMethods->xClose(real_of(base));
}

/* All else is what it is. */

static int write_pages(sqlite3_file *base, const void *buffer, int size, sqlite3_int64 at) {
        return real_of(base)->pMethods->xWrite(real_of(base), buffer, size, at);
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size) {
        return real_of(base)->pMethods->xTruncate(real_of(base), size);
}

static int sync_file(sqlite3_file *base, int flags) {
        return real_of(base)->pMethods->xSync(real_of(base), flags);
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_size) {
        return real_of(base)->pMethods->xFileSize(real_of(base), ret_size);
}

static int lock(sqlite3_file *base, int level) {
        return real_of(base)->pMethods->xLock(real_of(base), level);
}

static int unlock(sqlite3_file *base, int level) {
        return real_of(base)->pMethods->xUnlock(real_of(base), level);
}

static int check_reserved_lock(sqlite3_file *base, int *ret_locked) {
        return real_of(base)->pMethods->xCheckReservedLock(real_of(base), ret_locked);
}

static int file_control(sqlite3_file *base, int operation, void *argument) {
        return real_of(base)->pMethods->xFileControl(real_of(base), operation, argument);
}

static int sector_size(sqlite3_file *base) {
        return real_of(base)->pMethods->xSectorSize(real_of(base));
}

static int device_characteristics(sqlite3_file *base) {
        return real_of(base)->pMethods->xDeviceCharacteristics(real_of(base));
}

/* Version 1 has no shared memory: nobody has anything to share about such a file. */
static const sqlite3_io_methods methods = {
        .iVersion = 1,
        .xClose = close_file,
        .xRead = read_pages,
        .xWrite = write_pages,
        .xTruncate = truncate_file,
        .xSync = sync_file,
        .xFileSize = file_size,
        .xLock = lock,
        .xUnlock = unlock,
        .xCheckReservedLock = check_reserved_lock,
        .xFileControl = file_control,
        .xSectorSize = sector_size,
        .xDeviceCharacteristics = device_characteristics,
};

/* The file system. */

static sqlite3_vfs *real_vfs, blocks_vfs;

static int open_file(
        sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *ret_flags) {
        struct File *file = file_of(base);
        int code;

        (void) vfs;
        if (!(flags & SQLITE_OPEN_MAIN_DB)) /* temporary files of SQLite's own are written */
                return real_vfs->xOpen(real_vfs, path, base, flags, ret_flags);
        *file = (struct File){ .real = (sqlite3_file *) (file + 1), .unreadable = -1 };
        code = real_vfs->xOpen(real_vfs, path, file->real, flags, ret_flags);
        if (code == SQLITE_OK)
                code = file->real->pMethods->xFileSize(file->real, &file->size);
        if (code == SQLITE_OK) {
                file->memory = io_buffer_new((size_t) (BLOCKS * BLOCK_SIZE));
                if (!file->memory)
                        code = SQLITE_NOMEM;
        }
        if (code != SQLITE_OK) {
                if (file->real->pMethods)
                        (void) file->real->pMethods->xClose(file->real);
                return code; /* without methods: nothing is to be closed */
        }
        for (size_t i = 0; i < BLOCKS; i++)
                file->blocks[i].number = -1;
        for (size_t i = 0; i < LATELY; i++)
                file->lately[i] = -BLOCK_SIZE;
        file->base.pMethods = &methods;
        return SQLITE_OK;
}

/* A copy: the methods of the system's VFS look at none of its fields but the one that is theirs,
 * as it has several objects of them itself ("unix", "unix-none" …). */
static void register_vfs(void) {
        real_vfs = sqlite3_vfs_find(NULL);
        if (!real_vfs)
                return;
        blocks_vfs = *real_vfs;
        blocks_vfs.zName = "atocore-blocks";
        blocks_vfs.szOsFile = (int) sizeof(struct File) + real_vfs->szOsFile;
        blocks_vfs.xOpen = open_file;
        if (sqlite3_vfs_register(&blocks_vfs, 0) != SQLITE_OK)
                real_vfs = NULL;
}

const char *sqlite_blocks_vfs(void) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void) pthread_once(&once, register_vfs);
        return real_vfs ? blocks_vfs.zName : NULL;
}
