/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/cmark-memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* In front of each allocation; keeps the alignment of malloc(). */
struct Piece {
        _Alignas(max_align_t) struct Piece *next;
        struct Piece **link; /* what points here */
        size_t size;
};

struct Pool {
        struct Piece *pieces;
        size_t used, max;
        int error;
        jmp_buf leave;
};

/* cmark's allocator functions are given no context of their own. Static also because a jump leaves
 * automatic objects in doubt. */
static _Thread_local struct Pool pool;

static void link_piece(struct Piece *piece) {
        piece->next = pool.pieces;
        piece->link = &pool.pieces;
        if (piece->next)
                piece->next->link = &piece->next;
        pool.pieces = piece;
}

static void unlink_piece(struct Piece *piece) {
        *piece->link = piece->next;
        if (piece->next)
                piece->next->link = piece->link;
}

static _Noreturn void leave(int error) {
        pool.error = error;
        longjmp(pool.leave, 1);
}

static void reserve(size_t size) {
        if (size > pool.max - pool.used)
                leave(-E2BIG);
        pool.used += size;
}

static struct Piece *piece_of(void *data) {
        return (struct Piece *) ((char *) data - sizeof(struct Piece));
}

static void *pool_calloc(size_t n, size_t size) {
        struct Piece *piece;
        size_t total;

        if (__builtin_mul_overflow(n, size, &total) ||
                __builtin_add_overflow(total, sizeof *piece, &total))
                leave(-ENOMEM);
        reserve(total);
        piece = calloc(1, total);
        if (!piece)
                leave(-ENOMEM);
        piece->size = total;
        link_piece(piece);
        return piece + 1;
}

static void *pool_realloc(void *data, size_t size) {
        struct Piece *piece, *moved;
        size_t total;

        if (!data)
                return pool_calloc(1, size);
        if (__builtin_add_overflow(size, sizeof *piece, &total))
                leave(-ENOMEM);
        piece = piece_of(data);
        if (total > piece->size)
                reserve(total - piece->size);
        else
                pool.used -= piece->size - total;

        /* Out of the list while it may move. */
        unlink_piece(piece);
        moved = realloc(piece, total);
        if (!moved) {
                link_piece(piece);
                leave(-ENOMEM);
        }
        moved->size = total;
        link_piece(moved);
        return moved + 1;
}

static void pool_free(void *data) {
        if (!data)
                return;
        struct Piece *piece = piece_of(data);
        pool.used -= piece->size;
        unlink_piece(piece);
        free(piece);
}

int cmark_memory_run(size_t max, int (*body)(cmark_mem *memory, void *userdata), void *userdata) {
        static cmark_mem memory = { pool_calloc, pool_realloc, pool_free };

        pool = (struct Pool){ .max = max };
        if (setjmp(pool.leave) == 0)
                pool.error = body(&memory, userdata);

        for (struct Piece *piece = pool.pieces, *next; piece; piece = next) {
                next = piece->next;
                free(piece);
        }
        return pool.error;
}
