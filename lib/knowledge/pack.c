/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/pack.h"

#include <errno.h>
#include <string.h>

#include "lib/base/text-stream.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

static char *header_text(const char *project_id) {
        _cleanup_free_ char *escaped = project_id ? text_escape(project_id) : NULL;
        char *text = NULL;

        if (!project_id)
                return strdup("# " CONTEXT_HEADING "all projects\n");
        return escaped && asprintf(&text, "# " CONTEXT_HEADING "project %s\n", escaped) >= 0 ? text
                                                                                             : NULL;
}

static int write_context(struct Pack *pack, const char *header) {
        const struct PackSelection *selection = pack->selection;
        size_t size;
        FILE *context = text_stream_open(&pack->formatted_context, &size);

        if (!context)
                return -ENOMEM;
        if (selection->n_passages > 0)
                (void) fputs(header, context);
        for (size_t i = 0; i < selection->n_passages; i++)
                (void) fwrite(selection->passages[i]->text, 1, selection->passages[i]->text_size,
                        context);
        if (fclose(context) != 0)
                return -ENOMEM;
        pack->total_chars = utf8_count(pack->formatted_context, size);
        return 0;
}

static int write_full_prompt(struct Pack *pack, const char *prompt) {
        int r = pack->selection->n_passages == 0
                ? asprintf(&pack->full_prompt, "%s", prompt)
                : asprintf(&pack->full_prompt, "%s\n---\n\n# " PROMPT_HEADING "\n\n%s",
                          pack->formatted_context, prompt);

        if (r < 0)
                pack->full_prompt = NULL;
        return r < 0 ? -ENOMEM : 0;
}

int pack_build(const struct Retrieval *retrieval, const char *project_id, const char *prompt,
        uint64_t budget, struct Pack **ret_pack) {
        _cleanup_pack_ struct Pack *pack = calloc(1, sizeof *pack);
        _cleanup_free_ char *header = header_text(project_id);
        uint64_t around;
        int r;

        if (!pack || !header)
                return -ENOMEM;
        around = utf8_count(header, strlen(header));
        r = pack_select(retrieval, budget > around ? budget - around : 0, &pack->selection);
        if (r < 0)
                return r;
        r = write_context(pack, header);
        if (r < 0)
                return r;
        r = write_full_prompt(pack, prompt);
        if (r < 0)
                return r;
        *ret_pack = STEAL(pack);
        return 0;
}

struct Pack *pack_free(struct Pack *pack) {
        if (!pack)
                return NULL;
        free(pack->formatted_context);
        free(pack->full_prompt);
        (void) pack_selection_free(pack->selection);
        free(pack);
        return NULL;
}
