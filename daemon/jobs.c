/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/jobs.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>

#define STACK_SIZE   (512u << 10) /* only what is touched takes memory */
#define IDLE_SECONDS 10

/* What all readers together keep in memory of the database. */
#define READ_CACHE (UINT64_C(32) << 20)

static const struct {
        unsigned max_threads;
        unsigned max_queued;
        enum SqliteMode store_mode;
        bool is_relieved;     /* by a helper, when its threads are held up */
        uint64_t cache_bytes; /* for all of its threads, without the helper */
} lanes[LANE_COUNT_] = {
        [LANE_STATE] = { 1, 128, SQLITE_MODE_READ },
        [LANE_READ] = { 4, 64, SQLITE_MODE_READ, true, READ_CACHE },
        [LANE_WRITE] = { 1, 64, SQLITE_MODE_WRITE },
        [LANE_ADMIN] = { 3, 8, SQLITE_MODE_READ },
};

struct LaneState {
        struct Jobs *jobs;
        struct Job *head;
        struct Job **tail;
        unsigned queued;
        unsigned threads, max_threads;
        unsigned idle; /* threads that wait for a job */
        unsigned running;
        bool has_helper; /* beside the threads */
        uint64_t taken;  /* jobs so far … */
        uint64_t before; /* … and when it was looked for those that are held up */
        pthread_cond_t wake;
};

struct Jobs {
        struct Daemon *daemon;
        int fd;
        pthread_attr_t attributes;

        pthread_mutex_t mutex; /* all below, and the lanes */
        struct LaneState lanes[LANE_COUNT_];
        struct Job *done;
        bool ending;
        unsigned threads;
        pthread_cond_t ended; /* a thread did */
        pthread_t last_ended; /* each that ends joins the one that ended before it */
        bool any_ended;
};

/* A question waits for little but a processor, and more readers than these would only share the
 * cache; a helper sees to it that a long question does not hold up all. But where servers are asked
 * for vectors, it is them that are waited for. For cold pages of the disk, and in GET /admin/backup
 * for the disk of the backups, a reader waits as well: those behind it then wait for the helper. */
static unsigned readers(const struct Daemon *daemon) {
        const unsigned max = lanes[LANE_READ].max_threads;
        cpu_set_t processors;
        unsigned n;

        if (daemon->vectors || sched_getaffinity(0, sizeof processors, &processors) < 0)
                return max;
        n = (unsigned) CPU_COUNT(&processors);
        return n < max ? n : max;
}

int jobs_new(struct Daemon *daemon, struct Jobs **ret_jobs) {
        _cleanup_close_ int fd = -1;
        pthread_condattr_t monotonic;
        struct Jobs *jobs;

        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        jobs = calloc(1, sizeof *jobs);
        if (!jobs)
                return -ENOMEM;
        jobs->daemon = daemon;
        jobs->fd = STEAL_FD(fd);

        /* As the threads will do when they end. glibc sets up its malloc in the first call, and
         * under a sanitizer, which has a malloc of its own, two of them could be the first. */
        (void) malloc_trim(0);
        (void) pthread_attr_init(&jobs->attributes);
        (void) pthread_attr_setstacksize(&jobs->attributes, STACK_SIZE);
        (void) pthread_mutex_init(&jobs->mutex, NULL);
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&jobs->ended, NULL);
        for (size_t i = 0; i < LANE_COUNT_; i++) {
                struct LaneState *lane = &jobs->lanes[i];

                lane->jobs = jobs;
                lane->tail = &lane->head;
                lane->max_threads = i == LANE_READ ? readers(daemon) : lanes[i].max_threads;
                (void) pthread_cond_init(&lane->wake, &monotonic);
        }
        (void) pthread_condattr_destroy(&monotonic);
        *ret_jobs = jobs;
        return 0;
}

struct Jobs *jobs_free(struct Jobs *jobs) {
        if (!jobs)
                return NULL;

        (void) pthread_mutex_lock(&jobs->mutex);
        jobs->ending = true;
        for (size_t i = 0; i < LANE_COUNT_; i++)
                (void) pthread_cond_broadcast(&jobs->lanes[i].wake);
        while (jobs->threads > 0)
                (void) pthread_cond_wait(&jobs->ended, &jobs->mutex);
        (void) pthread_mutex_unlock(&jobs->mutex);
        if (jobs->any_ended)
                (void) pthread_join(jobs->last_ended, NULL);

        for (size_t i = 0; i < LANE_COUNT_; i++)
                (void) pthread_cond_destroy(&jobs->lanes[i].wake);
        (void) pthread_cond_destroy(&jobs->ended);
        (void) pthread_mutex_destroy(&jobs->mutex);
        (void) pthread_attr_destroy(&jobs->attributes);
        (void) close(jobs->fd);
        free(jobs);
        return NULL;
}

/* The next job of the lane, that there is; under the mutex. */
static struct Job *take_job(struct LaneState *lane) {
        struct Job *job = lane->head;

        lane->head = job->next;
        if (!lane->head)
                lane->tail = &lane->head;
        lane->queued--;
        lane->taken++;
        return job;
}

/* The next job of the lane, under the mutex. NULL: the thread is no longer needed. */
static struct Job *wait_for_job(struct LaneState *lane) {
        struct timespec deadline;

        (void) clock_gettime(CLOCK_MONOTONIC, &deadline);
        deadline.tv_sec += IDLE_SECONDS;
        while (!lane->head) {
                int r;

                if (lane->jobs->ending)
                        return NULL;
                lane->idle++;
                r = pthread_cond_timedwait(&lane->wake, &lane->jobs->mutex, &deadline);
                lane->idle--;
                if (r == ETIMEDOUT && !lane->head)
                        return NULL;
        }
        return take_job(lane);
}

