/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/base/stamp.h"

#define WORDS_SIZE ((size_t) 8 << 10)
/* A signal that comes just before poll() is seen after that long. */
#define TICK_MS 200
/* What is asked to stop removes locks and half files on the other side. */
#define GRACE_MS 10000

struct Subprocess {
        const struct Operation *operation;
        char *program;
        pid_t pid; /* and its group; 0: reaped */
        int pid_fd;
        bool confined;
        uint64_t deadline;                 /* 0: none */
        char *last_words;                  /* or NULL */
        int input_fd, output_fd, error_fd; /* -1: ended */
        bool ended;                        /* not reaped yet: its number is still its own */
        int status;
        char words[WORDS_SIZE];
        size_t n_words;
};

/* What the new process says about itself when it cannot become the program. */
struct Report {
        bool directory;
        bool unconfined;
        int error;
};

static bool names_same(const char *a, const char *b) {
        size_t length = strcspn(a, "=");

        return strncmp(a, b, length) == 0 && b[length] == '=';
}

static bool is_replaced(const char *variable, char *const *by) {
        for (; by && *by; by++)
                if (names_same(variable, *by))
                        return true;
        return false;
}

/* Ours with theirs; the strings stay where they are. NULL when memory ran out. */
static char **merge_environment(char *const *ours, char *const *theirs) {
        size_t n = 0, n_ours = 0, n_theirs = 0;
        char **merged;

        while (ours && ours[n_ours])
                n_ours++;
        while (theirs && theirs[n_theirs])
                n_theirs++;
        merged = calloc(n_ours + n_theirs + 1, sizeof *merged);
        for (size_t i = 0; merged && i < n_ours; i++)
                if (!is_replaced(ours[i], theirs))
                        merged[n++] = ours[i];
        for (size_t i = 0; merged && i < n_theirs; i++)
                if (!is_replaced(theirs[i], theirs + i + 1))
                        merged[n++] = theirs[i];
        return merged;
}

/* In the new process, between fork() and exec(): system calls only. */
__attribute__((noreturn)) static void become(const struct SubprocessCommand *command,
        char **environment, pid_t parent, int input, int output, int error, int report_fd) {
        struct Report report = { 0 };
        sigset_t none;

        /* A group of its own, to be killed as one, and no terminal to ask for passwords on. */
        (void) setsid();
        (void) prctl(PR_SET_PDEATHSIG, command->confinement ? SIGKILL : SIGINT);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        /* What we ignore or block it would too. */
        for (int number = 1; number < NSIG; number++)
                (void) signal(number, SIG_DFL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);

        if (input < 0)
                input = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (input >= 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
                dup2(error, STDERR_FILENO) >= 0) {
                int r = 0;

                report.directory = command->directory && chdir(command->directory) < 0;
                if (!report.directory && command->confinement)
                        r = confinement_enter(command->confinement);
                report.unconfined = r < 0;
                if (report.unconfined)
                        errno = -r;
                else if (!report.directory)
                        (void) execvpe(command->arguments[0],
                                (char *const *) (uintptr_t) command->arguments, environment);
        }
        report.error = errno;
        (void) !write(report_fd, &report, sizeof report);
        _exit(EXIT_FAILURE);
}

/* Nothing comes when the program runs: its end of the pipe closed with exec(). */
static struct Report read_report(int fd) {
        struct Report report = { 0 };
        ssize_t n;

        do
                n = read(fd, &report, sizeof report);
        while (n < 0 && errno == EINTR);
        if (n != 0 && n != (ssize_t) sizeof report)
                report = (struct Report){ .error = EIO };
        return report;
}

static int make_pipe(int pipe_fds[2]) {
        return pipe2(pipe_fds, O_CLOEXEC) < 0 ? -errno : 0;
}

static void close_pair(int (*fds)[2]) {
        cleanup_close(&(*fds)[0]);
        cleanup_close(&(*fds)[1]);
}

