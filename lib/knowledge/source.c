/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/text.h"
#include "lib/base/utf8.h"
#include "lib/knowledge/string-list.h"

struct Source {
        int fd;
        int start_fd;     /* the directory of the subpath, or the one it is in */
        char *start;      /* path of that directory below the source */
        char *start_name; /* the file in it, where the subpath is one, or NULL */
};

struct Walk {
        int source_fd;
        const struct Operation *operation;
        const struct SourceVisitor *visitor;
        unsigned depth;
        char *path; /* of what is looked at; grows and shrinks with the walk */
        size_t path_size, path_allocated;
};

struct NameKind {
        const char *extension;
        enum DocumentKind kind;
        enum Conversion conversion;
};

/* NULL: it is no document. */
static const struct NameKind *kind_of_name(const char *name) {
        static const struct NameKind kinds[] = {
                { ".md", DOCUMENT_MARKDOWN, CONVERSION_NONE },
                { ".markdown", DOCUMENT_MARKDOWN, CONVERSION_NONE },
                { ".txt", DOCUMENT_TEXT, CONVERSION_NONE },
                { ".text", DOCUMENT_TEXT, CONVERSION_NONE },
                { ".rst", DOCUMENT_TEXT, CONVERSION_NONE },
                { ".org", DOCUMENT_TEXT, CONVERSION_NONE },
                { ".html", DOCUMENT_MARKDOWN, CONVERSION_HTML },
                { ".htm", DOCUMENT_MARKDOWN, CONVERSION_HTML },
                { ".xhtml", DOCUMENT_MARKDOWN, CONVERSION_HTML },
                { ".pdf", DOCUMENT_PAGES, CONVERSION_PDF },
                { ".docx", DOCUMENT_MARKDOWN, CONVERSION_DOCX },
                { ".odt", DOCUMENT_MARKDOWN, CONVERSION_ODT },
        };
        const char *dot = strrchr(name, '.');

        for (size_t i = 0; dot && i < sizeof kinds / sizeof kinds[0]; i++)
                if (strcasecmp(dot, kinds[i].extension) == 0)
                        return &kinds[i];
        return NULL;
}

static bool is_document_name(const char *name) {
        return kind_of_name(name) != NULL;
}

static bool is_hidden(const char *name) {
        return name[0] == '.';
}

/* A component below `path` that begins with a dot. */
static bool has_hidden_component(const char *path) {
        return is_hidden(path) || strstr(path, "/.");
}

bool source_concerns(const char *name, bool is_directory) {
        return !is_hidden(name) && (is_directory || is_document_name(name));
}

/* Appends a component; *ret_mark is what path_restore() goes back to. */
static int path_enter(struct Walk *walk, const char *name, size_t *ret_mark) {
        size_t needed = walk->path_size + strlen(name) + 2;

        if (needed > walk->path_allocated) {
                char *path = realloc(walk->path, needed * 2);
                if (!path)
                        return -ENOMEM;
                walk->path = path;
                walk->path_allocated = needed * 2;
        }
        *ret_mark = walk->path_size;
        if (walk->path_size > 0)
                walk->path[walk->path_size++] = '/';
        walk->path_size = (size_t) (stpcpy(walk->path + walk->path_size, name) - walk->path);
        return 0;
}

static void path_restore(struct Walk *walk, size_t mark) {
        walk->path_size = mark;
        walk->path[mark] = '\0';
}

static int problem(struct Walk *walk, bool is_document, bool unknown, const char *reason) {
        _cleanup_free_ char *escaped = NULL;
        struct SourceProblem found = { walk->path, reason, is_document, unknown };

        if (!utf8_is_valid(walk->path, walk->path_size)) {
                escaped = text_escape(walk->path);
                if (!escaped)
                        return -ENOMEM;
                found.path = escaped;
        }
        return walk->visitor->problem(&found, walk->visitor->userdata);
}

static int problem_errno(struct Walk *walk, bool is_document, const char *doing, int error) {
        char reason[256];

        errno = error;
        (void) snprintf(reason, sizeof reason, "cannot be %s: %m", doing);
        return problem(walk, is_document, true, reason);
}

static const char *what_it_is(mode_t mode) {
        switch (mode & S_IFMT) {
        case S_IFIFO:
                return "is a FIFO, not a file";
        case S_IFSOCK:
                return "is a socket, not a file";
        default:
                return "is a device, not a file";
        }
}

static int visit_file(
        struct Walk *walk, int dir_fd, const char *name, int link_fd, const struct stat *status) {
        const struct NameKind *kind = kind_of_name(name);
        struct SourceFile file = {
                .path = walk->path,
                .status = *status,
                .dir_fd = dir_fd,
                .name = name,
                .link_fd = link_fd,
        };

        if (!kind)
                return 0;
        file.kind = kind->kind;
        file.conversion = kind->conversion;
        if (!utf8_is_valid(walk->path, walk->path_size))
                return problem(walk, true, false, "has a name that is not valid UTF-8");
        return walk->visitor->file(&file, walk->visitor->userdata);
}

