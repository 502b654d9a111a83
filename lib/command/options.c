/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/command/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "lib/command/help.h"

/* Options that every program has. */

struct Common {
        const char *root;
        const char *config;
        bool json;
        bool help;
        bool version;
        enum Verbosity verbosity;
};

static int parse_root(const char *argument, void *userdata, struct Failure *failure) {
        struct Common *common = userdata;

        (void) failure; /* config_load() judges it */
        common->root = argument;
        return 0;
}

static int parse_config(const char *argument, void *userdata, struct Failure *failure) {
        struct Common *common = userdata;

        (void) failure;
        common->config = argument;
        return 0;
}

static int parse_json(const char *argument, void *userdata, struct Failure *failure) {
        struct Common *common = userdata;

        (void) argument, (void) failure;
        common->json = true;
        return 0;
}

static int parse_quiet(const char *argument, void *userdata, struct Failure *failure) {
        struct Common *common = userdata;

        (void) argument, (void) failure;
        common->verbosity = VERBOSITY_QUIET;
        return 0;
}

static int parse_verbose(const char *argument, void *userdata, struct Failure *failure) {
        struct Common *common = userdata;

        (void) argument, (void) failure;
        common->verbosity = VERBOSITY_VERBOSE;
        return 0;
}

static int parse_help(const char *argument, void *userdata, struct Failure *failure) {
        struct Common *common = userdata;

        (void) argument, (void) failure;
        common->help = true;
        return 0;
}

static int parse_version(const char *argument, void *userdata, struct Failure *failure) {
        struct Common *common = userdata;

        (void) argument, (void) failure;
        common->version = true;
        return 0;
}

static const struct Option common_options[] = {
        { "root", 0, "DIR", "storage root", parse_root },
        { "config", 0, "FILE", "configuration file instead of " ATOCORE_CONFIG_FILE, parse_config },
        { "json", 0, NULL, "print one JSON document on standard output", parse_json },
        { "quiet", 'q', NULL, "show warnings and errors only", parse_quiet },
        { "verbose", 'v', NULL, "show more of what is done", parse_verbose },
        { "help", 'h', NULL, "show this help", parse_help },
        { "version", 'V', NULL, "show the version", parse_version },
        { 0 },
};

/* The tables as getopt_long(3) wants them: the program's own options first, then the common ones,
 * each known by its place in `flat`. */

#define LONG_OPTION 0x100 /* beyond every letter */

struct Table {
        const struct Option **flat;
        size_t n;
        size_t n_own;
        struct option *long_options;
        char *letters;
};

static void table_clear(struct Table *table) {
        free(table->flat);
        free(table->long_options);
        free(table->letters);
}

static size_t count_options(const struct Option *options) {
        size_t n = 0;

        while (options && options[n].name)
                n++;
        return n;
}

static int argument_kind(const struct Option *option) {
        if (!option->argument)
                return no_argument;
        return option->argument[0] == '[' ? optional_argument : required_argument;
}

static int table_new(const struct Program *program, struct Table *ret_table) {
        _cleanup_(table_clear) struct Table table = { 0 };
        char *letter;

        table.n_own = count_options(program->options);
        table.n = table.n_own + count_options(common_options);
        table.flat = calloc(table.n, sizeof *table.flat);
        table.long_options = calloc(table.n + 1, sizeof *table.long_options);
        table.letters = calloc(table.n + 1, strlen("x::"));
        if (!table.flat || !table.long_options || !table.letters)
                return -ENOMEM;

        letter = table.letters;
        *letter++ = ':'; /* a missing argument is told from an unknown option */
        for (size_t i = 0; i < table.n; i++) {
                const struct Option *option =
                        i < table.n_own ? &program->options[i] : &common_options[i - table.n_own];
                int kind = argument_kind(option);

                table.flat[i] = option;
                table.long_options[i] =
                        (struct option){ option->name, kind, NULL, LONG_OPTION + (int) i };
                if (option->letter)
                        letter += sprintf(letter, "%c%.*s", option->letter, kind, "::");
        }

        *ret_table = table;
        table = (struct Table){ 0 };
        return 0;
}

/* What getopt_long() returned, or left in optopt. table->n when it is no option of ours. */
static size_t table_find(const struct Table *table, int value) {
        if (value >= LONG_OPTION)
                return (size_t) (value - LONG_OPTION);
        for (size_t i = 0; i < table->n; i++)
                if (value != 0 && table->flat[i]->letter == value)
                        return i;
        return table->n;
}

/* Why getopt_long() returned '?' or ':'. */
static int explain(
        const struct Table *table, int problem, char *const argv[], struct Failure *failure) {
        size_t i = table_find(table, optopt);

        if (problem == ':')
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Option --%s needs an argument, %s", table->flat[i]->name,
                        table->flat[i]->argument);
        if (i < table->n)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Option --%s takes no argument", table->flat[i]->name);
        if (optopt != 0)
                return failure_set(
                        failure, EVENT_USAGE, EINVAL, NULL, "Unknown option -%c", optopt);
        return failure_set(failure, EVENT_USAGE, EINVAL, NULL, "Unknown or ambiguous option %s",
                argv[optind - 1]);
}

