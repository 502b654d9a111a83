/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/front-matter.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "lib/knowledge/block.h"
#include "lib/knowledge/label.h"
#include "lib/knowledge/string-list.h"

#define NESTING_MAX 64
#define FIRST_LINE  2 /* of the file: behind the fence */

DEFINE_POINTER_CLEANUP(yaml_parser_t *, yaml_parser_delete)
DEFINE_POINTER_CLEANUP(yaml_event_t *, yaml_event_delete)

static bool is_fence(const char *line, size_t size, const char *fence) {
        return size >= 3 && memcmp(line, fence, 3) == 0 && line_is_blank(line + 3, size - 3);
}

size_t front_matter_size(const char *text, size_t size) {
        size_t at = line_size(text, size);

        if (!is_fence(text, line_content_size(text, size), "---"))
                return 0;
        while (at < size) {
                const char *line = text + at;
                size_t content = line_content_size(line, size - at);

                at += line_size(line, size - at);
                if (is_fence(line, content, "---") || is_fence(line, content, "..."))
                        return at;
        }
        return 0;
}

enum Field {
        FIELD_OTHER,
        FIELD_TITLE,
        FIELD_TAGS,
        FIELD_ALIASES,
};

struct Reader {
        char *title;
        struct StringList tags, aliases;
        unsigned depth;
        unsigned lists; /* from depth 1 on: sequences in sequences, with items of .field */
        bool at_key;    /* at depth 1: the next node is a key */
        bool is_other;  /* the document is no mapping */
        bool says_more; /* than is kept */
        size_t unread;  /* the line of a value of .field that is no text; 0: none */
        enum Field field;
};

static void reader_clear(struct Reader *reader) {
        free(reader->title);
        string_list_clear(&reader->tags);
        string_list_clear(&reader->aliases);
        *reader = (struct Reader){ 0 };
}

static enum Field field_of(const char *key) {
        static const struct {
                const char *key;
                enum Field field;
        } fields[] = {
                { "title", FIELD_TITLE },
                { "tags", FIELD_TAGS },
                { "tag", FIELD_TAGS },
                { "aliases", FIELD_ALIASES },
                { "alias", FIELD_ALIASES },
        };

        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
                if (strcasecmp(key, fields[i].key) == 0)
                        return fields[i].field;
        return FIELD_OTHER;
}

static bool is_null(const yaml_event_t *scalar) {
        static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };

        if (scalar->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
                return false;
        for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
                if (strcmp((const char *) scalar->data.scalar.value, nulls[i]) == 0)
                        return true;
        return false;
}

/* A label, maybe "". */
static char *read_label(struct Reader *reader, const char *text, size_t size) {
        struct Label label = { .size = 0 };

        label_append(&label, text, size);
        reader->says_more = reader->says_more || label.full;
        return label_finish(&label);
}

static int add_label(
        struct Reader *reader, struct StringList *list, const char *text, size_t size) {
        _cleanup_free_ char *label = read_label(reader, text, size);

        if (!label)
                return -ENOMEM;
        return *label ? string_list_take(list, STEAL(label)) : 0;
}

static int set_title(struct Reader *reader, const char *text, size_t size) {
        _cleanup_free_ char *title = read_label(reader, text, size);

        if (!title)
                return -ENOMEM;
        reader->says_more = reader->says_more || reader->title;
        free(reader->title);
        reader->title = *title ? STEAL(title) : NULL;
        return 0;
}

static int add_tag(struct Reader *reader, const char *text, size_t size) {
        while (size > 0 && (*text == '#' || *text == ' ')) {
                text++;
                size--;
        }
        return add_label(reader, &reader->tags, text, size);
}

/* One string for several: `separators` between them. */
static int add_split(struct Reader *reader, const char *text, size_t size, const char *separators,
        int (*add)(struct Reader *reader, const char *text, size_t size)) {
        while (size > 0) {
                size_t n = 0;
                while (n < size && (text[n] == '\0' || !strchr(separators, text[n])))
                        n++;
                int r = add(reader, text, n);
                if (r < 0)
                        return r;
                n += n < size ? 1 : 0;
                text += n;
                size -= n;
        }
        return 0;
}

static int add_alias(struct Reader *reader, const char *text, size_t size) {
        return add_label(reader, &reader->aliases, text, size);
}

/* What is there is not what its key wants. */
static void leave_unread(struct Reader *reader, const yaml_event_t *event) {
        reader->says_more = true;
        if (reader->field != FIELD_OTHER && reader->unread == 0)
                reader->unread = event->start_mark.line + FIRST_LINE;
}

static int take_value(struct Reader *reader, const yaml_event_t *scalar, bool item) {
        const char *text = (const char *) scalar->data.scalar.value;
        size_t size = scalar->data.scalar.length;

        if (is_null(scalar))
                return 0;
        switch (reader->field) {
        case FIELD_TITLE:
                if (!item)
                        return set_title(reader, text, size);
                leave_unread(reader, scalar);
                break;
        case FIELD_TAGS:
                return add_split(reader, text, size, item ? "," : ", \t\n", add_tag);
        case FIELD_ALIASES:
                return item ? add_alias(reader, text, size)
                            : add_split(reader, text, size, ",", add_alias);
        case FIELD_OTHER:
                reader->says_more = true;
                break;
        }
        return 0;
}

/* A value of .field, or in the lists that it is of. */
static bool is_at_value(const struct Reader *reader) {
        return reader->depth >= 1 && reader->depth == 1 + reader->lists &&
                !(reader->depth == 1 && reader->at_key);
}

/* A key or a value at depth 1 is complete. */
static void toggle(struct Reader *reader) {
        reader->at_key = !reader->at_key;
}

