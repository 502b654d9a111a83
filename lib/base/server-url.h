/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A server in atocore.conf: what it speaks, and where it is, "chroma:http://127.0.0.1:8000".
 */

/* The URL in `value`, or NULL for one that is none: it must speak what `example` does (the same up
 * to the first colon), by http:// or https:// with a host, without spaces, query or fragment. A
 * user or password is refused: the file is for all to read. Of the form only: whether anybody is
 * there is found out when it is asked. */
const char *server_url_of(const char *value, const char *example);
