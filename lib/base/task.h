/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A function on a thread of its own, while the caller does something else.
 */

#include <pthread.h>
#include <stdbool.h>

struct Task {
        void (*run)(void *userdata);
        void *userdata;
        bool running;
        pthread_t thread;
};

/* Set run and userdata before; the struct must not move until the task has ended. Signals stay with
 * the threads that were there. Where no thread can be had the work is done at once. */
void task_start(struct Task *task);
/* Returns when it has ended. May be called again, and without a start. */
void task_wait(struct Task *task);
