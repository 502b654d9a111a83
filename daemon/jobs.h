/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Work that the event loop must not do itself, in lanes that do not wait for each other: a long
 * backup holds up no query. Threads start on the first need and end when they have had nothing to
 * do for a while; their stores are closed with them.
 */

#include <stdbool.h>

#include "daemon/worker.h"

enum Lane {
        LANE_STATE, /* one thread: what /health says */
        LANE_READ,  /* several, each with a read connection */
        LANE_WRITE, /* one: the writer */
        LANE_ADMIN, /* a few, for what may take minutes */
        LANE_COUNT_,
};

struct Job {
        void (*run)(struct Job *job, struct Worker *worker); /* on a thread of the lane */
        struct Job *next;                                    /* the queues' own */
};

struct Jobs;

/* -errno of what eventfd(2) says, -ENOMEM. */
int jobs_new(struct Daemon *daemon, struct Jobs **ret_jobs);
/* Waits for what runs; nothing may be queued or done and not taken. */
struct Jobs *jobs_free(struct Jobs *jobs);
DEFINE_POINTER_CLEANUP(struct Jobs *, jobs_free)
#define _cleanup_jobs_ _cleanup_(jobs_freep)

/* The caller keeps the job until jobs_take_done() returned it. Positive: it may have to wait, and
 * jobs_relieve() is to be called after JOBS_RELIEF_USEC. -EAGAIN: the lane's queue is full, or no
 * thread could be had. */
int jobs_submit(struct Jobs *jobs, enum Lane lane, struct Job *job);

#define JOBS_RELIEF_USEC 100000

/* Where jobs wait and none was begun since the last call, all threads of the lane are held up: a
 * helper is started that takes their place until one of them takes a job again. True: jobs wait;
 * to be called again after JOBS_RELIEF_USEC. */
bool jobs_relieve(struct Jobs *jobs);

/* A job of the lane is queued or runs. */
bool jobs_are_in(struct Jobs *jobs, enum Lane lane);

/* Readable while there are jobs that are done. */
int jobs_fd(const struct Jobs *jobs);
/* The jobs that are done since the last call, linked by `next`; NULL when there are none. */
struct Job *jobs_take_done(struct Jobs *jobs);
