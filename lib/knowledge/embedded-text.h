/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What of a chunk is embedded, as SQL over `chunks`: title, headings, content. And the directory of
 * its document over `documents`, "vault/projects/p05/", by which a project is preselected.
 */

#define EMBEDDED_TEXT                                                                              \
        "chunks.title || char(10) ||"                                                              \
        " ifnull((SELECT group_concat(value, ' > ') FROM json_each(heading_path)) || char(10), "   \
        "'')"                                                                                      \
        " || char(10) || content"

/* Without what is behind the last slash: what is not a slash is trimmed. */
#define DOCUMENT_DIRECTORY                                                                         \
        "documents.source || '/' || rtrim(documents.path, replace(documents.path, '/', ''))"
