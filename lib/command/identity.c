/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/command/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#define UMASK 0027

/* Through a descriptor: what is looked at is what was found to be a directory. */
static int stat_root(
        const struct Layout *layout, struct stat *ret_status, struct Failure *failure) {
        _cleanup_close_ int fd = open(layout->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return failure_set(failure, EVENT_STORAGE_ROOT_MISSING, errno, layout->root,
                        "There is no storage root at %s: %m; mount or create it, or name another "
                        "with --root or root= in the configuration",
                        layout->root);
        if (fd < 0 || fstat(fd, ret_status) < 0)
                return failure_set_read(failure, errno, layout->root, "open the storage root");
        return 0;
}

/* The groups first: once the user is changed there is no right left to change them. */
static int become(uid_t uid, gid_t gid) {
        const struct passwd *user;

        errno = 0;
        user = getpwuid(uid);
        if (user) {
                gid = user->pw_gid;
                if (initgroups(user->pw_name, gid) < 0)
                        return -errno;
        } else if (errno == EIO || errno == EMFILE || errno == ENFILE || errno == ENOMEM)
                return -errno; /* who has no entry has no further groups; here it is unknown */
        else if (setgroups(1, &gid) < 0)
                return -errno;

        if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;

        /* Capabilities could outlast root (SECBIT_NO_SETUID_FIXUP). */
        if (setresuid((uid_t) -1, 0, (uid_t) -1) == 0 || setresgid((gid_t) -1, 0, (gid_t) -1) == 0)
                return -ENOTRECOVERABLE;
        return 0;
}

int command_assume_identity(const struct Layout *layout, struct Failure *failure) {
        struct stat status;
        int r;

        (void) umask(UMASK);
        r = stat_root(layout, &status, failure);
        if (r < 0)
                return r;
        if (geteuid() != 0 || status.st_uid == 0)
                return 0;

        r = become(status.st_uid, status.st_gid);
        if (r < 0)
                return failure_set(failure, EVENT_PERMISSION_DENIED, -r, layout->root,
                        "Cannot become user %u, the owner of storage root %s: %m; start the "
                        "program as that user",
                        (unsigned) status.st_uid, layout->root);
        return 0;
}
