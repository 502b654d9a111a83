/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/registry-name.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unictype.h>

#include "lib/base/utf8.h"

/* Two names that differ by such a character look the same. */
static bool is_invisible(uint32_t character) {
        return uc_is_general_category(character, UC_CATEGORY_Cf) ||
                uc_is_property_default_ignorable_code_point(character);
}

bool registry_name_is_fit(const char *name, char *ret_problem, size_t size) {
        size_t left = strlen(name), n = 0;
        bool blank = false;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
                (void) snprintf(ret_problem, size, "is what paths call a directory");
                return false;
        }
        while (left > 0) {
                uint32_t character;
                size_t length = utf8_decode(name, left, &character);

                if (length == 0 || is_invisible(character)) {
                        (void) snprintf(ret_problem, size,
                                "holds a character that cannot be seen (U+%04X)",
                                (unsigned) (length == 0 ? 0xfffd : character));
                        return false;
                }
                if (character == '/') {
                        (void) snprintf(ret_problem, size, "holds a slash");
                        return false;
                }
                blank = uc_is_property_white_space(character);
                if (blank && n == 0) {
                        (void) snprintf(ret_problem, size, "begins with a blank");
                        return false;
                }
                name += length;
                left -= length;
                n++;
        }
        if (blank)
                (void) snprintf(ret_problem, size, "ends with a blank");
        else if (n > REGISTRY_NAME_MAX)
                (void) snprintf(ret_problem, size, "has %zu characters, more than %d", n,
                        REGISTRY_NAME_MAX);
        return !blank && n <= REGISTRY_NAME_MAX;
}
