/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/handlers.h"
#include "daemon/route.h"

/* clang-format off */
const struct Route routes[] = {
        { METHOD_GET,  "/health",               ACCESS_ALWAYS, LANE_STATE, handle_health },
        { METHOD_GET,  "/stats",                ACCESS_OPEN,   LANE_READ,  handle_stats },
        { METHOD_GET,  "/projects",             ACCESS_OPEN,   LANE_READ,  handle_projects },
        { METHOD_GET,  "/projects/template",    ACCESS_OPEN,   LANE_READ,  handle_project_template },
        { METHOD_POST, "/projects/register",    ACCESS_ADMIN,  LANE_WRITE, handle_project_register },
        { METHOD_PUT,  "/projects/{id}",        ACCESS_ADMIN,  LANE_WRITE, handle_project_replace },
        { METHOD_POST, "/projects/{id}/refresh",
                                                ACCESS_ADMIN,  LANE_ADMIN, handle_refresh },
        { METHOD_POST, "/ingest",               ACCESS_ADMIN,  LANE_ADMIN, handle_ingest },
        { METHOD_POST, "/query",                ACCESS_OPEN,   LANE_READ,  handle_query },
        { METHOD_POST, "/context/build",        ACCESS_OPEN,   LANE_READ,  handle_context_build },
        { METHOD_POST, "/interactions",         ACCESS_OPEN,   LANE_WRITE, handle_interaction_add },
        { METHOD_GET,  "/interactions",         ACCESS_OPEN,   LANE_READ,  handle_interactions },
        { METHOD_GET,  "/interactions/{id}",    ACCESS_OPEN,   LANE_READ,  handle_interaction },
        { METHOD_POST, "/admin/backup",         ACCESS_ADMIN,  LANE_ADMIN, handle_backup_create },
        { METHOD_GET,  "/admin/backup",         ACCESS_ADMIN,  LANE_READ,  handle_backups },
        { METHOD_GET,  "/admin/backup/{stamp}", ACCESS_ADMIN,  LANE_READ,  handle_backup },
        { METHOD_GET,  "/admin/backup/{stamp}/validate",
                                                ACCESS_ADMIN,  LANE_ADMIN, handle_backup_validate },
        { METHOD_POST, "/admin/prune",          ACCESS_ADMIN,  LANE_ADMIN, handle_prune },
        { 0 },
};
/* clang-format on */
