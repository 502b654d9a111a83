/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/file-io.h"

#define FILES_MAX 64 /* descriptors */

/* What a program needs to be started, to read, to compute and to write, on any architecture. What
 * is not here does not exist for it (ENOSYS): the C library then does without what is newer than
 * this list, as on an older kernel. */
static const char *const permitted[] = {
        "_llseek",
        "access",
        "arch_prctl",
        "brk",
        "cacheflush",
        "clock_getres",
        "clock_getres_time64",
        "clock_gettime",
        "clock_gettime64",
        "clock_nanosleep",
        "clock_nanosleep_time64",
        "close",
        "close_range",
        "dup",
        "dup2",
        "dup3",
        "epoll_create",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_wait",
        "eventfd2",
        "execve",
        "exit",
        "exit_group",
        "faccessat",
        "faccessat2",
        "fadvise64",
        "fadvise64_64",
        "fcntl",
        "fcntl64",
        "fstat",
        "fstat64",
        "fstatat64",
        "fstatfs",
        "fstatfs64",
        "futex",
        "futex_time64",
        "get_robust_list",
        "getcwd",
        "getdents",
        "getdents64",
        "getegid",
        "getegid32",
        "geteuid",
        "geteuid32",
        "getgid",
        "getgid32",
        "getgroups",
        "getgroups32",
        "getpgrp",
        "getpid",
        "getppid",
        "getrandom",
        "getresgid",
        "getresgid32",
        "getresuid",
        "getresuid32",
        "getrlimit",
        "getrusage",
        "gettid",
        "gettimeofday",
        "getuid",
        "getuid32",
        "lseek",
        "lstat",
        "lstat64",
        "madvise",
        "membarrier",
        "mmap",
        "mmap2",
        "mprotect",
        "mremap",
        "munmap",
        "nanosleep",
        "newfstatat",
        "pipe",
        "pipe2",
        "poll",
        "ppoll",
        "ppoll_time64",
        "pread64",
        "preadv",
        "preadv2",
        "pselect6",
        "pselect6_time64",
        "pwrite64",
        "pwritev",
        "read",
        "readlink",
        "readlinkat",
        "readv",
        "restart_syscall",
        "riscv_flush_icache",
        "rseq",
        "rt_sigaction",
        "rt_sigpending",
        "rt_sigprocmask",
        "rt_sigreturn",
        "rt_sigsuspend",
        "rt_sigtimedwait",
        "sched_getaffinity",
        "sched_yield",
        "select",
        "set_robust_list",
        "set_thread_area",
        "set_tid_address",
        "set_tls",
        "setitimer",
        "sigaltstack",
        "sigreturn",
        "stat",
        "stat64",
        "statfs",
        "statfs64",
        "statx",
        "sysinfo",
        "time",
        "timer_create",
        "timer_delete",
        "timer_settime",
        "timer_settime64",
        "timerfd_create",
        "timerfd_settime",
        "timerfd_settime64",
        "times",
        "ugetrlimit",
        "umask",
        "uname",
        "write",
        "writev",
};

/* Where programs, libraries and their data lie. */
static const char *const readable[] = { "/usr", "/bin", "/lib", "/lib32", "/lib64",
        "/etc/ld.so.cache", "/etc/localtime", "/dev/null" };

#define LANDLOCK_DIRECTORIES                                                                       \
        (LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |                             \
                LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                    \
                LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                        \
                LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                      \
                LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define LANDLOCK_FILES                                                                             \
        (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

struct Confinement {
        struct ConfinementLimits limits;
        struct sock_filter *filter;
        size_t n_filter;
        int landlock_fd; /* -1: the kernel has none */
};

static void release(scmp_filter_ctx *context) {
        if (*context)
                seccomp_release(*context);
}

/* Those that an argument decides. */
static int permit_some(scmp_filter_ctx context) {
        const scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC;
        const struct {
                int number;
                struct scmp_arg_cmp when;
        } rules[] = {
                { SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, writing, O_RDONLY) },
                { SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, writing, O_RDONLY) },
#ifdef __s390x__
                { SCMP_SYS(clone), SCMP_A1(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD) },
#else
                { SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD) },
#endif
                { SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0) },
                { SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME) },
                { SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, TCGETS) },
                { SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONREAD) },
        };

        for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
                int r = seccomp_rule_add_array(
                        context, SCMP_ACT_ALLOW, rules[i].number, 1, &rules[i].when);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int permit(scmp_filter_ctx context) {
        for (size_t i = 0; i < sizeof permitted / sizeof permitted[0]; i++) {
                int number = seccomp_syscall_resolve_name(permitted[i]);
                int r;

                if (number == __NR_SCMP_ERROR) /* newer than this libseccomp */
                        continue;
                r = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, number, 0, NULL);
                if (r < 0)
                        return r;
        }
        return permit_some(context);
}

