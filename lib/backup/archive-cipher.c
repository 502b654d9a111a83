/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-cipher.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/file-io.h"
#include "lib/base/subprocess.h"
#include "lib/base/text.h"

#define HOME_NAME     "atocore-gpg-XXXXXX"
#define DIRECTORY_MAX ((size_t) 64) /* so that the names of its sockets fit in 107 bytes */
#define CREDENTIAL    "archive-identity"

enum Kind {
        KIND_AGE,
        KIND_GPG,
        KIND_COUNT_,
};

static const struct {
        const char *
                program; /* also its package, more or less, and what archive_encrypt= begins with */
        const char *package;
        const char *suffix;
} kinds[] = {
        [KIND_AGE] = { "age", "age", ".age" },
        [KIND_GPG] = { "gpg", "gnupg", ".gpg" },
};

struct ArchiveCipher {
        const struct Operation *operation;
        enum Kind kind;
        struct Subprocess *child;
        char *path;      /* of the archive, when it is read */
        char *identity;  /* the file with its key */
        char *recipient; /* when it is written */
        char *home;      /* of gpg; NULL: none */
        bool has_agent;
        char *words;
};

/* In their own language, whatever that of the machine: they are looked at. */
static char *const environment[] = { (char *) "LC_ALL=C", NULL };

static int kind_of_name(const char *name) {
        size_t length = strlen(name);

        for (int kind = 0; kind < KIND_COUNT_; kind++) {
                size_t n = strlen(kinds[kind].suffix);

                if (length > n && strcmp(name + length - n, kinds[kind].suffix) == 0)
                        return kind;
        }
        return -1;
}

const char *archive_cipher_suffix(const char *name) {
        int kind = kind_of_name(name);

        return name + strlen(name) - (kind < 0 ? 0 : strlen(kinds[kind].suffix));
}

/* "age:RECIPIENT": its form was checked when it was read. */
static int kind_of_config(const struct Config *config, const char **ret_recipient) {
        const char *text = config->archive_encrypt;

        for (int kind = 0; text && kind < KIND_COUNT_; kind++) {
                size_t n = strlen(kinds[kind].program);

                if (strncmp(text, kinds[kind].program, n) == 0 && text[n] == ':') {
                        *ret_recipient = text + n + 1;
                        return kind;
                }
        }
        return -1;
}

const char *archive_cipher_suffix_of_new(const struct Config *config) {
        const char *recipient;
        int kind = kind_of_config(config, &recipient);

        return kind < 0 ? "" : kinds[kind].suffix;
}

/* age says what is wrong first and then where to complain; gpg comes to what it makes of it last.
 */
static int keep_words(struct ArchiveCipher *cipher, const struct Subprocess *child) {
        const char *text = subprocess_words(child);
        size_t length = strlen(text);
        _cleanup_free_ char *line = NULL;

        while (length > 0 && text[length - 1] == '\n')
                length--;
        if (cipher->kind == KIND_AGE)
                length = strcspn(text, "\n");
        else
                for (const char *end; (end = memchr(text, '\n', length));) {
                        length -= (size_t) (end + 1 - text);
                        text = end + 1;
                }
        line = length > 0 ? strndup(text, length) : strdup("it says nothing");
        free(cipher->words);
        cipher->words = line ? text_escape(line) : NULL;
        return cipher->words ? 0 : -ENOMEM;
}

const char *archive_cipher_words(const struct ArchiveCipher *cipher) {
        return cipher->words ? cipher->words : "it says nothing";
}

static int start(struct ArchiveCipher *cipher, const struct SubprocessCommand *command,
        struct Subprocess **ret_child, struct Failure *failure) {
        int r = subprocess_start(cipher->operation, command, ret_child, failure);

        if (r == -ENOENT && !failure_is_set(failure))
                return failure_set(failure, EVENT_ARCHIVE_KEY_FAILED, ENOENT, NULL,
                        "There is no %s to encrypt and decrypt archives with; install it (apt "
                        "install %s)",
                        command->arguments[0], kinds[cipher->kind].package);
        return r;
}

/* A program that only has to be run. 0 or its exit status. */
static int run(
        struct ArchiveCipher *cipher, const char *const *arguments, struct Failure *failure) {
        const struct SubprocessCommand command = { .arguments = arguments,
                .environment = environment };
        _cleanup_subprocess_ struct Subprocess *child = NULL;
        int r, status = 0;

        r = start(cipher, &command, &child, failure);
        if (r < 0)
                return r;
        r = subprocess_finish(child, &status, failure);
        if (r < 0)
                return r;
        if (status != 0 && keep_words(cipher, child) < 0)
                return failure_out_of_memory(failure);
        return status;
}

