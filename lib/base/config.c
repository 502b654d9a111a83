/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/file-io.h"
#include "lib/base/server-url.h"
#include "lib/base/text.h"

#define CONFIG_SIZE_MAX ((size_t) 1024 * 1024)
#define RECIPIENT_MAX   ((size_t) 4096)
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* The keys and their values. */

int config_parse_number(const char *text, uint64_t max, uint64_t *ret_value) {
        uint64_t value = 0;

        if (*text == '\0')
                return -EINVAL;
        for (; *text != '\0'; text++) {
                if (!isdigit((unsigned char) *text))
                        return -EINVAL;
                if (__builtin_mul_overflow(value, 10, &value) ||
                        __builtin_add_overflow(value, (uint64_t) (*text - '0'), &value) ||
                        value > max)
                        return -ERANGE;
        }
        *ret_value = value;
        return 0;
}

static int set_number(const struct ConfigKey *key, const char *value, void *member) {
        return config_parse_number(value, key->max, member) < 0 ? -EINVAL : 0;
}

static int set_seconds(const struct ConfigKey *key, const char *value, void *member) {
        uint64_t seconds;

        if (config_parse_number(value, key->max, &seconds) < 0 || seconds == 0)
                return -EINVAL;
        *(uint64_t *) member = seconds;
        return 0;
}

static int replace_text(char **member, const char *value) {
        char *copy = strdup(value);

        if (!copy)
                return -ENOMEM;
        free(*member);
        *member = copy;
        return 0;
}

static int set_path(const struct ConfigKey *key, const char *value, void *member) {
        (void) key;
        return value[0] == '/' ? replace_text(member, value) : -EINVAL;
}

static int set_text(const struct ConfigKey *key, const char *value, void *member) {
        (void) key;
        return text_is_printable(value) ? replace_text(member, value) : -EINVAL;
}

/* Of the form only: whether there is such a recipient is found out when one is written to. Nothing
 * in it could be taken for an option. */
static bool is_recipient(const char *text, const char *beginning, const char *characters) {
        size_t length = strlen(beginning), n = strlen(text);

        return strncmp(text, beginning, length) == 0 && n > length && n <= RECIPIENT_MAX &&
                text[0] != '-' && strspn(text, characters) == n;
}

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"

static int set_cipher(const struct ConfigKey *key, const char *value, void *member) {
        static const char age[] = "age:", gpg[] = "gpg:";

        (void) key;
        if (value[0] != '\0' &&
                !(strncmp(value, age, strlen(age)) == 0 &&
                        is_recipient(value + strlen(age), "age1", LETTERS DIGITS)) &&
                !(strncmp(value, gpg, strlen(gpg)) == 0 &&
                        is_recipient(value + strlen(gpg), "",
                                LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "@.+_-")))
                return -EINVAL;
        return replace_text(member, value);
}

/* Of the form only: what is there is found out when it is asked. A remote of rclone without its
 * colon would be a directory here. */
static bool is_offsite(const char *value) {
        static const char restic[] = "restic:", rclone[] = "rclone:";
        const char *place = value + strlen(restic);

        if (value[0] == '\0')
                return true;
        if (strncmp(value, restic, strlen(restic)) == 0)
                return place[0] != '\0' && place[0] != '-';
        return strncmp(value, rclone, strlen(rclone)) == 0 && place[0] != '\0' && place[0] != '-' &&
                (place[0] == '/' || strchr(place, ':'));
}

static int set_offsite(const struct ConfigKey *key, const char *value, void *member) {
        (void) key;
        return is_offsite(value) ? replace_text(member, value) : -EINVAL;
}

static int set_server(const struct ConfigKey *key, const char *value, void *member) {
        return value[0] == '\0' || server_url_of(value, key->expected) ? replace_text(member, value)
                                                                       : -EINVAL;
}

static int set_milliseconds(const struct ConfigKey *key, const char *value, void *member) {
        uint64_t ms;

        if (config_parse_number(value, key->max, &ms) < 0 || ms == 0)
                return -EINVAL;
        *(uint64_t *) member = ms;
        return 0;
}

static int set_boolean(const struct ConfigKey *key, const char *value, void *member) {
        bool yes = strcmp(value, "yes") == 0;

        (void) key;
        if (!yes && strcmp(value, "no") != 0)
                return -EINVAL;
        *(bool *) member = yes;
        return 0;
}

