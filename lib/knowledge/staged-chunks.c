/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/staged-chunks.h"

#include <string.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/utf8.h"

enum Column {
        COLUMN_DOCUMENT_ID,
        COLUMN_ORDINAL,
        COLUMN_TITLE,
        COLUMN_HEADING_PATH,
        COLUMN_KEYWORDS,
        COLUMN_START_LINE,
        COLUMN_END_LINE,
        COLUMN_CHAR_COUNT,
        COLUMN_CONTENT,
};

#define DECLARATION                                                                                \
        "CREATE TABLE x (document_id, ordinal, title, heading_path, keywords, start_line,"         \
        " end_line, char_count, content)"

struct Table {
        sqlite3_vtab base;
        const struct StagedChunks *staged;
};

struct Cursor {
        sqlite3_vtab_cursor base;
        const struct StagedChunks *staged;
        size_t document;
        size_t chunk; /* of that document */
        sqlite3_int64 row;
};

char *json_array_of(char *const *strings) {
        _cleanup_json_ json_object *array = json_object_new_array();
        const char *text;

        for (; array && *strings; strings++)
                if (!json_append(array, json_object_new_string(*strings)))
                        return NULL;
        text = array ? json_object_to_json_string_ext(
                               array, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                     : NULL;
        return text ? strdup(text) : NULL;
}

static int connect_table(sqlite3 *db, void *userdata, int argc, const char *const *argv,
        sqlite3_vtab **ret_table, char **ret_error) {
        struct Table *table;
        int code;

        (void) argc;
        (void) argv;
        (void) ret_error;
        code = sqlite3_declare_vtab(db, DECLARATION);
        if (code != SQLITE_OK)
                return code;
        table = sqlite3_malloc(sizeof *table);
        if (!table)
                return SQLITE_NOMEM;
        *table = (struct Table){ .staged = userdata };
        *ret_table = &table->base;
        return SQLITE_OK;
}

static int disconnect_table(sqlite3_vtab *table) {
        sqlite3_free(table);
        return SQLITE_OK;
}

/* There is one way: from the first to the last. */
static int plan(sqlite3_vtab *table, sqlite3_index_info *info) {
        (void) table;
        info->estimatedCost = 1000;
        return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor) {
        struct Cursor *cursor = sqlite3_malloc(sizeof *cursor);

        if (!cursor)
                return SQLITE_NOMEM;
        *cursor = (struct Cursor){ .staged = ((struct Table *) table)->staged };
        *ret_cursor = &cursor->base;
        return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *cursor) {
        sqlite3_free(cursor);
        return SQLITE_OK;
}

static const struct StagedDocument *current(const struct Cursor *cursor) {
        return &cursor->staged->documents[cursor->document];
}

static void skip_documents_that_end(struct Cursor *cursor) {
        while (cursor->document < cursor->staged->n &&
                cursor->chunk >= current(cursor)->text->n_chunks) {
                cursor->document++;
                cursor->chunk = 0;
        }
}

static int start(
        sqlite3_vtab_cursor *base, int index, const char *name, int argc, sqlite3_value **argv) {
        struct Cursor *cursor = (struct Cursor *) base;

        (void) index;
        (void) name;
        (void) argc;
        (void) argv;
        cursor->document = 0;
        cursor->chunk = 0;
        cursor->row = 1;
        skip_documents_that_end(cursor);
        return SQLITE_OK;
}

static int go_on(sqlite3_vtab_cursor *base) {
        struct Cursor *cursor = (struct Cursor *) base;

        cursor->chunk++;
        cursor->row++;
        skip_documents_that_end(cursor);
        return SQLITE_OK;
}

static int is_at_end(sqlite3_vtab_cursor *base) {
        const struct Cursor *cursor = (struct Cursor *) base;

        return cursor->document >= cursor->staged->n;
}

static void show_heading_path(sqlite3_context *context, char *const *heading_path) {
        char *text = json_array_of(heading_path);

        if (text)
                sqlite3_result_text(context, text, -1, free);
        else
                sqlite3_result_error_nomem(context);
}

static int show(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
        const struct Cursor *cursor = (struct Cursor *) base;
        const struct StagedDocument *document = current(cursor);
        const struct ChunkText *chunk = &document->text->chunks[cursor->chunk];

        switch ((enum Column) column) {
        case COLUMN_DOCUMENT_ID:
                sqlite3_result_int64(context, document->id);
                break;
        case COLUMN_ORDINAL:
                sqlite3_result_int64(context, (sqlite3_int64) cursor->chunk);
                break;
        case COLUMN_TITLE:
                sqlite3_result_text(context, document->title, -1, SQLITE_STATIC);
                break;
        case COLUMN_HEADING_PATH:
                show_heading_path(context, chunk->heading_path);
                break;
        case COLUMN_KEYWORDS:
                sqlite3_result_text(context, document->keywords, -1, SQLITE_STATIC);
                break;
        case COLUMN_START_LINE:
                sqlite3_result_int64(context, (sqlite3_int64) chunk->start_line);
                break;
        case COLUMN_END_LINE:
                sqlite3_result_int64(context, (sqlite3_int64) chunk->end_line);
                break;
        case COLUMN_CHAR_COUNT:
                sqlite3_result_int64(context, (sqlite3_int64) utf8_count(chunk->text, chunk->size));
                break;
        case COLUMN_CONTENT:
                sqlite3_result_text64(
                        context, chunk->text, chunk->size, SQLITE_STATIC, SQLITE_UTF8);
                break;
        }
        return SQLITE_OK;
}

static int show_row(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_row) {
        *ret_row = ((struct Cursor *) base)->row;
        return SQLITE_OK;
}

int staged_chunks_register(sqlite3 *db, const struct StagedChunks *staged) {
        /* Without xCreate it is there as soon as it is named, and in no schema. */
        static const sqlite3_module module = {
                .xConnect = connect_table,
                .xDisconnect = disconnect_table,
                .xBestIndex = plan,
                .xOpen = open_cursor,
                .xClose = close_cursor,
                .xFilter = start,
                .xNext = go_on,
                .xEof = is_at_end,
                .xColumn = show,
                .xRowid = show_row,
        };

        return sqlite3_create_module(db, "staged_chunks", &module, (void *) staged);
}
