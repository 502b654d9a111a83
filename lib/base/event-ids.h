/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Every event that AtoCore reports, one row each: symbol, MESSAGE_ID (sd_id128 as 32 hex digits,
 * made with `systemd-id128 new`), syslog priority, and the exit status a program ends with when
 * this is why it ends (0: the event is no failure). The lower-case symbol is ATOCORE_CODE= and the
 * `code` of HTTP errors. units/atocore.catalog has one entry for each; a test compares them.
 */

#include <sysexits.h>
#include <syslog.h>

/* clang-format off */
#define ATOCORE_EVENTS(X) \
        /* What went well. */ \
        X(DAEMON_STARTED,          "de4a548f46354ea38a60d86ca8e0ec8d", LOG_INFO,     0) \
        X(DAEMON_STOPPED,          "b0937ddbb12e469ca00316272b6c1c08", LOG_INFO,     0) \
        X(INGEST_STARTED,          "562c0ab123854d87a6556bf75ba434d3", LOG_INFO,     0) \
        X(INGEST_DONE,             "be4f2ca82c3243829d52b1cb33de4de7", LOG_INFO,     0) \
        X(WATCH_STARTED,           "df022e637f374d949a40f82c83b0e67d", LOG_INFO,     0) \
        X(WATCH_STOPPED,           "ce7c64f81b5748caac0f1e436e3af5cb", LOG_INFO,     0) \
        X(BACKUP_STARTED,          "578a3c6b2c6c4cd39689d5244ea1e77d", LOG_INFO,     0) \
        X(BACKUP_DONE,             "7b60080da0b4404aa2b468e897d860e4", LOG_INFO,     0) \
        X(ARCHIVE_DONE,            "7bb3d8f5e1f240b8996f84a2afefcb0f", LOG_INFO,     0) \
        X(VALIDATE_STARTED,        "50f014271d494945b1076f7e01bd31bf", LOG_INFO,     0) \
        X(SNAPSHOT_VALID,          "b0e929278550468bb8fbced7546c30eb", LOG_INFO,     0) \
        X(SAFETY_SEALED,           "b10180c7d3194efb93c45e1efefaa7c9", LOG_INFO,     0) \
        X(PRUNE_STARTED,           "d01965b0ca6d4ed0afb821eadeca76a8", LOG_INFO,     0) \
        X(PRUNE_DONE,              "f9bfc069ca94441899bcf3818d377365", LOG_INFO,     0) \
        X(SNAPSHOT_DELETED,        "6f5c38065baa486787cef24ecc20053d", LOG_NOTICE,   0) \
        X(ARCHIVE_DELETED,         "677b205795fa43e5b064b9650ec8724a", LOG_NOTICE,   0) \
        X(LEFTOVER_REMOVED,        "41454deef787441ab518d4a2ee7c4d22", LOG_NOTICE,   0) \
        X(RESTORE_STARTED,         "923ad4aa10e744fd80edd5670cf0c3b1", LOG_NOTICE,   0) \
        X(RESTORE_STEP,            "5afe2e6ecf5946abb6b88f844f41db29", LOG_INFO,     0) \
        X(RESTORE_DONE,            "38f1b60eee5b47e6901a8103e4f46a84", LOG_NOTICE,   0) \
        X(DRILL_STARTED,           "a322e3695c7b42dfb32dafc8a5cadcf2", LOG_INFO,     0) \
        X(DRILL_DONE,              "c96fe1732a8e477bb9c1ae1316741465", LOG_NOTICE,   0) \
        X(SHIP_STARTED,            "92164160cbf64a809b1907e17ef007a4", LOG_INFO,     0) \
        X(SHIP_DONE,               "21892b79bc6a4a36913cec53532295e3", LOG_INFO,     0) \
        X(SHIPPED,                 "781241fa10ea4c1f838cc24e70ada1a3", LOG_INFO,     0) \
        X(SHIP_FETCHED,            "d195b43df89b436e9e5493f5d93c9597", LOG_INFO,     0) \
        X(OFFSITE_DELETED,         "60b97197c6d04ea7aebbb719ddae26a6", LOG_NOTICE,   0) \
        X(SNAPSHOT_PINNED,         "a9b46c5fa48d4564911e4c4ae387140d", LOG_INFO,     0) \
        X(REGISTRY_WRITTEN,        "63b89b5402f246b7a200720bbd0605da", LOG_NOTICE,   0) \
        X(REGISTRY_MENDED,         "19ac5b1ddee441138193face96de8988", LOG_NOTICE,   0) \
        /* Called or configured wrongly. */ \
        X(USAGE,                   "b3ba7549381b4e08b1e3b947aa974712", LOG_ERR,      EX_USAGE) \
        X(CONFIG_INVALID,          "59262d2bde8c41ed935f536e029120fb", LOG_ERR,      EX_CONFIG) \
        X(STAMP_INVALID,           "3609789535ff49a9996bce80ab71bffc", LOG_ERR,      EX_USAGE) \
        X(PERMISSION_DENIED,       "3e9ef342998c47e28905de52dd5bb990", LOG_ERR,      EX_NOPERM) \
        X(OUT_OF_MEMORY,           "dcee9d1ce4b242eabc292fbd3bf7c176", LOG_ERR,      EX_SOFTWARE) \
        X(INTERNAL_ERROR,          "27f073dd4a5e4869a0018e8e7b5313c0", LOG_ERR,      EX_SOFTWARE) \
        /* Locks and interruptions. */ \
        X(LOCK_BUSY,               "978725907e7f4a43b21db3a31bcaaf3f", LOG_ERR,      EX_TEMPFAIL) \
        X(LOCK_FAILED,             "cc8309992c5c499ca3ddcf31b951f040", LOG_ERR,      EX_IOERR) \
        X(INTERRUPTED,             "ff69e52d3ddb42cbabf576e5fc47f682", LOG_ERR,      EX_TEMPFAIL) \
        /* Files and databases. */ \
        X(WRITE_FAILED,            "aad861fcb9fd47dcaee3ff764e3c604c", LOG_ERR,      EX_CANTCREAT) \
        X(NO_SPACE,                "af4c7c09e6464e46bb2cf9041d191839", LOG_ERR,      EX_CANTCREAT) \
        X(IO_ERROR,                "581746d6a0e641cfad48df55b01f5cd1", LOG_ERR,      EX_IOERR) \
        X(READ_FAILED,             "3902a269e7b24e2b9991c0f21978e962", LOG_ERR,      EX_IOERR) \
        X(STORAGE_ROOT_MISSING,    "c33b40d28a444b21a9c46d705c7b0d6d", LOG_ERR,      EX_NOINPUT) \
        X(DATABASE_MISSING,        "712ca0d1026348b79d92d4f1b5bc7b0f", LOG_ERR,      EX_NOINPUT) \
        X(DATABASE_INVALID,        "8a3ab394bf8249c0ba96c1352bb0a4df", LOG_ERR,      EX_DATAERR) \
        X(DATABASE_FOREIGN,        "7fd0aafd6e1542488f133b17e2dc07e3", LOG_ERR,      EX_DATAERR) \
        X(DATABASE_TOO_NEW,        "bbb20791bdb8425ab08b677c307e4951", LOG_ERR,      EX_DATAERR) \
        X(DATABASE_FAILED,         "83218f1cdf004e1c9ed4cade64669cbf", LOG_ERR,      EX_IOERR) \
        X(QUERY_TIMEOUT,           "9d78896d8d4e4fadbbbbe37f937b5ded", LOG_WARNING,  EX_TEMPFAIL) \
        X(REGISTRY_INVALID,        "d6c94775359140b6a9976bde1504bff5", LOG_WARNING,  EX_DATAERR) \
        X(REGISTRY_MISSING,        "f60922d98e4d4411bc18102bcd8b050e", LOG_WARNING,  EX_NOINPUT) \
        X(REGISTRY_CHANGED,        "64a66885771d4342b1e6201918cadbf5", LOG_WARNING,  EX_TEMPFAIL) \
        /* Ingest. */ \
        X(INGEST_FILE_SKIPPED,     "3fd3b5c8fda14ebebeba7f8fc6eb3873", LOG_WARNING,  0) \
        X(INGEST_REMOVAL_REFUSED,  "e40df546e54f4cf0aea5e1d619682367", LOG_WARNING,  0) \
        X(INGEST_FRONT_MATTER_IGNORED, "272d14ee82a8458e910b4693101c82ac", LOG_WARNING, 0) \
        X(WATCH_LIMITED,           "c41bf87831f14471b9d60ba610247bda", LOG_WARNING,  0) \
        X(WATCH_OVERFLOWED,        "4116c958b37c4b0caa8a7d22dd2c0dcc", LOG_NOTICE,   0) \
        X(INGEST_CONVERTER_MISSING, "0169195b7c1b4f4bb377d2999ec4155d", LOG_WARNING, 0) \
        X(INGEST_CONVERSION_WARNING, "1a634a71f6094d2a9d15d0d5c0a67551", LOG_WARNING, 0) \
        X(VECTORS_PENDING,         "c2850b2ccd1244849e95e8b98c943a84", LOG_WARNING,  0) \
        X(VECTOR_CACHE_DISCARDED,  "671e9e601508439e9c85115fe52b3b96", LOG_WARNING,  0) \
        X(VECTORS_FAILED,          "05ab1c7533574fd4a247eb4b48a36b59", LOG_ERR,      EX_UNAVAILABLE) \
        X(PROJECT_UNKNOWN,         "275c62dfaa4b4e79be5bfe016b60f66e", LOG_ERR,      EX_NOINPUT) \
        /* Snapshots. */ \
        X(BACKUP_ROOT_MISSING,     "4d6b12f37f8949818c4a50076ff9c205", LOG_ERR,      EX_CANTCREAT) \
        X(BACKUP_WARNING,          "3dfc832aac0244cdad7e59cfcc61cf19", LOG_WARNING,  0) \
        X(BACKUP_CHECK_FAILED,     "1126da38e5ab4969b4755324557c38fb", LOG_ERR,      EX_DATAERR) \
        X(SNAPSHOT_INVALID,        "562b844f8ddd44fb99ac51caef0f1be1", LOG_ERR,      EX_DATAERR) \
        X(SNAPSHOT_WARNING,        "43e8d1d5f3ad48328381e64f6e2c84a6", LOG_WARNING,  0) \
        X(SNAPSHOT_IN_FUTURE,      "c221b5585c6b43dcbf3769fa843d94fe", LOG_WARNING,  0) \
        X(SNAPSHOT_NOT_FOUND,      "0bc43e4236564f54a5efb7a8453fc0aa", LOG_ERR,      EX_NOINPUT) \
        X(ARCHIVE_KEY_FAILED,      "4efe2d1393ec42c08c15b7d7f2f6e296", LOG_ERR,      EX_NOPERM) \
        X(PRUNE_REFUSED,           "613db90871d04b1ba3d41f604304e906", LOG_ERR,      EX_DATAERR) \
        X(PROOF_FAILED,            "b0ae568dddcc4b26b2b4f4802f47532b", LOG_ERR,      EX_UNAVAILABLE) \
        X(STATE_NOT_SAVED,         "6c9859548be340cb86fdc92c3753d144", LOG_WARNING,  0) \
        /* Restoring. */ \
        X(RESTORE_WARNING,         "d4756be48954420bb2043e118a4e5d4a", LOG_WARNING,  0) \
        X(RESTORE_REFUSED,         "fed455fe32b047adb4196c7e48c99794", LOG_ERR,      EX_DATAERR) \
        X(RESTORE_INTERRUPTED,     "fa5e61ce84c44fe18070c23380b9f0c6", LOG_ERR,      EX_TEMPFAIL) \
        X(RESTORE_ROLLED_BACK,     "77615fe56e3441e8bdd0110f7858c035", LOG_ERR,      EX_UNAVAILABLE) \
        X(DRILL_FAILED,            "c12b47ec0eed4b338cfa11e3fd2b53b0", LOG_ERR,      EX_UNAVAILABLE) \
        /* Off the machine. */ \
        X(OFFSITE_FAILED,          "7638808e540e4d21853f0bd049d60c46", LOG_ERR,      EX_UNAVAILABLE) \
        X(OFFSITE_MISMATCH,        "5d35bb2a5620483883bda5df36359caa", LOG_ERR,      EX_DATAERR) \
        /* The daemon. */ \
        X(LISTEN_FAILED,         "2cfad515046544fda82f77eb99162ab8", LOG_ERR,      EX_UNAVAILABLE) \
        X(DAEMON_DEGRADED,         "fdff54269d3c434b9fd7f72bfb7f7ef5", LOG_WARNING,  0) \
        X(VECTORS_UNAVAILABLE,     "d5d95b69efc1452c90e10644c1e1ac4f", LOG_WARNING,  0) \
        X(VECTORS_BACK,            "a49cde00cd634eedae0520183c02218d", LOG_NOTICE,   0) \
        X(REQUEST_FAILED,          "d9635381a4f54d529e2b6cad1bfaa982", LOG_ERR,      0) \
        X(REQUEST_REJECTED,        "c304f89bbc074a4aae94c1847df2e660", LOG_NOTICE,   0)
/* clang-format on */

enum EventId {
        EVENT_NONE,
#define X(symbol, id, priority, status) EVENT_##symbol,
        ATOCORE_EVENTS(X)
#undef X
        EVENT_COUNT_,
};

#define EVENT_COUNT ((int) EVENT_COUNT_)

const char *event_code(enum EventId event);       /* "lock_busy" */
const char *event_message_id(enum EventId event); /* 32 lower-case hex digits */
int event_priority(enum EventId event);           /* LOG_ERR … */
int event_exit_status(enum EventId event);        /* EX_… of sysexits.h, 0 where no failure */
