/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What answers each route (routes.c). A handler runs on a thread of its route's lane, reads the
 * request, and fills the response with a document or a problem.
 */

#include "daemon/request.h"
#include "daemon/response.h"
#include "daemon/worker.h"

/* handle-state.c */
void handle_health(struct Worker *worker, const struct Request *request, struct Response *response);
void handle_stats(struct Worker *worker, const struct Request *request, struct Response *response);

/* handle-projects.c */
void handle_projects(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_refresh(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_ingest(struct Worker *worker, const struct Request *request, struct Response *response);

/* handle-registry.c */
void handle_project_template(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_project_register(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_project_replace(
        struct Worker *worker, const struct Request *request, struct Response *response);

/* handle-context.c */
void handle_query(struct Worker *worker, const struct Request *request, struct Response *response);
void handle_context_build(
        struct Worker *worker, const struct Request *request, struct Response *response);

/* handle-interactions.c */
void handle_interaction_add(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_interactions(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_interaction(
        struct Worker *worker, const struct Request *request, struct Response *response);

/* handle-backups.c */
void handle_backup_create(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_backups(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_backup(struct Worker *worker, const struct Request *request, struct Response *response);
void handle_backup_validate(
        struct Worker *worker, const struct Request *request, struct Response *response);
void handle_prune(struct Worker *worker, const struct Request *request, struct Response *response);
