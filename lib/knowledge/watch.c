/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "lib/base/utf8.h"
#include "lib/knowledge/source.h"

/* IN_MODIFY beside IN_CLOSE_WRITE: a file that is kept open and written to is found as well.
 * IN_ATTRIB: one that may be read from now on. */
#define CHANGED                                                                                    \
        (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM |          \
                IN_MOVED_TO)
#define OF_ITSELF (IN_DELETE_SELF | IN_MOVE_SELF)
/* Files that have no name any more are nobody's. */
#define MASK (CHANGED | OF_ITSELF | IN_EXCL_UNLINK | IN_ONLYDIR)

#define EVENTS_SIZE 65536
#define READS_MAX   16 /* more than the queue holds; what comes meanwhile is for the next time */

struct Watched {
        int wd;
        const char *source; /* NULL: a place where sources or the database hang */
        char *path;         /* below the source; of such a place, absolute */
        dev_t device;
        ino_t inode;
};

struct Watch {
        const struct Layout *layout;
        int fd;
        int mounts_fd;
        struct Watched *watched; /* by wd: the kernel counts them up, so most are appended */
        size_t n, allocated;
};

int watch_new(const struct Layout *layout, struct Watch **ret_watch, struct Failure *failure) {
        struct Watch *watch = calloc(1, sizeof *watch);

        if (!watch)
                return failure_out_of_memory(failure);
        watch->layout = layout;
        watch->fd = -1;
        watch->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        *ret_watch = watch;
        return 0;
}

static void forget_all(struct Watch *watch) {
        for (size_t i = 0; i < watch->n; i++)
                free(watch->watched[i].path);
        watch->n = 0;
        cleanup_close(&watch->fd);
        watch->fd = -1;
}

struct Watch *watch_free(struct Watch *watch) {
        if (!watch)
                return NULL;
        forget_all(watch);
        cleanup_close(&watch->mounts_fd);
        free(watch->watched);
        free(watch);
        return NULL;
}

int watch_fd(const struct Watch *watch) {
        return watch->fd;
}

int watch_mounts_fd(const struct Watch *watch) {
        return watch->mounts_fd;
}

size_t watch_count(const struct Watch *watch) {
        size_t n = 0;

        for (size_t i = 0; i < watch->n; i++)
                n += watch->watched[i].source != NULL;
        return n;
}

