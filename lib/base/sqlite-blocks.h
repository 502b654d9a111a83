/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading a whole database file, in blocks. SQLite reads page by page, and its integrity check
 * reads each tree from its last page to its first, which a kernel cannot foresee: on a disk, and on
 * a file whose blocks are shared with one that is in memory under another name, that is 20 times
 * slower than one long reading.
 *
 * A VFS (https://sqlite.org/vfs.html) over the default one: for files that nobody writes.
 */

/* Its name; NULL when SQLite has no room for it, or none to build upon. */
const char *sqlite_blocks_vfs(void);