static int take_scalar(struct Reader *reader, const yaml_event_t *event) {
        int r = 0;

        if (reader->depth == 0)
                reader->is_other = true;
        else if (reader->depth == 1 && reader->at_key)
                reader->field = field_of((const char *) event->data.scalar.value);
        else if (is_at_value(reader))
                r = take_value(reader, event, reader->depth > 1);
        if (reader->depth == 1)
                toggle(reader);
        return r;
}

static void take_start(struct Reader *reader, const yaml_event_t *event) {
        if (reader->depth == 0) {
                reader->is_other = event->type != YAML_MAPPING_START_EVENT;
                reader->at_key = true;
        } else if (is_at_value(reader)) {
                if (event->type == YAML_SEQUENCE_START_EVENT)
                        reader->lists++;
                else
                        leave_unread(reader, event);
        } else if (reader->depth == 1) {
                reader->field = FIELD_OTHER;
                reader->says_more = true;
        }
        reader->depth++;
}

static void take_end(struct Reader *reader) {
        reader->depth--;
        if (reader->lists > 0 && reader->lists == reader->depth)
                reader->lists--;
        if (reader->depth == 1)
                toggle(reader);
}

static void take_alias(struct Reader *reader, const yaml_event_t *event) {
        if (is_at_value(reader))
                leave_unread(reader, event);
        if (reader->depth != 1)
                return;
        if (reader->at_key)
                reader->field = FIELD_OTHER;
        toggle(reader);
}

static int take_event(struct Reader *reader, const yaml_event_t *event) {
        switch (event->type) {
        case YAML_SCALAR_EVENT:
                return take_scalar(reader, event);
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT:
                take_start(reader, event);
                return 0;
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
                take_end(reader);
                return 0;
        case YAML_ALIAS_EVENT:
                take_alias(reader, event);
                return 0;
        default:
                return 0;
        }
}

/* Lines are those of the file. */
static int describe_problem(const yaml_parser_t *parser, char **ret_error) {
        const char *problem = parser->problem ? parser->problem : "is not YAML";
        int r;

        if (parser->error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        if (parser->error == YAML_READER_ERROR)
                r = asprintf(ret_error, "byte %zu: %s", parser->problem_offset, problem);
        else
                r = asprintf(
                        ret_error, "line %zu: %s", parser->problem_mark.line + FIRST_LINE, problem);
        return r < 0 ? -ENOMEM : 0;
}

static int describe_unread(size_t line, char **ret_error) {
        int r = asprintf(ret_error, "in part: line %zu has neither text nor a list of texts", line);

        return r < 0 ? -ENOMEM : 0;
}

static int set_error(char **ret_error, const char *text) {
        *ret_error = strdup(text);
        return *ret_error ? 0 : -ENOMEM;
}

/* 0 with *ret_error set when it is not what it must be. */
static int read_yaml(struct Reader *reader, const char *text, size_t size, char **ret_error) {
        yaml_parser_t parser_object, *parser _cleanup_(yaml_parser_deletep) = NULL;
        bool done = false;

        if (!yaml_parser_initialize(&parser_object))
                return -ENOMEM;
        parser = &parser_object;
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(parser, (const unsigned char *) text, size);

        while (!done) {
                yaml_event_t event_object, *event _cleanup_(yaml_event_deletep) = NULL;

                if (!yaml_parser_parse(parser, &event_object))
                        return describe_problem(parser, ret_error);
                event = &event_object;
                int r = take_event(reader, event);
                if (r < 0)
                        return r;
                if (reader->is_other)
                        return set_error(ret_error, "is no mapping of keys to values");
                if (reader->depth > NESTING_MAX)
                        return set_error(ret_error, "is nested too deeply");
                done = event->type == YAML_STREAM_END_EVENT;
        }
        return 0;
}

static int inner_yaml(struct Reader *reader, const char *text, size_t size, char **ret_error) {
        size_t opening = line_size(text, size);
        size_t end = opening;

        if (size == 0)
                return 0;
        if (size > FRONT_MATTER_MAX)
                return set_error(ret_error, "is larger than 64 KiB");
        /* Up to the start of the last line, the closing fence. */
        for (size_t at = opening; at < size; at += line_size(text + at, size - at))
                end = at;
        return read_yaml(reader, text + opening, end - opening, ret_error);
}

int front_matter_read(const char *text, size_t size, struct FrontMatter **ret_front_matter) {
        _cleanup_front_matter_ struct FrontMatter *front_matter = NULL;
        _cleanup_(reader_clear) struct Reader reader = { 0 };
        int r;

        front_matter = calloc(1, sizeof *front_matter);
        if (!front_matter)
                return -ENOMEM;
        r = inner_yaml(&reader, text, size, &front_matter->error);
        if (r < 0)
                return r;
        if (front_matter->error)
                reader_clear(&reader);
        else if (reader.unread > 0) {
                r = describe_unread(reader.unread, &front_matter->error);
                if (r < 0)
                        return r;
        }

        front_matter->tags = string_list_finish(&reader.tags);
        front_matter->aliases = string_list_finish(&reader.aliases);
        if (!front_matter->tags || !front_matter->aliases)
                return -ENOMEM;
        front_matter->title = STEAL(reader.title);
        front_matter->says_more = reader.says_more;
        *ret_front_matter = STEAL(front_matter);
        return 0;
}

struct FrontMatter *front_matter_free(struct FrontMatter *front_matter) {
        if (!front_matter)
                return NULL;
        free(front_matter->title);
        string_array_free(front_matter->tags);
        string_array_free(front_matter->aliases);
        free(front_matter->error);
        free(front_matter);
        return NULL;
}