#define GPG(home) "gpg", "--homedir", home, "--batch", "--no-tty", "--quiet"

/* The key file, in a home where there is nothing else. 0 or the exit status of gpg. */
static int make_home(struct ArchiveCipher *cipher, const char *key, struct Failure *failure) {
        const char *where = getenv("TMPDIR");
        _cleanup_free_ char *home = NULL;

        if (!where || where[0] != '/' || strlen(where) > DIRECTORY_MAX)
                where = "/tmp";
        if (asprintf(&home, "%s/" HOME_NAME, where) < 0) {
                home = NULL;
                return failure_out_of_memory(failure);
        }
        if (!mkdtemp(home)) /* 0700 */
                return failure_set_write_at(failure, errno, where, HOME_NAME, "create");
        cipher->home = STEAL(home);
        return run(cipher, (const char *const[]){ GPG(cipher->home), "--import", "--", key, NULL },
                failure);
}

/* It would end by itself, when it comes to notice that its home is gone. */
static void end_agent(struct ArchiveCipher *cipher) {
        struct Operation operation = { .layout = cipher->operation->layout };

        cipher->operation = &operation; /* also where ours is cancelled */
        (void) run(cipher,
                (const char *const[]){
                        "gpgconf", "--homedir", cipher->home, "--kill", "all", NULL },
                NULL);
}

struct ArchiveCipher *archive_cipher_free(struct ArchiveCipher *cipher) {
        if (!cipher)
                return NULL;
        subprocess_free(cipher->child);
        if (cipher->home) {
                if (cipher->has_agent)
                        end_agent(cipher);
                (void) remove_tree_at(AT_FDCWD, cipher->home);
        }
        free(cipher->path);
        free(cipher->identity);
        free(cipher->recipient);
        free(cipher->home);
        free(cipher->words);
        free(cipher);
        return NULL;
}

static struct ArchiveCipher *new_cipher(const struct Operation *operation, int kind) {
        struct ArchiveCipher *cipher = calloc(1, sizeof *cipher);

        if (cipher)
                *cipher =
                        (struct ArchiveCipher){ .operation = operation, .kind = (enum Kind) kind };
        return cipher;
}

int archive_cipher_blame_key(const struct ArchiveCipher *cipher, struct Failure *failure) {
        return failure_set(failure, EVENT_ARCHIVE_KEY_FAILED, EINVAL, NULL,
                "Cannot encrypt to %s: %s; check archive_encrypt= in atocore.conf",
                cipher->recipient, archive_cipher_words(cipher));
}

int archive_cipher_encrypt(const struct Operation *operation, int output,
        struct ArchiveCipher **ret_cipher, struct Failure *failure) {
        _cleanup_archive_cipher_ struct ArchiveCipher *cipher = NULL;
        const char *recipient = NULL, *key = operation->config->archive_gpg_key;
        int r, kind = kind_of_config(operation->config, &recipient);

        if (kind < 0) {
                *ret_cipher = NULL;
                return 0;
        }
        cipher = new_cipher(operation, kind);
        if (!cipher || !(cipher->recipient = strdup(recipient)))
                return failure_out_of_memory(failure);
        if (kind == KIND_GPG) {
                r = make_home(cipher, key, failure);
                if (r > 0)
                        return failure_set(failure, EVENT_ARCHIVE_KEY_FAILED, EINVAL, key,
                                "Cannot read the public key %s: %s; check archive_gpg_key= in "
                                "atocore.conf",
                                key, archive_cipher_words(cipher));
                if (r < 0)
                        return r;
        }
        const char *const age[] = { "age", "--encrypt", "--recipient", recipient, NULL };
        const char *const gpg[] = { GPG(cipher->home), "--no-autostart", "--trust-model", "always",
                "--compress-algo", "none", "--recipient", recipient, "--encrypt", NULL };
        const struct SubprocessCommand command = {
                .arguments = kind == KIND_AGE ? age : gpg,
                .environment = environment,
                .fed = true,
                .output = output,
        };
        r = start(cipher, &command, &cipher->child, failure);
        if (r < 0)
                return r;
        *ret_cipher = STEAL(cipher);
        return 0;
}

