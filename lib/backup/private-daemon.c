/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/private-daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/backup/private-environment.h"
#include "lib/base/file-io.h"

#define DAEMON_NAME   "atocored"
#define SOCKET_NAME   "proof.sock"
#define NOTIFY_NAME   "notify.sock"
#define CONFIG_NAME   "atocore.conf"
#define DIRECTORY     "proof-XXXXXX"
#define ELSEWHERE     "/tmp"
#define LONGEST       ("/" DIRECTORY "/" NOTIFY_NAME)
#define STATUS_NOEXEC 127 /* as of a shell */
#define SLICE_MS      100 /* how long a signal may go unnoticed that came between two waits */
#define DYING_MS      500 /* from the end of its connections to that of the process */
#define READY         "READY=1"
#define SAID_MAX      4096 /* bytes at the end of what it said */

struct PrivateDaemon {
        char *directory; /* with the sockets and an empty configuration; NULL: none yet */
        char *socket;
        char *notify;
        int notify_fd; /* -1 once it is ready */
        int said;      /* its stderr, in memory; -1 where there is none */
        pid_t pid;     /* 0: not started, or gone */
        int pidfd;
        uint64_t stop_ms;
};

/* What it needs on disk. */

static int make_path(char **ret_path, const char *directory, const char *name) {
        if (asprintf(ret_path, "%s/%s", directory, name) >= 0)
                return 0;
        *ret_path = NULL;
        return -ENOMEM;
}

/* In data/tmp; where a socket there would have too long a name, or there is no such directory, with
 * the temporary files of the machine. A crash leaves it behind, and nothing in it that matters:
 * private_daemon_remove_abandoned() removes it from data/tmp. */
static int make_directory(
        struct PrivateDaemon *daemon, const struct Layout *layout, struct Failure *failure) {
        const size_t most = sizeof((struct sockaddr_un *) NULL)->sun_path;
        bool fits = strlen(layout->tmp) + strlen(LONGEST) < most;
        _cleanup_free_ char *path = NULL;

        if (make_path(&path,
                    fits && access(layout->tmp, W_OK | X_OK) >= 0 ? layout->tmp : ELSEWHERE,
                    DIRECTORY) < 0)
                return failure_out_of_memory(failure);
        if (!mkdtemp(path)) /* 0700 */
                return failure_set_write(failure, errno, path, "create");
        daemon->directory = STEAL(path);
        if (make_path(&daemon->socket, daemon->directory, SOCKET_NAME) < 0 ||
                make_path(&daemon->notify, daemon->directory, NOTIFY_NAME) < 0)
                return failure_out_of_memory(failure);
        return 0;
}

static int listen_for_ready(struct PrivateDaemon *daemon, struct Failure *failure) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void) strncpy(address.sun_path, daemon->notify, sizeof address.sun_path - 1);
        daemon->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (daemon->notify_fd < 0 ||
                bind(daemon->notify_fd, (const struct sockaddr *) &address, sizeof address) < 0)
                return failure_set_write(failure, errno, daemon->notify, "listen on");
        return 0;
}

/* The program. */

/* `directory` is that of our own program; NULL: `name` is the whole path. */
static bool find_in(const char *directory, const char *name, char **ret_path) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s%s", directory ? directory : "", name) < 0) {
                path = NULL;
                return false;
        }
        if (access(path, X_OK) < 0)
                return false;
        *ret_path = STEAL(path);
        return true;
}

