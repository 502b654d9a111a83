/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/http-module.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#define MODULE "atocore-http.so"

/* Only as a path: a bare name would be looked for where the environment says. */
static int find(char **ret_path) {
        char own[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
        char *slash;

        own[n > 0 ? n : 0] = '\0';
        slash = strrchr(own, '/');
        if (slash) {
                *slash = '\0';
                if (asprintf(ret_path, "%s/" MODULE, own) < 0)
                        return -ENOMEM;
                if (access(*ret_path, R_OK) == 0)
                        return 0;
                free(*ret_path);
        }
        *ret_path = strdup(ATOCORE_MODULE_DIR "/" MODULE);
        return *ret_path ? 0 : -ENOMEM;
}

static int tell(const char *path, char **ret_problem) {
        const char *problem = dlerror();

        if (asprintf(ret_problem, "%s cannot be loaded (%s)", path, problem ? problem : "?") < 0) {
                *ret_problem = NULL;
                return -ENOMEM;
        }
        return -ENOENT;
}

int http_module_load(HttpRequestFunction **ret_request, char **ret_problem) {
        _cleanup_free_ char *path = NULL;
        void *module, *symbol;
        int r;

        r = find(&path);
        if (r < 0)
                return r;
        module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        symbol = module ? dlsym(module, "http_request") : NULL;
        if (!symbol)
                return tell(path, ret_problem);
        /* POSIX has it so: an object pointer of dlsym() is that of the function. */
        memcpy(ret_request, &symbol, sizeof symbol);
        return 0;
}
