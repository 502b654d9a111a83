/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/label.h"

#include <string.h>

static bool is_blank(char c) {
        return (unsigned char) c <= ' ' || c == 0x7f;
}

static bool is_continuation(char c) {
        return ((unsigned char) c & 0xc0) == 0x80;
}

void label_append(struct Label *label, const char *text, size_t size) {
        for (size_t i = 0; i < size && !label->full; i++) {
                bool blank = is_blank(text[i]);

                if (blank && (label->size == 0 || label->data[label->size - 1] == ' '))
                        continue;
                if (label->size == LABEL_MAX) {
                        label->full = true;
                        if (is_continuation(text[i])) {
                                while (is_continuation(label->data[label->size - 1]))
                                        label->size--;
                                label->size--;
                        }
                        return;
                }
                label->data[label->size++] = blank ? ' ' : text[i];
        }
}

char *label_finish(struct Label *label) {
        if (label->size > 0 && label->data[label->size - 1] == ' ')
                label->size--;
        return strndup(label->data, label->size);
}

char *label_new(const char *text, size_t size) {
        struct Label label = { .size = 0 };

        label_append(&label, text, size);
        return label_finish(&label);
}