static int find_program(char **ret_program, struct Failure *failure) {
        const char *named = getenv(PRIVATE_DAEMON_VARIABLE);
        char own[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
        char *slash;

        if (named) {
                *ret_program = strdup(named);
                return *ret_program ? 0 : failure_out_of_memory(failure);
        }
        own[n > 0 ? n : 0] = '\0';
        slash = strrchr(own, '/');
        if (slash) {
                *slash = '\0';
                if (find_in(own, "/" DAEMON_NAME, ret_program) ||
                        find_in(own, "/../sbin/" DAEMON_NAME, ret_program))
                        return 0;
        }
        if (find_in(NULL, ATOCORE_DAEMON_PATH, ret_program))
                return 0;
        return failure_set(failure, EVENT_PROOF_FAILED, ENOENT, ATOCORE_DAEMON_PATH,
                "Cannot prove anything: there is no " DAEMON_NAME
                " beside this program or at %s; install it, or name it in " PRIVATE_DAEMON_VARIABLE,
                ATOCORE_DAEMON_PATH);
}

/* Between fork and exec there is nothing but system calls: another thread may hold any lock. */
static _Noreturn void become_daemon(const char *program, char *const argv[], char *const envp[],
        pid_t parent, int said, int lock_fd) {
        const struct sigaction by_default = { .sa_handler = SIG_DFL };
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        sigset_t none;

        /* Whoever started us may have died before the kernel knew that we want to follow. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                _exit(STATUS_NOEXEC);
        (void) setpgid(0, 0); /* ^C is for the parent, which ends us in its own time */
        for (int signal = 1; signal < NSIG; signal++)
                (void) sigaction(signal, &by_default, NULL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);

        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
                dup2(said >= 0 ? said : null, STDERR_FILENO) < 0)
                _exit(STATUS_NOEXEC);
        if (lock_fd >= 0 && fcntl(lock_fd, F_SETFD, 0) < 0)
                _exit(STATUS_NOEXEC);
        (void) execve(program, argv, envp);
        _exit(STATUS_NOEXEC);
}