/* What libraries keep for a thread goes after it returned, before it is joined: nothing of it may
 * be left when the process ends. `jobs` outlives them all: before it destroys anything jobs_free()
 * joins the last that ended, which has joined the one before it, and so on. */
static void end_thread(struct Jobs *jobs) {
        pthread_t previous;
        bool any;

        (void) pthread_mutex_lock(&jobs->mutex);
        any = jobs->any_ended;
        previous = jobs->last_ended;
        jobs->last_ended = pthread_self();
        jobs->any_ended = true;
        jobs->threads--;
        (void) pthread_cond_signal(&jobs->ended);
        (void) pthread_mutex_unlock(&jobs->mutex);
        if (any)
                (void) pthread_join(previous, NULL);
}

static void begin(struct LaneState *lane, struct Worker *worker) {
        struct Jobs *jobs = lane->jobs;

        worker_init(worker, jobs->daemon, lanes[lane - jobs->lanes].store_mode);
        (void) pthread_mutex_lock(&jobs->mutex);
}

/* Under the mutex, but for the time that the job takes. */
static void run(struct LaneState *lane, struct Job *job, struct Worker *worker) {
        struct Jobs *jobs = lane->jobs;

        lane->running++;
        (void) pthread_mutex_unlock(&jobs->mutex);
        job->run(job, worker);
        (void) pthread_mutex_lock(&jobs->mutex);
        lane->running--;
        if (!jobs->done)
                (void) eventfd_write(jobs->fd, 1);
        job->next = jobs->done;
        jobs->done = job;
}

static void end(struct LaneState *lane, struct Worker *worker) {
        (void) pthread_mutex_unlock(&lane->jobs->mutex);
        worker_clear(worker);
        (void) malloc_trim(0); /* at rest the daemon is small again */
        end_thread(lane->jobs);
}

static void *work(void *userdata) {
        struct LaneState *lane = userdata;
        struct Worker worker;
        struct Job *job;

        begin(lane, &worker);
        worker.cache_bytes = lanes[lane - lane->jobs->lanes].cache_bytes / lane->max_threads;
        while ((job = wait_for_job(lane)))
                run(lane, job, &worker);
        /* From here on nothing is queued for this thread: who submits starts another. */
        lane->threads--;
        end(lane, &worker);
        return NULL;
}

/* As long as nobody else takes a job. */
static void *help(void *userdata) {
        struct LaneState *lane = userdata;
        struct Worker worker;
        uint64_t taken;

        begin(lane, &worker);
        for (taken = lane->taken; lane->head && lane->taken == taken; taken++)
                run(lane, take_job(lane), &worker);
        lane->has_helper = false;
        end(lane, &worker);
        return NULL;
}

/* Under the mutex. */
static int start_thread(struct LaneState *lane, void *(*run_thread)(void *lane)) {
        struct Jobs *jobs = lane->jobs;
        pthread_t thread;
        int error;

        error = pthread_create(&thread, &jobs->attributes, run_thread, lane);
        if (error != 0)
                return -error;
        jobs->threads++;
        return 0;
}

static int start_worker(struct LaneState *lane) {
        int r = start_thread(lane, work);

        if (r >= 0)
                lane->threads++;
        return r;
}

int jobs_submit(struct Jobs *jobs, enum Lane which, struct Job *job) {
        struct LaneState *lane = &jobs->lanes[which];
        bool wake = false;
        int r = 0;

        (void) pthread_mutex_lock(&jobs->mutex);
        if (lane->queued >= lanes[which].max_queued)
                r = -EAGAIN;
        else if (lane->idle <= lane->queued && lane->threads < lane->max_threads &&
                start_worker(lane) < 0 && lane->threads == 0)
                r = -EAGAIN;
        if (r >= 0) {
                job->next = NULL;
                *lane->tail = job;
                lane->tail = &job->next;
                lane->queued++;
                r = lanes[which].is_relieved && lane->queued > lane->idle;
                wake = lane->idle > 0;
        }
        (void) pthread_mutex_unlock(&jobs->mutex);
        if (wake) /* now, as it would have waited for the mutex */
                (void) pthread_cond_signal(&lane->wake);
        return r;
}

static bool relieve(struct LaneState *lane) {
        bool is_held_up = lane->head && lane->taken == lane->before;

        /* Where no thread can be had now, there will be one the next time. */
        if (is_held_up && !lane->has_helper)
                lane->has_helper = start_thread(lane, help) >= 0;
        lane->before = lane->taken;
        return lane->head;
}

bool jobs_relieve(struct Jobs *jobs) {
        bool any = false;

        (void) pthread_mutex_lock(&jobs->mutex);
        for (size_t i = 0; i < LANE_COUNT_; i++)
                any = (lanes[i].is_relieved && relieve(&jobs->lanes[i])) || any;
        (void) pthread_mutex_unlock(&jobs->mutex);
        return any;
}

bool jobs_are_in(struct Jobs *jobs, enum Lane which) {
        const struct LaneState *lane = &jobs->lanes[which];
        bool any;

        (void) pthread_mutex_lock(&jobs->mutex);
        any = lane->head || lane->running > 0;
        (void) pthread_mutex_unlock(&jobs->mutex);
        return any;
}

int jobs_fd(const struct Jobs *jobs) {
        return jobs->fd;
}

struct Job *jobs_take_done(struct Jobs *jobs) {
        struct Job *done;
        eventfd_t count;

        (void) eventfd_read(jobs->fd, &count);
        (void) pthread_mutex_lock(&jobs->mutex);
        done = STEAL(jobs->done);
        (void) pthread_mutex_unlock(&jobs->mutex);
        return done;
}
