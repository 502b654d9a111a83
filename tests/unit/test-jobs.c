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
#include <time.h>

#include <cmocka.h>

#define DEADLINE_MS 60000
#define WAKE_MS     5000 /* before it would have woken by itself */

/* How many threads there are is counted where they are started: that one has not begun a job yet
 * does not say that it is not there. All are started by who submits or relieves. */
static size_t n_started;

int __real_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
        void *(*run)(void *userdata), void *userdata);
int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
        void *(*run)(void *userdata), void *userdata);

int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
        void *(*run)(void *userdata), void *userdata) {
        n_started++;
        return __real_pthread_create(ret_thread, attributes, run, userdata);
}

/* While this is set, nobody wakes: a signal is kept here, where it points to a variable. */
static pthread_cond_t **kept_signal;

int __real_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);

int __wrap_pthread_cond_signal(pthread_cond_t *condition) {
        if (!kept_signal)
                return __real_pthread_cond_signal(condition);
        *kept_signal = condition;
        return 0;
}

/* A job that says that it began, and waits until it may end. Not on the stack: a test that fails
 * leaves threads there. */
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

static void wait_begun_for(struct Gated *gated, unsigned milliseconds) {
        struct timespec deadline;

        assert_int_equal(clock_gettime(CLOCK_REALTIME, &deadline), 0);
        deadline.tv_sec += milliseconds / 1000;
        assert_int_equal(sem_timedwait(&gated->began, &deadline), 0);
}

static void wait_begun(struct Gated *gated) {
        wait_begun_for(gated, DEADLINE_MS);
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

        n_started = 0;
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
        static struct Gated long_one, short_one;

        (void) state;
        gated_init(&long_one);
        gated_init(&short_one);
        assert_int_equal(jobs_submit(jobs, LANE_ADMIN, &long_one.job), 0);
        wait_begun(&long_one);
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

static void assert_side_by_side(enum Lane lane, size_t n) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        _cleanup_free_ struct Gated *gated = calloc(5, sizeof *gated);

        for (size_t i = 0; i < 5; i++) {
                gated_init(&gated[i]);
                assert_true(jobs_submit(jobs, lane, &gated[i].job) >= 0);
        }
        assert_int_equal(n_started, n);
        for (size_t i = 0; i < n; i++)
                wait_begun(&gated[i]); /* before any of them may end */
        for (size_t i = 0; i < 5; i++)
                (void) sem_post(&gated[i].may_end);
        take(jobs, 5);
}

static void test_lanes_have_their_number_of_threads(void **state) {
        (void) state;
        assert_side_by_side(LANE_STATE, 1);
        assert_side_by_side(LANE_WRITE, 1);
        assert_side_by_side(LANE_ADMIN, 3);
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
        assert_side_by_side(LANE_READ, 1);
        the_daemon.vectors = (void *) &the_daemon; /* there are some: they are waited for */
        assert_side_by_side(LANE_READ, 4);
        the_daemon.vectors = NULL;
}

/* One that says nothing of when it may end. */
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
        static struct Gated first, held_up, third, last;

        (void) state;
        on_one_processor(&before);
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        submit_read(jobs, &first, true); /* its thread is only on its way */
        wait_begun(&first);
        assert_false(jobs_relieve(jobs)); /* nobody waits */
        submit_read(jobs, &held_up, true);
        submit_read(jobs, &third, true);
        assert_int_equal(n_started, 1);

        assert_true(jobs_relieve(jobs));
        wait_begun(&held_up);
        assert_true(jobs_relieve(jobs)); /* the helper itself may be held up as well … */
        assert_true(jobs_relieve(jobs)); /* … and gets no help */
        assert_int_equal(n_started, 2);
        finish(jobs, &held_up);
        wait_begun(&third);
        assert_true(pthread_equal(third.thread, held_up.thread)); /* as nobody else takes any */
        assert_false(pthread_equal(third.thread, first.thread));
        assert_false(jobs_relieve(jobs));
        finish(jobs, &third); /* nothing is left to it: it ends */

        submit_read(jobs, &last, true);
        finish(jobs, &first);
        wait_begun(&last);
        assert_true(pthread_equal(last.thread, first.thread));
        finish(jobs, &last);
        assert_int_equal(n_started, 2);
}

static void test_a_lane_is_helped_as_often_as_it_is_held_up(void **state) {
        cpu_set_t before _cleanup_processors_;
        static struct Gated first, held_up;

        (void) state;
        on_one_processor(&before);
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        submit_read(jobs, &first, true);
        wait_begun(&first);
        for (size_t helpers = 1; helpers <= 3; helpers++) {
                submit_read(jobs, &held_up, true);
                assert_true(jobs_relieve(jobs)); /* one was begun since the last time */
                (void) jobs_relieve(jobs);
                assert_int_equal(n_started, 1 + helpers);
                wait_begun(&held_up);
                finish(jobs, &held_up); /* nothing is left to the helper: it ends */
        }
        finish(jobs, &first);
}