/* Path by which the kernel knows an open file; maybe -ENOENT where /proc is not mounted. */
static int path_of_fd(int fd, char ret_path[PATH_MAX]) {
        char link[sizeof "/proc/self/fd/" + 3 * sizeof fd];
        ssize_t n;

        (void) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, ret_path, PATH_MAX);
        if (n < 0)
                return -errno;
        if (n == PATH_MAX)
                return -ENAMETOOLONG;
        ret_path[n] = '\0';
        return 0;
}

/* *ret_inside is the path below the source that an open file has, "" for the source, or NULL when
 * it lies elsewhere. It points into `buffer`. */
static int path_inside(struct Walk *walk, int fd, char buffer[PATH_MAX], const char **ret_inside) {
        char source[PATH_MAX];
        size_t n;
        int r;

        r = path_of_fd(walk->source_fd, source);
        if (r < 0)
                return r;
        r = path_of_fd(fd, buffer);
        if (r < 0)
                return r;

        n = strcmp(source, "/") == 0 ? 0 : strlen(source);
        if (strncmp(buffer, source, n) != 0 || (buffer[n] != '/' && buffer[n] != '\0'))
                *ret_inside = NULL;
        else
                *ret_inside = buffer + n + (buffer[n] == '/' ? 1 : 0);
        return 0;
}

static int leaves_source(struct Walk *walk, bool is_document, const char *target) {
        _cleanup_free_ char *escaped = text_escape(target);
        _cleanup_free_ char *reason = NULL;

        if (!escaped || asprintf(&reason, "is a link that leaves its source, to %s", escaped) < 0) {
                reason = NULL;
                return -ENOMEM;
        }
        return problem(walk, is_document, false, reason);
}

static int visit_link(struct Walk *walk, int dir_fd, const char *name) {
        bool is_document = is_document_name(name);
        char target[PATH_MAX];
        const char *inside;
        struct stat status;
        int r;

        _cleanup_close_ int fd = openat(dir_fd, name, O_PATH | O_CLOEXEC);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return is_document ? problem(walk, true, false, "is a link to nothing") : 0;
        if (fd < 0 && errno == ELOOP)
                return is_document ? problem(walk, true, false, "is a link in a circle") : 0;
        if (fd < 0 || fstat(fd, &status) < 0)
                return problem_errno(walk, is_document, "resolved", errno);

        /* What does not concern us may lie where it likes. */
        if (!S_ISDIR(status.st_mode) && !is_document)
                return 0;
        r = path_inside(walk, fd, target, &inside);
        if (r < 0)
                return problem_errno(walk, is_document, "resolved", -r);
        if (!inside)
                return leaves_source(walk, is_document, target);

        if (S_ISDIR(status.st_mode))
                return 0;
        if (!S_ISREG(status.st_mode))
                return problem(walk, true, false, what_it_is(status.st_mode));
        if (!has_hidden_component(inside) && is_document_name(inside))
                return 0;
        return visit_file(walk, dir_fd, name, fd, &status);
}

static int visit_directory(struct Walk *walk, int dir_fd, const char *name);

/* `name` in dir_fd; walk->path is its path already. */
static int visit_entry(struct Walk *walk, int dir_fd, const char *name) {
        bool is_document = is_document_name(name);
        struct stat status;

        if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
                /* Gone since the directory was read. */
                if (errno == ENOENT)
                        return 0;
                return problem_errno(walk, is_document, "looked at", errno);
        }
        if (S_ISDIR(status.st_mode))
                return visit_directory(walk, dir_fd, name);
        if (S_ISLNK(status.st_mode))
                return visit_link(walk, dir_fd, name);
        if (S_ISREG(status.st_mode))
                return visit_file(walk, dir_fd, name, -1, &status);
        return is_document ? problem(walk, true, false, what_it_is(status.st_mode)) : 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The names that may matter. The descriptor stays with the caller. A directory that cannot be read
 * to its end is -errno, with what was read so far in `names`. */
static int read_names(int dir_fd, struct StringList *names) {
        _cleanup_close_ int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
        _cleanup_closedir_ DIR *directory = NULL;

        if (fd < 0)
                return -errno;
        directory = fdopendir(fd);
        if (!directory)
                return -errno;
        (void) STEAL_FD(fd);
        /* It shares its position with the caller's, where another walk may have been. */
        rewinddir(directory);

        for (;;) {
                errno = 0;
                const struct dirent *entry = readdir(directory);
                if (!entry)
                        return -errno;
                if (is_hidden(entry->d_name) ||
                        (entry->d_type == DT_REG && !is_document_name(entry->d_name)))
                        continue;
                int r = string_list_take(names, strdup(entry->d_name));
                if (r < 0)
                        return r;
        }
}

static int visit_names(struct Walk *walk, int dir_fd, const struct StringList *names) {
        for (size_t i = 0; i < names->n; i++) {
                size_t mark;
                int r;

                if (operation_cancelled(walk->operation))
                        return -EINTR;
                r = path_enter(walk, names->items[i], &mark);
                if (r < 0)
                        return r;
                r = visit_entry(walk, dir_fd, names->items[i]);
                if (r < 0)
                        return r;
                path_restore(walk, mark);
        }
        return 0;
}

