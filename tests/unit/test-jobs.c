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

        assert_true(jobs_submit(jobs, LANE_READ, &short_one.job) >= 0);
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
                assert_true(jobs_submit(jobs, LANE_READ, &gated[i].job) >= 0);
        }
        for (size_t i = 0; i < n; i++)
                (void) sem_wait(&gated[i].began); /* all at once, or this hangs */
        for (size_t i = n; i < 5; i++)
                assert_int_equal(sem_trywait(&gated[i].began), -1);
        for (size_t i = 0; i < 5; i++)
                (void) sem_post(&gated[i].may_end);
        take(jobs, 5);
}

/* From here to the end of the block, for threads that start there. */
static void on_one_processor(cpu_set_t *ret_before) {
        cpu_set_t one;

        assert_int_equal(sched_getaffinity(0, sizeof *ret_before, ret_before), 0);
        CPU_ZERO(&one);
        for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
                if (CPU_ISSET(i, ret_before))
                        CPU_SET(i, &one);
        assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

static void on_all_processors(const cpu_set_t *before) {
        assert_int_equal(sched_setaffinity(0, sizeof *before, before), 0);
}
#define _cleanup_processors_ __attribute__((cleanup(on_all_processors)))

static void test_readers_work_side_by_side_as_there_are_processors(void **state) {
        cpu_set_t before _cleanup_processors_;

        (void) state;
        on_one_processor(&before);
        assert_side_by_side(1);
        the_daemon.vectors = (void *) &the_daemon; /* there are some: they are waited for */
        assert_side_by_side(4);
        the_daemon.vectors = NULL;
}

/* Submits one that says nothing of when it may end. */
static void submit_read(struct Jobs *jobs, struct Gated *gated, bool waits) {
        gated_init(gated);
        assert_int_equal(jobs_submit(jobs, LANE_READ, &gated->job), waits);
}

static void finish(struct Jobs *jobs, struct Gated *gated) {
        (void) sem_post(&gated->may_end);
        take(jobs, 1);
}

static void test_a_long_question_does_not_hold_up_the_others(void **state) {
        cpu_set_t before _cleanup_processors_;
        struct Gated first, held_up, third, last;

        (void) state;
        on_one_processor(&before);
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        submit_read(jobs, &first, true); /* its thread is only on its way */
        (void) sem_wait(&first.began);
        assert_false(jobs_relieve(jobs)); /* nobody waits */
        submit_read(jobs, &held_up, true);
        submit_read(jobs, &third, true);
        assert_int_equal(sem_trywait(&held_up.began), -1);

        assert_true(jobs_relieve(jobs));
        (void) sem_wait(&held_up.began); /* or this hangs */
        assert_true(jobs_relieve(jobs)); /* the helper itself may be held up as well … */
        assert_true(jobs_relieve(jobs)); /* … and gets no help */
        assert_int_equal(sem_trywait(&third.began), -1);
        finish(jobs, &held_up);
        (void) sem_wait(&third.began);
        assert_true(pthread_equal(third.thread, held_up.thread)); /* as nobody else takes any */
        assert_false(pthread_equal(third.thread, first.thread));
        assert_false(jobs_relieve(jobs));
        finish(jobs, &third); /* nothing is left to it: it ends */

        submit_read(jobs, &last, true);
        finish(jobs, &first);
        (void) sem_wait(&last.began);
        assert_true(pthread_equal(last.thread, first.thread));
        finish(jobs, &last);
}

static void test_a_helper_ends_when_those_it_helps_go_on(void **state) {
        cpu_set_t before _cleanup_processors_;
        struct Gated first, second, third, fourth;

        (void) state;
        on_one_processor(&before);
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        submit_read(jobs, &first, true);
        (void) sem_wait(&first.began);
        submit_read(jobs, &second, true);
        assert_true(jobs_relieve(jobs));
        assert_true(jobs_relieve(jobs));
        (void) sem_wait(&second.began);

        submit_read(jobs, &third, true);
        submit_read(jobs, &fourth, true);
        finish(jobs, &first);
        (void) sem_wait(&third.began);
        assert_true(pthread_equal(third.thread, first.thread));
        finish(jobs, &second);
        assert_int_equal(sem_trywait(&fourth.began), -1);
        finish(jobs, &third);
        (void) sem_wait(&fourth.began);
        assert_true(pthread_equal(fourth.thread, first.thread));
        finish(jobs, &fourth);
}

static void test_who_goes_on_needs_no_help(void **state) {
        cpu_set_t before _cleanup_processors_;
        struct Gated gated[4];

        (void) state;
        on_one_processor(&before);
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        for (size_t i = 0; i < 4; i++)
                submit_read(jobs, &gated[i], true);
        for (size_t i = 0; i < 4; i++) {
                (void) sem_wait(&gated[i].began);
                assert_int_equal(jobs_relieve(jobs), i < 3);
                assert_true(pthread_equal(gated[i].thread, gated[0].thread));
                finish(jobs, &gated[i]);
        }
}

static void test_only_readers_are_relieved(void **state) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        struct Gated first, second;

        (void) state;
        gated_init(&first);
        gated_init(&second);
        assert_int_equal(jobs_submit(jobs, LANE_WRITE, &first.job), 0);
        (void) sem_wait(&first.began);
        assert_int_equal(jobs_submit(jobs, LANE_WRITE, &second.job), 0);
        assert_false(jobs_relieve(jobs));
        assert_false(jobs_relieve(jobs));
        assert_int_equal(sem_trywait(&second.began), -1);
        finish(jobs, &first);
        finish(jobs, &second);
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
                cmocka_unit_test(test_a_long_question_does_not_hold_up_the_others),
                cmocka_unit_test(test_a_helper_ends_when_those_it_helps_go_on),
                cmocka_unit_test(test_who_goes_on_needs_no_help),
                cmocka_unit_test(test_only_readers_are_relieved),
                cmocka_unit_test(test_there_is_one_writer_and_it_keeps_the_order),
                cmocka_unit_test(test_full_queue_says_so_at_once),
                cmocka_unit_test(test_many_jobs_are_each_done_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