static int start(struct PrivateDaemon *daemon, const struct Layout *layout, int lock_fd,
        struct Failure *failure) {
        _cleanup_environment_ char **environment = NULL;
        _cleanup_free_ char *program = NULL, *config = NULL, *listen = NULL;
        pid_t parent = getpid(), pid;
        sigset_t all, before;
        int r, error;

        r = find_program(&program, failure);
        if (r < 0)
                return r;
        environment = private_environment(daemon->notify, lock_fd);
        if (!environment || make_path(&config, daemon->directory, CONFIG_NAME) < 0)
                return failure_out_of_memory(failure);
        if (asprintf(&listen, "unix:%s", daemon->socket) < 0) {
                listen = NULL;
                return failure_out_of_memory(failure);
        }
        /* An empty one: what is proved is the data. The configuration of this machine is either
         * fine, and says nothing that matters here, or must not be in the way. */
        r = write_new_file_at(AT_FDCWD, config, "", 0);
        if (r < 0)
                return failure_set_write(failure, -r, config, "create");

        const char *const argv[] = { program, "--root", layout->root, "--config", config,
                "--listen", listen, "--quiet", NULL };
        daemon->said = memfd_create("said", MFD_CLOEXEC); /* at worst nothing is kept */
        /* Until the child has left our handlers behind, a signal to it would end in them. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        pid = fork();
        if (pid == 0)
                become_daemon(
                        program, (char *const *) argv, environment, parent, daemon->said, lock_fd);
        error = errno;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return failure_set(failure, EVENT_PROOF_FAILED, error, program,
                        "Cannot start %s: %m; check the limits of processes and memory", program);
        daemon->pid = pid;
        daemon->pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        if (daemon->pidfd < 0)
                return failure_set(failure, EVENT_PROOF_FAILED, errno, program,
                        "Cannot watch %s: %m; a kernel of 5.3 or later is needed", program);
        return 0;
}

/* How it ended. */

/* False: it did not end within `ms`. */
static bool wait_for_end(const struct PrivateDaemon *daemon, uint64_t ms) {
        const uint64_t deadline = monotonic_ms() + ms;
        struct pollfd end = { .fd = daemon->pidfd, .events = POLLIN };

        for (;;) {
                uint64_t now = monotonic_ms();
                int left = now >= deadline ? 0 : (int) (deadline - now);
                int n = poll(&end, 1, left);

                if (n > 0)
                        return true;
                if (n == 0 || errno != EINTR)
                        return false;
        }
}

/* The last line of what it said; "" where it said nothing. */
static void read_last_line(const struct PrivateDaemon *daemon, char ret_line[SAID_MAX]) {
        char said[SAID_MAX];
        off_t size = daemon->said >= 0 ? lseek(daemon->said, 0, SEEK_END) : -1;
        off_t from = size > SAID_MAX - 1 ? size - (SAID_MAX - 1) : 0;
        ssize_t n = size > 0 ? pread(daemon->said, said, sizeof said - 1, from) : 0;
        const char *line;

        while (n > 0 && said[n - 1] == '\n')
                n--;
        said[n > 0 ? n : 0] = '\0';
        line = strrchr(said, '\n');
        line = line ? line + 1 : said;
        memcpy(ret_line, line, strlen(line) + 1);
}

char *private_daemon_end(struct PrivateDaemon *daemon) {
        char line[SAID_MAX], *text = NULL;
        siginfo_t info = { 0 };
        int length;

        if (!wait_for_end(daemon, DYING_MS))
                return NULL;
        read_last_line(daemon, line);
        /* It stays a zombie: its number, and that of its group, is no other's before stop(). */
        if (waitid(P_PID, (id_t) daemon->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
                length = asprintf(&text, "it ended"); /* SIGCHLD is ignored: nobody knows how */
        else if (info.si_code != CLD_EXITED)
                length = asprintf(&text, "it was killed by signal %d (SIG%s)", info.si_status,
                        sigabbrev_np(info.si_status) ? sigabbrev_np(info.si_status) : "?");
        else if (info.si_status == STATUS_NOEXEC)
                length = asprintf(&text, "it could not be executed");
        else
                length = asprintf(&text, "it ended with status %d%s%s", info.si_status,
                        line[0] ? ": " : "", line);
        return length < 0 ? NULL : text;
}

/* Waiting until it serves. */

/* Takes what it tells its manager; true once that it is ready. */
static bool is_ready(const struct PrivateDaemon *daemon) {
        char text[4096];

        for (;;) {
                ssize_t n = recv(daemon->notify_fd, text, sizeof text - 1, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return false;
                text[n] = '\0';
                for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
                        if (strcmp(line, READY) == 0)
                                return true;
        }
}

static int not_ready(struct PrivateDaemon *daemon, const struct Layout *layout, uint64_t ready_ms,
        struct Failure *failure) {
        _cleanup_free_ char *end = private_daemon_end(daemon);

        if (end)
                return failure_set(failure, EVENT_PROOF_FAILED, ENOTCONN, layout->root,
                        "The private " DAEMON_NAME
                        " on %s was to serve, but %s; validate the snapshot that the data is of",
                        layout->root, end);
        return failure_set(failure, EVENT_PROOF_FAILED, ETIMEDOUT, layout->root,
                "The private " DAEMON_NAME " on %s was to serve within %" PRIu64
                " ms, and does not; see what keeps the disk busy, and start again",
                layout->root, ready_ms);
}

static int wait_until_ready(struct PrivateDaemon *daemon, const struct Operation *operation,
        const struct Layout *layout, uint64_t ready_ms, struct Failure *failure) {
        const uint64_t deadline = monotonic_ms() + ready_ms;
        struct pollfd news[] = {
                { .fd = daemon->notify_fd, .events = POLLIN },
                { .fd = daemon->pidfd, .events = POLLIN },
        };

        for (;;) {
                int r = operation_check(operation, failure);

                if (r < 0)
                        return r;
                if (is_ready(daemon))
                        break;
                if (news[1].revents != 0 || monotonic_ms() >= deadline)
                        return not_ready(daemon, layout, ready_ms, failure);
                if (poll(news, 2, SLICE_MS) < 0)
                        news[1].revents = 0; /* a signal: looked at above */
        }
        /* It goes on telling. Who reads nothing has to close, or it would wait for us one day. */
        (void) close(daemon->notify_fd);
        daemon->notify_fd = -1;
        return 0;
}

int private_daemon_start(const struct Operation *operation, const struct Layout *layout,
        const struct PrivateDaemonOptions *options, struct PrivateDaemon **ret_daemon,
        struct Failure *failure) {
        _cleanup_private_daemon_ struct PrivateDaemon *daemon = calloc(1, sizeof *daemon);
        int r;

        if (!daemon)
                return failure_out_of_memory(failure);
        *daemon = (struct PrivateDaemon){ .notify_fd = -1,
                .said = -1,
                .pidfd = -1,
                .stop_ms = options->stop_ms > 0 ? options->stop_ms : PRIVATE_DAEMON_STOP_MS };
        r = make_directory(daemon, layout, failure);
        if (r >= 0)
                r = listen_for_ready(daemon, failure);
        if (r >= 0)
                r = start(daemon, layout, options->store_lock_fd, failure);
        if (r >= 0)
                r = wait_until_ready(daemon, operation, layout,
                        options->ready_ms > 0 ? options->ready_ms : PRIVATE_DAEMON_READY_MS,
                        failure);
        if (r < 0)
                return r;
        *ret_daemon = STEAL(daemon);
        return 0;
}

const char *private_daemon_socket(const struct PrivateDaemon *daemon) {
        return daemon->socket;
}

/* Stopping. */

/* While nobody has waited for it, its number is no other's, nor that of its group. (Where SIGCHLD
 * is ignored, the kernel has: then there is nothing to be done here.) */
static bool is_ours(const struct PrivateDaemon *daemon) {
        siginfo_t info;

        return waitid(P_PID, (id_t) daemon->pid, &info, WEXITED | WNOHANG | WNOWAIT) >= 0;
}

static void end_process(struct PrivateDaemon *daemon) {
        if (is_ours(daemon) && daemon->pidfd >= 0) {
                (void) kill(daemon->pid, SIGTERM);
                (void) wait_for_end(daemon, daemon->stop_ms);
        }
        if (is_ours(daemon)) {
                (void) kill(daemon->pid, SIGKILL);
                (void) kill(-daemon->pid, SIGKILL); /* and what it has started */
        }
        while (waitpid(daemon->pid, NULL, 0) < 0 && errno == EINTR)
                continue;
        daemon->pid = 0;
}

struct PrivateDaemon *private_daemon_stop(struct PrivateDaemon *daemon) {
        if (!daemon)
                return NULL;
        if (daemon->pid > 0)
                end_process(daemon);
        cleanup_close(&daemon->notify_fd);
        cleanup_close(&daemon->said);
        cleanup_close(&daemon->pidfd);
        if (daemon->directory)
                (void) remove_tree_at(AT_FDCWD, daemon->directory);
        free(daemon->directory);
        free(daemon->socket);
        free(daemon->notify);
        free(daemon);
        return NULL;
}

/* What a crash left. */

int private_daemon_remove_abandoned(const struct Layout *layout, struct Failure *failure) {
        _cleanup_closedir_ DIR *stream = opendir(layout->tmp);
        const size_t prefix = strcspn(DIRECTORY, "X");
        struct dirent *entry;

        if (!stream)
                return errno == ENOENT || errno == ENOTDIR
                        ? 0
                        : failure_set_read(failure, errno, layout->tmp, "open");
        while (errno = 0, (entry = readdir(stream))) {
                int r;

                if (strncmp(entry->d_name, DIRECTORY, prefix) != 0 ||
                        strlen(entry->d_name) != strlen(DIRECTORY))
                        continue;
                r = remove_tree_at(dirfd(stream), entry->d_name);
                if (r < 0)
                        return failure_set_write_at(
                                failure, -r, layout->tmp, entry->d_name, "remove");
        }
        return errno != 0 ? failure_set_read(failure, errno, layout->tmp, "list") : 0;
}