static size_t count_strings(char *const *strings) {
        size_t n = 0;

        while (strings && strings[n])
                n++;
        return n;
}

/* Names as they stand in Host: without the port; [::1] is one. */
static bool is_host(const char *text, size_t length) {
        for (size_t i = 0; i < length; i++)
                if (!isalnum((unsigned char) text[i]) && !strchr(".-_:[]", text[i]))
                        return false;
        return length <= 255;
}

static int add_hosts(const struct ConfigKey *key, const char *value, void *member) {
        static const char separators[] = " \t,";
        char ***hosts = member;

        (void) key;
        for (;;) {
                size_t length, n = count_strings(*hosts);
                char **grown;

                value += strspn(value, separators);
                if (*value == '\0')
                        return 0;
                length = strcspn(value, separators);
                if (!is_host(value, length))
                        return -EINVAL;

                grown = reallocarray(*hosts, n + 2, sizeof *grown);
                if (!grown)
                        return -ENOMEM;
                *hosts = grown;
                grown[n + 1] = NULL;
                grown[n] = strndup(value, length);
                if (!grown[n])
                        return -ENOMEM;
                value += length;
        }
}

#define MEMBER(name_) offsetof(struct Config, name_)

const struct ConfigKey config_keys[] = {
        { "root", ATOCORE_STORAGE_ROOT, "storage root", set_path, "an absolute path",
                MEMBER(root) },
        { "allowed_hosts", "",
                "names beside this machine's own that requests may give in Host:, separated by "
                "spaces or commas",
                add_hosts, "host names without ports, separated by spaces or commas",
                MEMBER(allowed_hosts) },
        { "retention_daily", "7", "days of which a snapshot is kept", set_number,
                "a whole number from 0 to 1000", MEMBER(retention_daily), 1000 },
        { "retention_weekly", "4", "weeks of which a snapshot is kept", set_number,
                "a whole number from 0 to 1000", MEMBER(retention_weekly), 1000 },
        { "retention_monthly", "6", "months of which a snapshot is kept", set_number,
                "a whole number from 0 to 1000", MEMBER(retention_monthly), 1000 },
        { "lock_wait", "600", "seconds to wait for a lock that another program holds", set_number,
                "seconds, a whole number from 0 to 86400", MEMBER(lock_wait), 86400 },
        { "watch_interval", "600",
                "seconds after which atocore-watch looks at all sources, whatever it was told",
                set_seconds, "seconds, a whole number from 1 to 86400", MEMBER(watch_interval),
                86400 },
        { "archive_encrypt", "", "whom archives are encrypted to, with age(1) or gpg(1)",
                set_cipher, "age:RECIPIENT or gpg:KEYID", MEMBER(archive_encrypt) },
        { "archive_gpg_key", ATOCORE_GPG_KEY, "file with the public key of gpg:KEYID", set_path,
                "an absolute path", MEMBER(archive_gpg_key) },
        { "drill_query", "",
                "a prompt that a drill or restore must find something for; empty: words of the "
                "data itself",
                set_text, "one line of printable UTF-8", MEMBER(drill_query) },
        { "offsite", "", "where copies off this machine are kept, by restic or rclone", set_offsite,
                "restic:REPOSITORY or rclone:REMOTE:PATH", MEMBER(offsite) },
        { "offsite_retention", "yes", "whether retention deletes there too", set_boolean,
                "yes or no", MEMBER(offsite_retention) },
        { "vector_store", "", "vector store for hybrid retrieval", set_server,
                "chroma:http://HOST:PORT", MEMBER(vector_store) },
        { "embedding", "", "server that makes vectors of text", set_server,
                "openai:http://HOST:PORT/v1/embeddings", MEMBER(embedding) },
        { "embedding_model", "", "the model that it is asked for", set_text,
                "one line of printable UTF-8", MEMBER(embedding_model) },
        { "vector_timeout_ms", "300", "milliseconds that a query waits for vectors",
                set_milliseconds, "milliseconds, a whole number from 1 to 60000",
                MEMBER(vector_timeout_ms), 60000 },
        { 0 },
};

#define KEY_COUNT (sizeof config_keys / sizeof config_keys[0] - 1)

static const struct ConfigKey *find_key(const char *name) {
        for (const struct ConfigKey *key = config_keys; key->name; key++)
                if (strcmp(key->name, name) == 0)
                        return key;
        return NULL;
}

