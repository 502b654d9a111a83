/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * http_request() of http-client.h for a program that may never need it: as a module that is loaded
 * at run time. libcurl brings two dozen libraries along, which cost each start and each process of
 * who is linked with them.
 */

#include "lib/base/http-client.h"

typedef int HttpRequestFunction(const struct Operation *operation,
        const struct HttpRequest *request, struct HttpAnswer *ret_answer, char **ret_problem);

/* atocore-http.so beside this program (as it is built), else where it is installed. It stays
 * loaded. One thread at a time. -ENOENT with *ret_problem as part of a sentence (the caller frees),
 * -ENOMEM. */
int http_module_load(HttpRequestFunction **ret_request, char **ret_problem);