/* Ready to be used after fork(), where nothing can be allocated: libseccomp gives a program for the
 * kernel only through a descriptor. */
static int compile(struct Confinement *confinement) {
        scmp_filter_ctx context _cleanup_(release) = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
        _cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
        struct stat status;
        ssize_t n;
        int r;

        if (!context)
                return -ENOMEM;
        if (fd < 0)
                return -errno;
        r = permit(context);
        if (r >= 0)
                r = seccomp_export_bpf(context, fd);
        if (r < 0)
                return r;
        if (fstat(fd, &status) < 0)
                return -errno;
        confinement->filter = malloc((size_t) status.st_size);
        if (!confinement->filter)
                return -ENOMEM;
        n = read_all_at(fd, confinement->filter, (size_t) status.st_size, 0);
        if (n < 0)
                return (int) n;
        confinement->n_filter = (size_t) n / sizeof *confinement->filter;
        return confinement->n_filter <= UINT16_MAX ? 0 : -E2BIG;
}

static int let_read(int landlock_fd, const char *path) {
        struct landlock_path_beneath_attr rule = {
                .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE,
        };
        struct stat status;

        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || fstat(fd, &status) < 0)
                return -errno;
        if (S_ISDIR(status.st_mode))
                rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
        rule.parent_fd = fd;
        return syscall(SYS_landlock_add_rule, landlock_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
                ? -errno
                : 0;
}

/* Landlock since Linux 5.13; what later versions know of is refused by the filter anyway. */
static int restrict_files(struct Confinement *confinement, const char *program) {
        const struct landlock_ruleset_attr ruleset = {
                .handled_access_fs = LANDLOCK_DIRECTORIES | LANDLOCK_FILES,
        };
        int r;

        confinement->landlock_fd =
                (int) syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, 0);
        /* Not in this kernel, not switched on, not permitted to us: then without. */
        if (confinement->landlock_fd < 0)
                return errno == ENOMEM ? -errno : 0;
        for (size_t i = 0; i < sizeof readable / sizeof readable[0]; i++) {
                r = let_read(confinement->landlock_fd, readable[i]);
                if (r < 0)
                        return r;
        }
        return let_read(confinement->landlock_fd, program);
}

int confinement_new(const char *program, const struct ConfinementLimits *limits,
        struct Confinement **ret_confinement) {
        _cleanup_confinement_ struct Confinement *confinement = calloc(1, sizeof *confinement);
        int r;

        if (!confinement)
                return -ENOMEM;
        confinement->limits = *limits;
        confinement->landlock_fd = -1;
        r = compile(confinement);
        if (r < 0)
                return r;
        r = restrict_files(confinement, program);
        if (r < 0)
                return r;
        *ret_confinement = STEAL(confinement);
        return 0;
}

struct Confinement *confinement_free(struct Confinement *confinement) {
        if (!confinement)
                return NULL;
        cleanup_close(&confinement->landlock_fd);
        free(confinement->filter);
        free(confinement);
        return NULL;
}

static bool limit(__rlimit_resource_t resource, uint64_t soft, uint64_t hard) {
        const struct rlimit value = { .rlim_cur = soft, .rlim_max = hard };

        return setrlimit(resource, &value) == 0;
}

int confinement_enter(const struct Confinement *confinement) {
        const struct ConfinementLimits *limits = &confinement->limits;
        const struct sock_fprog program = {
                .len = (unsigned short) confinement->n_filter,
                .filter = confinement->filter,
        };

        if (!limit(RLIMIT_CPU, limits->cpu_seconds, limits->cpu_seconds + 1) ||
                !limit(RLIMIT_DATA, limits->memory, limits->memory) ||
                !limit(RLIMIT_NOFILE, FILES_MAX, FILES_MAX) || !limit(RLIMIT_CORE, 0, 0) ||
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        if (confinement->landlock_fd >= 0 &&
                syscall(SYS_landlock_restrict_self, confinement->landlock_fd, 0) < 0)
                return -errno;
        /* Last: it permits none of the above. */
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
                return -errno;
        return 0;
}