static int set_value(struct Config *config, const struct ConfigKey *key, const char *value) {
        return key->set(key, value, (char *) config + key->member);
}

/* The file. */

struct Parser {
        const char *path;
        const char *next; /* what was not read yet */
        const char *end;
        int line; /* of what was read last, from 1 */
        bool continues;

        struct Config *config;
        const struct ConfigKey *key; /* of the line above */
        int seen[KEY_COUNT];         /* line of each key, 0: not yet */

        int failed_line; /* 0: none */
        struct Failure failure;
};

__attribute__((format(printf, 2, 3))) static void fail(
        struct Parser *parser, const char *format, ...) {
        _cleanup_free_ char *what = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&what, format, arguments) < 0)
                what = NULL;
        va_end(arguments);

        if (parser->failed_line == 0)
                parser->failed_line = parser->line;
        if (what)
                (void) failure_set(&parser->failure, EVENT_CONFIG_INVALID, EINVAL, parser->path,
                        "%s:%d: %s", parser->path, parser->line, what);
        else
                (void) failure_out_of_memory(&parser->failure);
}

/* ini_parse_stream() would cut long lines in two and skip sections without a word: what it is not
 * to see ends the reading here. An fgets() for it; NULL also after the first failure. */
static char *read_line(char *buffer, int size, void *userdata) {
        struct Parser *parser = userdata;
        const char *start = parser->next, *newline, *text;
        size_t length;

        if (start == parser->end || parser->failed_line != 0)
                return NULL;
        newline = memchr(start, '\n', (size_t) (parser->end - start));
        parser->next = newline ? newline + 1 : parser->end;
        length = (size_t) (parser->next - start);
        parser->line++;

        if (memchr(start, '\0', length)) {
                fail(parser, "NUL byte; this is no text file");
                return NULL;
        }
        if (length >= (size_t) size) {
                fail(parser, "line longer than %d characters; shorten it", size - 2);
                return NULL;
        }
        memcpy(buffer, start, length);
        buffer[length] = '\0';

        text = buffer + strspn(buffer, " \t");
        parser->continues = parser->key && text > buffer;
        if (*text == '[' && !parser->continues) {
                fail(parser, "section %.*s; remove the line, there are no sections here",
                        (int) strcspn(text, "\r\n"), text);
                return NULL;
        }
        return buffer;
}

static void list_keys(char *text, size_t size) {
        size_t used = 0;

        for (const struct ConfigKey *key = config_keys; key->name; key++)
                used += (size_t) snprintf(
                        text + used, size - used, "%s%s", used > 0 ? ", " : "", key->name);
}

/* One key=value line, or the continuation of one. libinih wants 0 for a failure. */
static int take_value(void *userdata, const char *section, const char *name, const char *value) {
        struct Parser *parser = userdata;
        const struct ConfigKey *key = parser->continues ? parser->key : find_key(name);
        char known[512];
        int *seen, r;

        (void) section;
        if (!key) {
                list_keys(known, sizeof known);
                fail(parser, "unknown key %s; the keys are %s", name, known);
                return 0;
        }
        seen = &parser->seen[key - config_keys];
        if (parser->continues && key->set != add_hosts) {
                fail(parser, "the line begins with a blank and so continues %s; remove the blank",
                        key->name);
                return 0;
        }
        if (*seen != 0 && !parser->continues) {
                fail(parser, "key %s was given in line %d already; remove one of them", key->name,
                        *seen);
                return 0;
        }

        *seen = parser->line;
        parser->key = key;
        r = set_value(parser->config, key, value);
        if (r == -ENOMEM) {
                parser->failed_line = parser->line;
                (void) failure_out_of_memory(&parser->failure);
        } else if (r < 0)
                fail(parser, "bad value for key %s: %s; expected is %s", key->name, value,
                        key->expected);
        return r < 0 ? 0 : 1;
}

