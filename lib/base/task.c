/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/task.h"

#include <signal.h>
#include <stddef.h>

static void *thread_main(void *userdata) {
        struct Task *task = userdata;

        task->run(task->userdata);
        return NULL;
}

void task_start(struct Task *task) {
        sigset_t all, before;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        task->running = pthread_create(&task->thread, NULL, thread_main, task) == 0;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!task->running)
                task->run(task->userdata);
}

void task_wait(struct Task *task) {
        if (!task->running)
                return;
        (void) pthread_join(task->thread, NULL);
        task->running = false;
}