int archive_cipher_write(
        struct ArchiveCipher *cipher, const void *data, size_t size, struct Failure *failure) {
        return subprocess_write(cipher->child, data, size, failure);
}

int archive_cipher_end(struct ArchiveCipher *cipher, struct Failure *failure) {
        int status, r;

        r = subprocess_finish(cipher->child, &status, failure);
        if (r < 0 || status == 0)
                return r;
        return keep_words(cipher, cipher->child) < 0 ? failure_out_of_memory(failure) : -EBADMSG;
}

/* The file with the key: the one given, or the credential. */
static int find_identity(
        struct ArchiveCipher *cipher, const char *identity, struct Failure *failure) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_close_ int fd = -1;

        if (identity)
                cipher->identity = strdup(identity);
        else if (!directory)
                return failure_set(failure, EVENT_ARCHIVE_KEY_FAILED, ENOENT, cipher->path,
                        "Archive %s is encrypted, and there is no key for it; give its file with "
                        "--identity, or as the credential " CREDENTIAL,
                        cipher->path);
        else if (asprintf(&cipher->identity, "%s/" CREDENTIAL, directory) < 0)
                cipher->identity = NULL;
        if (!cipher->identity)
                return failure_out_of_memory(failure);
        fd = open(cipher->identity, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd >= 0)
                return 0;
        return failure_set(failure, EVENT_ARCHIVE_KEY_FAILED, errno, cipher->identity,
                "Cannot open the key %s of archive %s: %m; give its file with --identity, or as "
                "the credential " CREDENTIAL,
                cipher->identity, cipher->path);
}

static int wrong_key(const struct ArchiveCipher *cipher, struct Failure *failure) {
        return failure_set(failure, EVENT_ARCHIVE_KEY_FAILED, EACCES, cipher->identity,
                "Archive %s cannot be opened with the key %s: %s; give the secret key of the "
                "recipient that it was encrypted to",
                cipher->path, cipher->identity, archive_cipher_words(cipher));
}

int archive_cipher_decrypt(const struct Operation *operation, const char *path, int input,
        const char *identity, struct ArchiveCipher **ret_cipher, struct Failure *failure) {
        _cleanup_archive_cipher_ struct ArchiveCipher *cipher = NULL;
        int r, kind = kind_of_name(path);

        if (kind < 0) {
                *ret_cipher = NULL;
                return 0;
        }
        cipher = new_cipher(operation, kind);
        if (!cipher || !(cipher->path = strdup(path)))
                return failure_out_of_memory(failure);
        r = find_identity(cipher, identity, failure);
        if (r < 0)
                return r;
        if (kind == KIND_GPG) {
                cipher->has_agent = true;
                r = make_home(cipher, cipher->identity, failure);
                if (r > 0)
                        return wrong_key(cipher, failure);
                if (r < 0)
                        return r;
        }
        const char *const age[] = { "age", "--decrypt", "--identity", cipher->identity, NULL };
        const char *const gpg[] = { GPG(cipher->home), "--pinentry-mode", "error", "--decrypt",
                NULL };
        const struct SubprocessCommand command = {
                .arguments = kind == KIND_AGE ? age : gpg,
                .environment = environment,
                .input = input,
        };
        r = start(cipher, &command, &cipher->child, failure);
        if (r < 0)
                return r;
        *ret_cipher = STEAL(cipher);
        return 0;
}

/* As far as the program tells: of damage where the names of the recipients stand, it says the same
 * as of a wrong key. */
static bool is_key_at_fault(const struct ArchiveCipher *cipher) {
        const char *words = archive_cipher_words(cipher);

        if (cipher->kind == KIND_AGE)
                return !strstr(words, "header") && !strstr(words, "payload");
        return strstr(words, "decryption failed") || strstr(words, "secret key");
}

ssize_t archive_cipher_read(
        struct ArchiveCipher *cipher, void *buffer, size_t size, struct Failure *failure) {
        ssize_t n = subprocess_read(cipher->child, buffer, size, failure);
        int status = 0, r;

        if (n != 0)
                return n;
        r = subprocess_finish(cipher->child, &status, failure);
        if (r < 0 || status == 0)
                return r;
        if (keep_words(cipher, cipher->child) < 0)
                return failure_out_of_memory(failure);
        return is_key_at_fault(cipher) ? wrong_key(cipher, failure) : -EBADMSG;
}