/* Everything in an open directory. */
static int visit_contents(struct Walk *walk, int dir_fd) {
        _cleanup_(string_list_clear) struct StringList names = { 0 };
        int r, r_read;

        if (walk->visitor->directory) {
                r = walk->visitor->directory(walk->path, dir_fd, walk->visitor->userdata);
                if (r < 0)
                        return r;
        }
        r_read = read_names(dir_fd, &names);
        if (r_read == -ENOMEM)
                return r_read;
        if (names.n > 1)
                qsort(names.items, names.n, sizeof *names.items, compare_names);
        r = visit_names(walk, dir_fd, &names);
        if (r < 0)
                return r;
        return r_read < 0 ? problem_errno(walk, false, "read to its end", -r_read) : 0;
}

static int visit_directory(struct Walk *walk, int dir_fd, const char *name) {
        int r;

        if (!utf8_is_valid(name, strlen(name)))
                return problem(walk, false, false, "is a directory whose name is not valid UTF-8");
        if (walk->depth == SOURCE_DEPTH_MAX)
                return problem(walk, false, true, "is a directory below too many others");

        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0)
                return problem_errno(walk, false, "opened", errno);
        walk->depth++;
        r = visit_contents(walk, fd);
        walk->depth--;
        return r;
}

/* Follows `subpath` as far as it is directories; what is left of it, at most one component, becomes
 * the name. */
static int descend(struct Source *source, const char *subpath) {
        _cleanup_free_ char *copy = strdup(subpath);
        char *rest = copy;
        size_t passed = 0;

        if (!copy)
                return -ENOMEM;
        for (char *name = strsep(&rest, "/"); name && *name; name = strsep(&rest, "/")) {
                int fd = openat(
                        source->start_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                struct stat status;

                if (fd >= 0) {
                        (void) close(source->start_fd);
                        source->start_fd = fd;
                        passed = (size_t) (name - copy) + strlen(name);
                        continue;
                }
                int error = errno;
                if (error != ENOTDIR || rest ||
                        fstatat(source->start_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
                        !S_ISREG(status.st_mode))
                        return -error;
                if (!is_document_name(name))
                        return -EMEDIUMTYPE;
                source->start_name = strdup(name);
                if (!source->start_name)
                        return -ENOMEM;
        }
        source->start = strndup(subpath, passed);
        return source->start ? 0 : -ENOMEM;
}

int source_open(const char *directory, const char *subpath, struct Source **ret_source) {
        _cleanup_source_ struct Source *source = calloc(1, sizeof *source);
        int r;

        if (!source)
                return -ENOMEM;
        source->start_fd = -1;
        source->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (source->fd < 0)
                return -errno;
        if (has_hidden_component(subpath))
                return -EPERM;
        source->start_fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 0);
        if (source->start_fd < 0)
                return -errno;
        r = descend(source, subpath);
        if (r < 0)
                return r;
        *ret_source = STEAL(source);
        return 0;
}

void source_unopened(int error, char *ret_reason, size_t size) {
        if (error == EPERM)
                (void) snprintf(
                        ret_reason, size, "is hidden: a part of its path begins with a dot");
        else if (error == ENOENT)
                (void) snprintf(ret_reason, size, "does not exist");
        else if (error == ENOTDIR)
                (void) snprintf(
                        ret_reason, size, "is no directory or file (links are not followed)");
        else if (error == EMEDIUMTYPE)
                (void) snprintf(ret_reason, size, "is a file whose name is no document's");
        else {
                errno = error;
                (void) snprintf(ret_reason, size, "cannot be opened: %m");
        }
}

struct Source *source_close(struct Source *source) {
        if (!source)
                return NULL;
        cleanup_close(&source->fd);
        cleanup_close(&source->start_fd);
        free(source->start);
        free(source->start_name);
        free(source);
        return NULL;
}

int source_walk(struct Source *source, const struct Operation *operation,
        const struct SourceVisitor *visitor) {
        struct Walk walk = { .source_fd = source->fd, .operation = operation, .visitor = visitor };
        _cleanup_free_ char *path = NULL;
        size_t mark;
        int r;

        r = path_enter(&walk, source->start, &mark);
        if (r >= 0 && source->start_name)
                r = path_enter(&walk, source->start_name, &mark);
        if (r >= 0)
                r = source->start_name ? visit_entry(&walk, source->start_fd, source->start_name)
                                       : visit_contents(&walk, source->start_fd);
        path = walk.path;
        return r;
}

int source_open_file(const struct SourceFile *file, int *ret_fd) {
        static const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        char link[sizeof "/proc/self/fd/" + 3 * sizeof file->link_fd];
        int fd;

        if (file->link_fd >= 0) {
                (void) snprintf(link, sizeof link, "/proc/self/fd/%d", file->link_fd);
                fd = open(link, flags);
        } else
                fd = openat(file->dir_fd, file->name, flags | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}