static void test_a_helper_ends_when_those_it_helps_go_on(void **state) {
        cpu_set_t before _cleanup_processors_;
        static struct Gated first, second, third, fourth;

        (void) state;
        on_one_processor(&before);
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        submit_read(jobs, &first, true);
        wait_begun(&first);
        submit_read(jobs, &second, true);
        assert_true(jobs_relieve(jobs));
        assert_true(jobs_relieve(jobs));
        wait_begun(&second);

        submit_read(jobs, &third, true);
        submit_read(jobs, &fourth, true);
        finish(jobs, &first);
        wait_begun(&third);
        assert_true(pthread_equal(third.thread, first.thread));
        finish(jobs, &second);
        finish(jobs, &third);
        wait_begun(&fourth);
        assert_true(pthread_equal(fourth.thread, first.thread));
        finish(jobs, &fourth);
}

static void test_who_goes_on_needs_no_help(void **state) {
        cpu_set_t before _cleanup_processors_;
        static struct Gated gated[4];

        (void) state;
        on_one_processor(&before);
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        for (size_t i = 0; i < 4; i++)
                submit_read(jobs, &gated[i], true);
        for (size_t i = 0; i < 4; i++) {
                wait_begun(&gated[i]);
                assert_int_equal(jobs_relieve(jobs), i < 3);
                assert_true(pthread_equal(gated[i].thread, gated[0].thread));
                finish(jobs, &gated[i]);
        }
        assert_int_equal(n_started, 1);
}

static void test_only_readers_are_relieved(void **state) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        static struct Gated first, second;

        (void) state;
        gated_init(&first);
        gated_init(&second);
        assert_int_equal(jobs_submit(jobs, LANE_WRITE, &first.job), 0);
        wait_begun(&first);
        assert_int_equal(jobs_submit(jobs, LANE_WRITE, &second.job), 0);
        assert_false(jobs_relieve(jobs));
        assert_false(jobs_relieve(jobs));
        assert_int_equal(n_started, 1);
        finish(jobs, &first);
        finish(jobs, &second);
}

static void test_there_is_one_writer_and_it_keeps_the_order(void **state) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        static struct Gated gated[3];

        (void) state;
        for (size_t i = 0; i < 3; i++) {
                gated_init(&gated[i]);
                assert_int_equal(jobs_submit(jobs, LANE_WRITE, &gated[i].job), 0);
        }
        for (size_t i = 0; i < 3; i++) {
                wait_begun(&gated[i]);
                assert_true(pthread_equal(gated[i].thread, gated[0].thread));
                (void) sem_post(&gated[i].may_end);
        }
        take(jobs, 3);
        assert_int_equal(n_started, 1);
}

/* Whose job was taken waits for the next one by then: it says that it is done under the mutex, and
 * lets go of that where it waits. */
static void do_one(struct Jobs *jobs, enum Lane lane) {
        static struct Gated gated;

        gated_init(&gated);
        assert_true(jobs_submit(jobs, lane, &gated.job) >= 0);
        wait_begun_for(&gated, WAKE_MS);
        finish(jobs, &gated);
}

static void test_a_thread_that_has_nothing_to_do_is_woken(void **state) {
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();

        (void) state;
        for (size_t i = 0; i < 4; i++)
                do_one(jobs, LANE_WRITE);
        assert_int_equal(n_started, 1);
}

/* One thread is about to wake, and may only do one of them. */
static void test_two_jobs_for_one_that_wakes_are_done_side_by_side(void **state) {
        pthread_cond_t *signal = NULL;
        static struct Gated gated[2];

        (void) state;
        the_daemon.vectors = (void *) &the_daemon;
        _cleanup_jobs_ struct Jobs *jobs = new_jobs();
        the_daemon.vectors = NULL;
        do_one(jobs, LANE_READ);
        kept_signal = &signal;
        submit_read(jobs, &gated[0], false);
        assert_int_equal(n_started, 1);
        submit_read(jobs, &gated[1], true);
        kept_signal = NULL;
        assert_non_null(signal);
        (void) pthread_cond_signal(signal);
        assert_int_equal(n_started, 2);
        for (size_t i = 0; i < 2; i++)
                wait_begun(&gated[i]);
        for (size_t i = 0; i < 2; i++)
                finish(jobs, &gated[i]);
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
                cmocka_unit_test(test_lanes_have_their_number_of_threads),
                cmocka_unit_test(test_readers_work_side_by_side_as_there_are_processors),
                cmocka_unit_test(test_a_long_question_does_not_hold_up_the_others),
                cmocka_unit_test(test_a_lane_is_helped_as_often_as_it_is_held_up),
                cmocka_unit_test(test_a_helper_ends_when_those_it_helps_go_on),
                cmocka_unit_test(test_who_goes_on_needs_no_help),
                cmocka_unit_test(test_only_readers_are_relieved),
                cmocka_unit_test(test_there_is_one_writer_and_it_keeps_the_order),
                cmocka_unit_test(test_a_thread_that_has_nothing_to_do_is_woken),
                cmocka_unit_test(test_two_jobs_for_one_that_wakes_are_done_side_by_side),
                cmocka_unit_test(test_full_queue_says_so_at_once),
                cmocka_unit_test(test_many_jobs_are_each_done_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