static int parse(struct Config *config, const char *path, const char *data, size_t size,
        struct Failure *failure) {
        size_t mark = strlen(BYTE_ORDER_MARK);
        struct Parser parser = {
                .path = path,
                .next = size >= mark && memcmp(data, BYTE_ORDER_MARK, mark) == 0 ? data + mark
                                                                                 : data,
                .end = data + size,
                .config = config,
        };
        int first_bad, r;

        /* Lines without "=" are known only by the line number that is returned at the end, of the
         * first bad line of all. */
        first_bad = ini_parse_stream(read_line, &parser, take_value, &parser);
        if (first_bad < 0)
                (void) failure_out_of_memory(&parser.failure);
        else if (first_bad > 0 && (parser.failed_line == 0 || first_bad < parser.failed_line)) {
                failure_clear(&parser.failure);
                parser.line = first_bad;
                fail(&parser, "not of the form key=value; comments begin with #");
        }

        r = -parser.failure.error;
        if (failure && !failure_is_set(failure))
                *failure = parser.failure;
        else
                failure_clear(&parser.failure);
        return r;
}

static int load_file(
        struct Config *config, const char *path, bool must_exist, struct Failure *failure) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, CONFIG_SIZE_MAX, &data, &size);
        if (!must_exist && (r == -ENOENT || r == -ENOTDIR))
                return 0;
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r == -EFBIG)
                return failure_set(failure, EVENT_CONFIG_INVALID, EFBIG, path,
                        "Configuration file %s is larger than 1 MiB; check that it is the right "
                        "file",
                        path);
        if (r == -EINVAL)
                return failure_set(failure, EVENT_CONFIG_INVALID, EINVAL, path,
                        "Configuration file %s is no regular file; check its path", path);
        if (r < 0)
                return failure_set(failure, EVENT_CONFIG_INVALID, -r, path,
                        "Cannot read configuration file %s: %m; check its path, owner and mode",
                        path);
        return parse(config, path, data, size, failure);
}

static int new_config(struct Config **ret_config) {
        _cleanup_config_ struct Config *config = calloc(1, sizeof *config);

        if (!config)
                return -ENOMEM;
        for (const struct ConfigKey *key = config_keys; key->name; key++)
                if (set_value(config, key, key->default_text) < 0)
                        return -ENOMEM;
        *ret_config = STEAL(config);
        return 0;
}

/* One of them alone is a mistake that would show as nothing at all. */
static int check_pair(const struct Config *config, const char *path, struct Failure *failure) {
        bool store = config->vector_store[0] != '\0', embedding = config->embedding[0] != '\0';

        if (store == embedding)
                return 0;
        return failure_set(failure, EVENT_CONFIG_INVALID, EINVAL, path,
                "%s: key %s is given without %s; vectors need both", path,
                store ? "vector_store" : "embedding", store ? "embedding" : "vector_store");
}

static int override_root(struct Config *config, const char *root_option, struct Failure *failure) {
        const char *variable = getenv("ATOCORE_ROOT");
        const char *root = root_option ? root_option : variable;
        char *copy;

        if (!root || (!root_option && root[0] == '\0'))
                return 0;
        if (root[0] != '/')
                return failure_set(failure, root_option ? EVENT_USAGE : EVENT_CONFIG_INVALID,
                        EINVAL, root, "%s: the storage root must be an absolute path, not %s",
                        root_option ? "--root" : "ATOCORE_ROOT", root[0] != '\0' ? root : "empty");
        copy = strdup(root);
        if (!copy)
                return failure_out_of_memory(failure);
        free(config->root);
        config->root = copy;
        return 0;
}

int config_load(const char *file_option, const char *root_option, struct Config **ret_config,
        struct Failure *failure) {
        _cleanup_config_ struct Config *config = NULL;
        int r;

        if (new_config(&config) < 0)
                return failure_out_of_memory(failure);
        r = load_file(config, file_option ? file_option : ATOCORE_CONFIG_FILE, file_option != NULL,
                failure);
        if (r >= 0)
                r = check_pair(config, file_option ? file_option : ATOCORE_CONFIG_FILE, failure);
        if (r < 0)
                return r;
        r = override_root(config, root_option, failure);
        if (r < 0)
                return r;

        *ret_config = STEAL(config);
        return 0;
}

struct Config *config_free(struct Config *config) {
        if (!config)
                return NULL;
        free(config->root);
        free(config->archive_encrypt);
        free(config->archive_gpg_key);
        free(config->offsite);
        free(config->vector_store);
        free(config->embedding);
        free(config->embedding_model);
        for (size_t i = 0; i < count_strings(config->allowed_hosts); i++)
                free(config->allowed_hosts[i]);
        free(config->allowed_hosts);
        free(config->drill_query);
        free(config);
        return NULL;
}
