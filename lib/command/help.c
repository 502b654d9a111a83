/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/command/help.h"

#include <stdio.h>
#include <string.h>

/* "--archive[=FORMAT]", "--wait SEC": as it is typed. Cut off where `text` ends. */
static void format_option(const struct Option *option, char *text, size_t size) {
        const char *argument = option->argument;

        if (!argument)
                (void) snprintf(text, size, "--%s", option->name);
        else if (argument[0] == '[')
                (void) snprintf(text, size, "--%s[=%s", option->name, argument + 1);
        else
                (void) snprintf(text, size, "--%s %s", option->name, argument);
}

static size_t widest(const struct Option *options) {
        size_t width = 0;

        for (; options && options->name; options++) {
                char text[128];

                format_option(options, text, sizeof text);
                width = strlen(text) > width ? strlen(text) : width;
        }
        return width;
}

static void print_options(const char *title, const struct Option *options, size_t width) {
        if (!options || !options->name)
                return;
        printf("\n%s:\n", title);
        for (; options->name; options++) {
                char text[128], letter[] = "-x,";

                format_option(options, text, sizeof text);
                letter[1] = options->letter;
                printf("  %3s %-*s  %s\n", options->letter ? letter : "", (int) width, text,
                        options->help);
        }
}

int help_print(
        const struct Program *program, const struct Option *common, struct Failure *failure) {
        size_t own_width = widest(program->options), width = widest(common);

        if (own_width > width)
                width = own_width;
        printf("Usage: %s [OPTION...]%s%s\n\n%s\n", program->name, program->arguments ? " " : "",
                program->arguments ? program->arguments : "", program->summary);
        print_options("Options", program->options, width);
        print_options("Common options", common, width);
        printf("\nThe storage root is what --root says, else the variable ATOCORE_ROOT, else root= "
               "in the\nconfiguration file (%s), else %s.\n",
                ATOCORE_CONFIG_FILE, ATOCORE_STORAGE_ROOT);
        return command_flush(failure);
}

int help_print_version(const struct Program *program, struct Failure *failure) {
        printf("%s %s\n", program->name, ATOCORE_VERSION);
        return command_flush(failure);
}