static int start(struct Subprocess *child, const struct SubprocessCommand *command,
        char **environment, struct Report *ret_report) {
        _cleanup_(close_pair) int input[2] = { -1, -1 }, output[2] = { -1, -1 },
                                  error[2] = { -1, -1 }, say[2] = { -1, -1 };
        pid_t parent = getpid();
        int r = 0;

        if (command->fed)
                r = make_pipe(input);
        if (r >= 0 && command->output == 0)
                r = make_pipe(output);
        if (r >= 0)
                r = make_pipe(error);
        if (r >= 0)
                r = make_pipe(say);
        if (r < 0)
                return r;
        child->pid = fork();
        if (child->pid == 0)
                become(command, environment, parent,
                        command->input != 0 ? command->input : input[0],
                        command->output != 0 ? command->output : output[1], error[1], say[1]);
        if (child->pid < 0) {
                child->pid = 0;
                return -errno;
        }
        child->pid_fd = pidfd_open(child->pid, 0);
        if (child->pid_fd < 0)
                return -errno;
        (void) close(STEAL_FD(say[1]));
        *ret_report = read_report(say[0]);
        if ((input[1] >= 0 && fcntl(input[1], F_SETFL, O_NONBLOCK) < 0) ||
                (output[0] >= 0 && fcntl(output[0], F_SETFL, O_NONBLOCK) < 0) ||
                fcntl(error[0], F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        child->input_fd = STEAL_FD(input[1]);
        child->output_fd = STEAL_FD(output[0]);
        child->error_fd = STEAL_FD(error[0]);
        return 0;
}

int subprocess_start(const struct Operation *operation, const struct SubprocessCommand *command,
        struct Subprocess **ret_child, struct Failure *failure) {
        _cleanup_subprocess_ struct Subprocess *child = calloc(1, sizeof *child);
        _cleanup_free_ char **environment =
                merge_environment(command->confinement ? NULL : environ, command->environment);
        const char *program = command->arguments[0];
        struct Report report = { 0 };
        int r;

        if (child)
                *child = (struct Subprocess){
                        .operation = operation,
                        .pid_fd = -1,
                        .confined = command->confinement != NULL,
                        .deadline = command->deadline,
                        .input_fd = -1,
                        .output_fd = -1,
                        .error_fd = -1,
                };
        if (!child || !environment || !(child->program = strdup(program)) ||
                (command->last_words && !(child->last_words = strdup(command->last_words))))
                return failure_out_of_memory(failure);
        r = start(child, command, environment, &report);
        if (r < 0)
                return failure_set_read(failure, -r, program, "run");
        if (report.error == 0) {
                *ret_child = STEAL(child);
                return 0;
        }
        if (report.directory)
                return failure_set_read(failure, report.error, command->directory, "enter");
        if (report.unconfined)
                return failure_set_read(failure, report.error, program, "confine");
        return report.error == ENOENT ? -ENOENT
                                      : failure_set_read(failure, report.error, program, "run");
}

/* The last WORDS_SIZE - 1 bytes of all that comes. */
static void keep_words(struct Subprocess *child, const char *text, size_t size) {
        const size_t room = WORDS_SIZE - 1;

        if (size > room) {
                text += size - room;
                size = room;
        }
        if (child->n_words + size > room) {
                size_t drop = child->n_words + size - room;

                memmove(child->words, child->words + drop, child->n_words - drop);
                child->n_words -= drop;
        }
        memcpy(child->words + child->n_words, text, size);
        child->n_words += size;
        child->words[child->n_words] = '\0';
}

/* What can be read without waiting; -EAGAIN when that is nothing. */
static ssize_t read_some(int *fd, void *buffer, size_t size) {
        ssize_t n;

        if (*fd < 0)
                return 0;
        do
                n = read(*fd, buffer, size);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (n == 0)
                (void) close(STEAL_FD(*fd));
        return n;
}

static int listen_to_words(struct Subprocess *child) {
        char text[1024];
        ssize_t n;

        while ((n = read_some(&child->error_fd, text, sizeof text)) > 0)
                keep_words(child, text, (size_t) n);
        return n == -EAGAIN ? 0 : (int) n;
}

/* Until something is there, it has ended, or a moment has passed; also, where `feeding`, until it
 * takes something. */
static int wait_a_moment(struct Subprocess *child, bool feeding) {
        struct pollfd fds[] = {
                { .fd = child->pid_fd, .events = POLLIN },
                { .fd = child->error_fd, .events = POLLIN },
                { .fd = child->output_fd, .events = POLLIN },
                { .fd = feeding ? child->input_fd : -1, .events = POLLOUT },
        };

        if (poll(fds, sizeof fds / sizeof fds[0], TICK_MS) < 0)
                return errno == EINTR ? 0 : -errno;
        child->ended = fds[0].revents != 0;
        return listen_to_words(child);
}

static void drop_output(struct Subprocess *child) {
        char text[4096];

        while (read_some(&child->output_fd, text, sizeof text) > 0)
                ;
}

/* It has ended: so do those that it left behind. */
static int reap(struct Subprocess *child) {
        siginfo_t info;
        int r;

        (void) kill(-child->pid, SIGKILL);
        (void) listen_to_words(child);
        do
                r = waitid(P_PID, (id_t) child->pid, &info, WEXITED);
        while (r < 0 && errno == EINTR);
        child->pid = 0;
        if (r < 0)
                return -errno;
        child->status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
        return 0;
}

static void stop(struct Subprocess *child) {
        uint64_t deadline = monotonic_ms() + GRACE_MS;

        if (child->pid == 0)
                return;
        (void) kill(child->pid, child->confined ? SIGKILL : SIGINT);
        while (!child->ended && child->pid_fd >= 0 && monotonic_ms() < deadline) {
                if (wait_a_moment(child, false) < 0)
                        break;
                drop_output(child);
        }
        (void) kill(-child->pid, SIGKILL);
        (void) reap(child);
}

/* A turn of the loops below; a cancelled operation and a deadline end it. */
static int turn(struct Subprocess *child, bool feeding, struct Failure *failure) {
        int r = operation_check(child->operation, failure);

        if (r < 0) {
                stop(child);
                return r;
        }
        if (child->deadline > 0 && monotonic_ms() >= child->deadline) {
                stop(child);
                return -ETIME;
        }
        r = wait_a_moment(child, feeding);
        if (r < 0)
                return failure_set_read(failure, -r, child->program, "read from");
        /* It ends like any that is killed, and its words tell why. */
        if (child->last_words && strstr(child->words, child->last_words))
                (void) kill(-child->pid, SIGKILL);
        return 0;
}

ssize_t subprocess_read(
        struct Subprocess *child, void *buffer, size_t size, struct Failure *failure) {
        for (;;) {
                bool ended = child->ended;
                ssize_t n = read_some(&child->output_fd, buffer, size);
                int r;

                if (n >= 0)
                        return n;
                if (n != -EAGAIN)
                        return failure_set_read(failure, (int) -n, child->program, "read from");
                /* Somebody else, left behind, still has the pipe. */
                if (ended)
                        return 0;
                r = turn(child, false, failure);
                if (r < 0)
                        return r;
        }
}

int subprocess_write(
        struct Subprocess *child, const void *data, size_t size, struct Failure *failure) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(child->input_fd, p, size); /* SIGPIPE is ignored */
                int r;

                if (n >= 0) {
                        p += n;
                        size -= (size_t) n;
                        continue;
                }
                if (errno == EPIPE)
                        return -EPIPE;
                if (errno != EAGAIN && errno != EINTR)
                        return failure_set_read(failure, errno, child->program, "write to");
                r = turn(child, true, failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

int subprocess_finish(struct Subprocess *child, int *ret_status, struct Failure *failure) {
        int r;

        if (child->input_fd >= 0)
                (void) close(STEAL_FD(child->input_fd));
        while (!child->ended) {
                r = turn(child, false, failure);
                if (r < 0)
                        return r;
                drop_output(child);
        }
        r = child->pid > 0 ? reap(child) : 0;
        if (r < 0)
                return failure_set_read(failure, -r, child->program, "wait for");
        *ret_status = child->status;
        return 0;
}

const char *subprocess_words(const struct Subprocess *child) {
        return child->words;
}

struct Subprocess *subprocess_free(struct Subprocess *child) {
        if (!child)
                return NULL;
        stop(child);
        cleanup_close(&child->input_fd);
        cleanup_close(&child->pid_fd);
        cleanup_close(&child->output_fd);
        cleanup_close(&child->error_fd);
        free(child->program);
        free(child->last_words);
        free(child);
        return NULL;
}
