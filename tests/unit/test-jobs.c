/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/jobs.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define DEADLINE_MS 60000

/* A job that says that it began, and waits until it may end. */
struct Gated {
        struct Job job; /* first */
        sem_t began, may_end;
        pthread_t thread;
};

static void run_gated(struct Job *job, struct Worker *worker) {
        struct Gated *gated = (struct Gated *) job;

        (void) worker;
        gated->thread = pthread_self();
        (void) sem_post(&gated->began);
        (void) sem_wait(&gated->may_end);
}

static void gated_init(struct Gated *gated) {
        *gated = (struct Gated){ .job.run = run_gated };
        assert_int_equal(sem_init(&gated->began, 0, 0), 0);
        assert_int_equal(sem_init(&gated->may_end, 0, 0), 0);
}

static struct Clock the_clock;
static struct Daemon the_daemon = { .clock = &the_clock };

static struct Jobs *new_jobs(void) {
        struct Jobs *jobs = NULL;

        assert_int_equal(jobs_new(&the_daemon, &jobs), 0);
        return jobs;
}

/* Waits until `n` jobs are done. */
static void take(struct Jobs *jobs, size_t n) {
        while (n > 0) {
                struct pollfd poll_fd = { .fd = jobs_fd(jobs), .events = POLLIN };

                assert_int_equal(poll(&poll_fd, 1, DEADLINE_MS), 1);
                for (const struct Job *job = jobs_take_done(jobs); job; job = job->next) {
                        assert_true(n > 0);
                        n--;
                }
        }
}

static void test_lanes_do_not_wait_for_each_other(void **state) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        struct Gated long_one, short_one;

        (void) state;
        gated_init(&long_one);
        gated_init(&short_one);
        assert_int_equal(jobs_submit(jobs, LANE_ADMIN, &long_one.job), 0);
        (void) sem_wait(&long_one.began);
        assert_true(jobs_are_in(jobs, LANE_ADMIN));

        assert_int_equal(jobs_submit(jobs, LANE_READ, &short_one.job), 0);
        (void) sem_post(&short_one.may_end);
        take(jobs, 1);
        assert_false(jobs_are_in(jobs, LANE_READ));
        assert_true(jobs_are_in(jobs, LANE_ADMIN));

        (void) sem_post(&long_one.may_end);
        take(jobs, 1);
        assert_false(jobs_are_in(jobs, LANE_ADMIN));
}

static void assert_side_by_side(size_t n) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        struct Gated gated[5];

        for (size_t i = 0; i < 5; i++) {
                gated_init(&gated[i]);
                assert_int_equal(jobs_submit(jobs, LANE_READ, &gated[i].job), 0);
        }
        for (size_t i = 0; i < n; i++)
                (void) sem_wait(&gated[i].began); /* all at once, or this hangs */
        for (size_t i = n; i < 5; i++)
                assert_int_equal(sem_trywait(&gated[i].began), -1);
        for (size_t i = 0; i < 5; i++)
                (void) sem_post(&gated[i].may_end);
        take(jobs, 5);
}

static void test_readers_work_side_by_side_as_there_are_processors(void **state) {
        cpu_set_t before, one;

        (void) state;
        assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
        CPU_ZERO(&one);
        for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
                if (CPU_ISSET(i, &before))
                        CPU_SET(i, &one);
        assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
        assert_side_by_side(2);
        the_daemon.vectors = (void *) &the_daemon; /* there are some: they are waited for */
        assert_side_by_side(4);
        the_daemon.vectors = NULL;
        assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void test_there_is_one_writer_and_it_keeps_the_order(void **state) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        struct Gated gated[3];

        (void) state;
        for (size_t i = 0; i < 3; i++) {
                gated_init(&gated[i]);
                assert_int_equal(jobs_submit(jobs, LANE_WRITE, &gated[i].job), 0);
        }
        for (size_t i = 0; i < 3; i++) {
                (void) sem_wait(&gated[i].began);
                for (size_t later = i + 1; later < 3; later++)
                        assert_int_equal(sem_trywait(&gated[later].began), -1);
                assert_true(pthread_equal(gated[i].thread, gated[0].thread));
                (void) sem_post(&gated[i].may_end);
        }
        take(jobs, 3);
}

static void test_full_queue_says_so_at_once(void **state) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        struct Gated *gated = calloc(256, sizeof *gated);
        size_t n = 0;

        (void) state;
        for (; n < 256; n++) {
                gated_init(&gated[n]);
                if (jobs_submit(jobs, LANE_ADMIN, &gated[n].job) < 0)
                        break;
        }
        assert_in_range(n, 3, 64);
        for (size_t i = 0; i < n; i++)
                (void) sem_post(&gated[i].may_end);
        take(jobs, n);
        (void) sem_post(&gated[n].may_end);
        assert_int_equal(jobs_submit(jobs, LANE_ADMIN, &gated[n].job), 0);
        take(jobs, 1);
        free(gated);
}

static void test_many_jobs_are_each_done_once(void **state) {
        enum {
                N = 5000
        };
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        struct Gated *gated = calloc(N, sizeof *gated);
        size_t under_way = 0;

        (void) state;
        for (size_t i = 0; i < N; i++) {
                gated_init(&gated[i]);
                (void) sem_post(&gated[i].may_end);
                while (jobs_submit(jobs, LANE_READ, &gated[i].job) == -EAGAIN) {
                        take(jobs, under_way);
                        under_way = 0;
                }
                under_way++;
        }
        take(jobs, under_way);
        for (size_t i = 0; i < N; i++) {
                int began;

                assert_int_equal(sem_getvalue(&gated[i].began, &began), 0);
                assert_int_equal(began, 1);
        }
        free(gated);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lanes_do_not_wait_for_each_other),
                cmocka_unit_test(test_readers_work_side_by_side_as_there_are_processors),
                cmocka_unit_test(test_there_is_one_writer_and_it_keeps_the_order),
                cmocka_unit_test(test_full_queue_says_so_at_once),
                cmocka_unit_test(test_many_jobs_are_each_done_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