/* Goes on after the first failure: somebody who asks for help is to get it. */
static int parse_options(const struct Program *program, int argc, char *argv[], void *userdata,
        struct Common *common, struct Failure *failure) {
        _cleanup_(table_clear) struct Table table = { 0 };
        int result = 0;

        if (table_new(program, &table) < 0)
                return failure_out_of_memory(failure);

        opterr = 0;
        optind = 0; /* glibc: start anew, whatever was parsed before */
        for (;;) {
                int r, c = getopt_long(argc, argv, table.letters, table.long_options, NULL);
                size_t i = table_find(&table, c);

                if (c == -1)
                        return result;
                if (c == '?' || c == ':')
                        r = explain(&table, c, argv, failure);
                else
                        r = table.flat[i]->parse(
                                optarg, i < table.n_own ? userdata : common, failure);
                if (r < 0 && result == 0)
                        result = r;
        }
}

static int check_arguments(
        const struct Program *program, const struct Command *command, struct Failure *failure) {
        if (program->arguments || command->n_arguments == 0)
                return 0;
        return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                "Unexpected argument %s: %s takes options only", command->arguments[0],
                program->name);
}

/* To the sentence of a wrong command line: where the right ones are described. */
static void point_to_help(const struct Program *program, struct Failure *failure) {
        char *longer;

        if (!failure || failure->event != EVENT_USAGE || !failure->message)
                return;
        if (asprintf(&longer, "%s; try '%s --help'", failure->message, program->name) < 0)
                return; /* the sentence stands without it */
        free(failure->message);
        failure->message = longer;
}

int option_parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
        uint64_t *ret_value, struct Failure *failure) {
        uint64_t value;

        if (config_parse_number(text, max, &value) < 0 || value < min)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Bad value for option --%s: %s; expected is a whole number from %" PRIu64
                        " to %" PRIu64,
                        option, text[0] != '\0' ? text : "nothing", min, max);
        *ret_value = value;
        return 0;
}

/* What every program knows. */

/* A closed descriptor 0, 1 or 2 would be the number of the next file that is opened, a database
 * say, and messages would go into it. Each is given one on which its use fails (EBADF). */
static void occupy_standard_descriptors(void) {
        static const int modes[] = { O_WRONLY, O_RDONLY, O_RDONLY };

        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
                        abort(); /* not even an error can be told */
}

int command_flush(struct Failure *failure) {
        int error = 0;

        if (fflush(stdout) == EOF)
                error = errno;
        else if (ferror(stdout))
                error = EIO; /* an earlier write failed; which way is forgotten */
        if (error == 0)
                return 0;
        return failure_set(failure, EVENT_WRITE_FAILED, error, NULL,
                "Cannot write to standard output: %m; check the file or pipe that it goes to");
}

static int load(const struct Common *common, struct Command *command, struct Failure *failure) {
        int r;

        r = config_load(common->config, common->root, &command->config, failure);
        if (r < 0)
                return r;
        if (layout_new(command->config->root, &command->layout) < 0)
                return failure_out_of_memory(failure);
        r = clock_from_environment(&command->clock);
        if (r < 0)
                return failure_set(failure, EVENT_CONFIG_INVALID, -r, NULL,
                        "ATOCORE_NOW is no stamp; give one like 20260407T060000Z, or unset it");
        return 0;
}

int command_prepare(const struct Program *program, int argc, char *argv[], void *userdata,
        struct Command *ret_command, enum CommandStep *ret_step, struct Failure *failure) {
        _cleanup_command_ struct Command command = { 0 };
        struct Common common = { .verbosity = VERBOSITY_NORMAL };
        int r;

        occupy_standard_descriptors();
        (void) signal(SIGPIPE, SIG_IGN); /* a closed pipe is noticed as EPIPE */
        event_setup(program->name, VERBOSITY_NORMAL);

        r = parse_options(program, argc, argv, userdata, &common, failure);
        if (common.help || common.version) {
                failure_clear(failure);
                *ret_step = COMMAND_EXIT;
                return common.help ? help_print(program, common_options, failure)
                                   : help_print_version(program, failure);
        }
        command.json = common.json;
        command.verbosity = common.verbosity;
        command.arguments = argv + optind;
        command.n_arguments = (size_t) (argc - optind);
        if (r >= 0)
                r = check_arguments(program, &command, failure);
        if (r < 0) {
                point_to_help(program, failure);
                return r;
        }

        event_setup(program->name, common.verbosity);
        r = load(&common, &command, failure);
        if (r < 0)
                return r;

        *ret_command = command;
        command = (struct Command){ 0 };
        *ret_step = COMMAND_RUN;
        return 0;
}

void command_clear(struct Command *command) {
        command->config = config_free(command->config);
        command->layout = layout_free(command->layout);
}