/* Index of the first whose number is not below `wd`. */
static size_t lower_bound(const struct Watch *watch, int wd) {
        size_t low = 0, high = watch->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (watch->watched[middle].wd < wd)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static struct Watched *find(const struct Watch *watch, int wd) {
        size_t at = lower_bound(watch, wd);

        return at < watch->n && watch->watched[at].wd == wd ? &watch->watched[at] : NULL;
}

/* Takes `item.path`. One that is known by another path was renamed since: this is what it is now.
 */
static int remember(struct Watch *watch, struct Watched item) {
        struct Watched *known = find(watch, item.wd);
        size_t at = lower_bound(watch, item.wd);

        if (!item.path)
                return -ENOMEM;
        if (known) {
                free(known->path);
                *known = item;
                return 0;
        }
        if (watch->n == watch->allocated) {
                size_t allocated = watch->allocated > 0 ? watch->allocated * 2 : 64;
                struct Watched *watched = reallocarray(watch->watched, allocated, sizeof *watched);
                if (!watched) {
                        free(item.path);
                        return -ENOMEM;
                }
                watch->watched = watched;
                watch->allocated = allocated;
        }
        memmove(&watch->watched[at + 1], &watch->watched[at],
                (watch->n - at) * sizeof *watch->watched);
        watch->watched[at] = item;
        watch->n++;
        return 0;
}

static void forget(struct Watch *watch, struct Watched *item) {
        size_t at = (size_t) (item - watch->watched);

        free(item->path);
        watch->n--;
        memmove(item, item + 1, (watch->n - at) * sizeof *item);
}

/* A directory that is somewhere else now, or out of our sight. */
static void forget_below(struct Watch *watch, const char *source, const char *path) {
        size_t kept = 0;

        for (size_t i = 0; i < watch->n; i++) {
                struct Watched *item = &watch->watched[i];

                if (item->source == source && changes_cover(path, item->path)) {
                        (void) inotify_rm_watch(watch->fd, item->wd);
                        free(item->path);
                } else
                        watch->watched[kept++] = *item;
        }
        watch->n = kept;
}

/* The directory that is open, whatever its path leads to by now. */
static int watch_directory(struct Watch *watch, int dir_fd, const char *source, const char *path) {
        char link[sizeof "/proc/self/fd/" + 3 * sizeof dir_fd];
        struct stat status;
        int wd;

        (void) snprintf(link, sizeof link, "/proc/self/fd/%d", dir_fd);
        wd = inotify_add_watch(watch->fd, link, MASK);
        if (wd < 0 || fstat(dir_fd, &status) < 0)
                return -errno;
        return remember(
                watch, (struct Watched){ wd, source, strdup(path), status.st_dev, status.st_ino });
}

/* Of a source. */

struct Tree {
        struct Watch *watch;
        const char *source;
};

static int meet_directory(const char *path, int dir_fd, void *userdata) {
        const struct Tree *tree = userdata;

        return watch_directory(tree->watch, dir_fd, tree->source, path);
}

static int meet_file(const struct SourceFile *file, void *userdata) {
        (void) file;
        (void) userdata;
        return 0;
}

/* The ingest tells it. */
static int meet_problem(const struct SourceProblem *problem, void *userdata) {
        (void) problem;
        (void) userdata;
        return 0;
}

static int watch_tree(struct Watch *watch, const char *source, const char *path,
        const struct Operation *operation) {
        struct Tree tree = { watch, source };
        const struct SourceVisitor visitor = { .file = meet_file,
                .problem = meet_problem,
                .directory = meet_directory,
                .userdata = &tree };
        _cleanup_source_ struct Source *opened = NULL;
        char directory[PATH_MAX];
        int r;

        if (snprintf(directory, sizeof directory, "%s/%s", watch->layout->sources, source) >=
                (int) sizeof directory)
                return -ENAMETOOLONG;
        r = source_open(directory, path, &opened);
        if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
                return r;
        /* Gone again, or nothing that can be read: the ingest tells what it is. */
        return r < 0 ? 0 : source_walk(opened, operation, &visitor);
}

/* Where sources and database hang: the root, sources/, and the directory that data/db is in. */
static const char *const hanging[] = { "sources", "data", "db" };

static bool is_hanging(const char *name) {
        for (size_t i = 0; i < sizeof hanging / sizeof hanging[0]; i++)
                if (strcmp(name, hanging[i]) == 0)
                        return true;
        for (const char *const *source = layout_source_names; *source; source++)
                if (strcmp(name, *source) == 0)
                        return true;
        return false;
}

static int watch_place(struct Watch *watch, const char *path, size_t length) {
        _cleanup_free_ char *copy = strndup(path, length);
        _cleanup_close_ int fd = -1;

        if (!copy)
                return -ENOMEM;
        fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == EMFILE || errno == ENFILE ? -errno : 0;
        return watch_directory(watch, fd, NULL, copy);
}

static int begin(struct Watch *watch, const struct Operation *operation) {
        const struct Layout *layout = watch->layout;
        const char *database_dir = layout->database_dir;
        int r;

        watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (watch->fd < 0)
                return -errno;
        r = watch_place(watch, layout->root, strlen(layout->root));
        if (r >= 0)
                r = watch_place(watch, layout->sources, strlen(layout->sources));
        if (r >= 0)
                r = watch_place(
                        watch, database_dir, (size_t) (strrchr(database_dir, '/') - database_dir));
        for (const char *const *source = layout_source_names; *source && r >= 0; source++)
                r = watch_tree(watch, *source, "", operation);
        return r;
}

int watch_begin(struct Watch *watch, const struct Operation *operation, struct Failure *failure) {
        const char *sources = watch->layout->sources;
        size_t n;
        int r;

        /* All of them first: two for each directory could be more than the kernel gives. */
        forget_all(watch);
        r = begin(watch, operation);
        if (r >= 0)
                return 0;
        n = watch_count(watch);
        forget_all(watch);
        switch (-r) {
        case ENOMEM:
                return failure_out_of_memory(failure);
        case EINTR:
                return operation_check(operation, failure);
        case ENOSPC:
                return failure_set(failure, EVENT_WATCH_LIMITED, ENOSPC, sources,
                        "%s has more directories than the kernel lets this user watch, which is "
                        "%zu; raise fs.inotify.max_user_watches with sysctl(8)",
                        sources, n);
        case EMFILE:
                return failure_set(failure, EVENT_WATCH_LIMITED, EMFILE, sources,
                        "%s cannot be watched: this user watches as much as the kernel lets him; "
                        "raise fs.inotify.max_user_instances with sysctl(8)",
                        sources);
        default:
                return failure_set_read(failure, -r, sources, "watch");
        }
}

/* Events. */

/* A name in a directory of a source. */
static void take_name(struct Watch *watch, const struct Watched *in,
        const struct inotify_event *event, struct Changes *changes, uint64_t now_ms) {
        const char *source = in->source, *name = event->name;
        bool is_directory = event->mask & IN_ISDIR;
        _cleanup_free_ char *path = NULL;
        int r = 0;

        if (!source_concerns(name, is_directory))
                return;
        /* What no walk would enter: the directory that it is in tells what is wrong. */
        if (!utf8_is_valid(name, strlen(name))) {
                changes_add(changes, source, in->path, now_ms);
                return;
        }
        if (asprintf(&path, "%s%s%s", in->path, in->path[0] != '\0' ? "/" : "", name) < 0) {
                path = NULL;
                changes_add_everything(changes, now_ms);
                return;
        }
        /* `in` may not be there any more from here on. */
        if (is_directory && (event->mask & IN_MOVED_FROM))
                forget_below(watch, source, path);
        if (is_directory && (event->mask & (IN_CREATE | IN_MOVED_TO | IN_ATTRIB)))
                r = watch_tree(watch, source, path, NULL);
        if (r < 0)
                changes_add_everything(changes, now_ms); /* beginning anew tells what it is */
        else
                changes_add(changes, source, path, now_ms);
}

static void take_event(struct Watch *watch, const struct inotify_event *event,
        struct Changes *changes, uint64_t now_ms) {
        struct Watched *watched = find(watch, event->wd);

        if (!watched)
                return; /* what was said of it before it was forgotten */
        if (event->mask & IN_UNMOUNT)
                changes_add_everything(changes, now_ms);
        else if (event->mask & IN_IGNORED)
                forget(watch, watched);
        else if (event->mask & OF_ITSELF) {
                /* The directory that others are in tells where they went. */
                if (!watched->source || watched->path[0] == '\0')
                        changes_add_everything(changes, now_ms);
        } else if (event->len == 0)
                return; /* of the directory itself; the one that it is in tells it too */
        else if (watched->source)
                take_name(watch, watched, event, changes, now_ms);
        else if (is_hanging(event->name))
                changes_add_everything(changes, now_ms);
}

bool watch_read(struct Watch *watch, struct Changes *changes, uint64_t now_ms) {
        char buffer[EVENTS_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
        bool lost = false;

        for (int i = 0; i < READS_MAX && watch->fd >= 0; i++) {
                ssize_t n = read(watch->fd, buffer, sizeof buffer);

                if (n <= 0)
                        break;
                for (const char *at = buffer; at < buffer + n;) {
                        const struct inotify_event *event = (const void *) at;

                        lost = lost || (event->mask & IN_Q_OVERFLOW);
                        if (event->mask & IN_Q_OVERFLOW)
                                changes_add_everything(changes, now_ms);
                        else if (!changes->everything) /* else all begins anew */
                                take_event(watch, event, changes, now_ms);
                        at += sizeof *event + event->len;
                }
        }
        return lost;
}

/* Mounts. */

static bool is_another(const struct Watch *watch, const struct Watched *item) {
        char path[PATH_MAX];
        struct stat status;
        int n = item->source ? snprintf(path, sizeof path, "%s/%s/%s", watch->layout->sources,
                                       item->source, item->path)
                             : snprintf(path, sizeof path, "%s", item->path);

        return n < (int) sizeof path &&
                (stat(path, &status) < 0 || status.st_dev != item->device ||
                        status.st_ino != item->inode);
}

void watch_look_at_mounts(struct Watch *watch, struct Changes *changes, uint64_t now_ms) {
        for (size_t i = 0; i < watch->n; i++)
                if (is_another(watch, &watch->watched[i])) {
                        changes_add_everything(changes, now_ms);
                        return;
                }
}
