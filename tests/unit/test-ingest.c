/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/ingest.h"

#include <sys/file.h>
#include <sys/inotify.h>

#include "ingest-fixture.h"
#include "lib/base/json-document.h"
#include "lib/knowledge/document-file.h"

static void test_files_become_documents_and_chunks(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a/First note.md",
                "---\ntitle: Front\ntags: [one, \"#two\"]\naliases: Other name\n---\n"
                "before\n\n# Head\n\n## Sub \"q\"\n\ntext\n");
        write_text(f, "sources/vault/b.md", "# Only\n");
        write_text(f, "sources/drive/c.txt", "plain \xc3\xa4\n");
        write_text(f, "sources/drive/empty.md", "");
        expect(f, "4 4 0 0 +4 -0");

        expect_rows(f,
                "SELECT source, path, title, tags, aliases, size, ingested_at FROM documents"
                " ORDER BY source, path",
                "drive|c.txt|c|[]|[]|9|1775541600\n"
                "drive|empty.md|empty|[]|[]|0|1775541600\n"
                "vault|a/First note.md|Front|[\"one\",\"two\"]|[\"Other name\"]|94|1775541600\n"
                "vault|b.md|Only|[]|[]|7|1775541600\n");
        expect_rows(f,
                "SELECT path, ordinal, chunks.title, heading_path, keywords, start_line, end_line,"
                " char_count, content FROM chunks JOIN documents ON documents.id = document_id"
                " ORDER BY source, path, ordinal",
                "c.txt|0|c|[]||1|1|7|plain \xc3\xa4\n"
                "a/First note.md|0|Front|[]|one, two, Other name|6|6|6|before\n"
                "a/First note.md|1|Front|[\"Head\",\"Sub \\\"q\\\"\"]|one, two, Other name|10|12|"
                "16|## Sub \"q\"\n\ntext\n"
                "b.md|0|Only|[\"Only\"]||1|1|6|# Only\n");
        expect_rows(f, "SELECT value FROM state WHERE key = 'last_ingest_at'", "1775541600\n");
        expect_sound_index(f);
}

/* Files, not directories, of the watched directory that were opened since. */
static size_t count_opened(int watch) {
        char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        size_t opened = 0;
        ssize_t n;

        while ((n = read(watch, buffer, sizeof buffer)) > 0)
                for (char *at = buffer; at < buffer + n;) {
                        struct inotify_event event;

                        memcpy(&event, at, sizeof event);
                        opened += (event.mask & IN_ISDIR) == 0;
                        at += sizeof event + event.len;
                }
        assert_int_equal(errno, EAGAIN);
        return opened;
}

static void test_unchanged_files_are_not_even_opened(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        write_many(f, "sources/vault", 5);
        assert_return_code(watch, errno);
        assert_return_code(inotify_add_watch(watch, path_of(f, "sources/vault"), IN_OPEN), errno);
        expect(f, "5 5 0 0 +5 -0");
        assert_int_equal(count_opened(watch), 5);
        expect(f, "5 0 5 0 +0 -0");
        assert_int_equal(count_opened(watch), 0);
}

static void test_nothing_changed_is_nothing_written(void **state) {
        struct StoreFixture *f = *state;
        int64_t before, after;

        write_many(f, "sources/vault", 5);
        write_text(f, "sources/vault/just-now.md", "text");
        assert_return_code(utime(path_of(f, "sources/vault/just-now.md"), NULL), errno);
        expect(f, "6 6 0 0 +6 -0");

        /* Of this connection's: changes whenever another one commits. */
        open_store(f);
        before = fixture_query(f, "PRAGMA data_version");
        f->clock.now += 100;
        for (int i = 0; i < 3; i++)
                expect(f, "6 0 6 0 +0 -0");
        after = fixture_query(f, "PRAGMA data_version");
        assert_int_equal(before, after);
        expect_rows(f, "SELECT value FROM state WHERE key = 'last_ingest_at'", "1775541600\n");
}

static void test_a_changed_file_replaces_its_own_chunks_only(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "# A\nold\n# B\nold\n");
        write_text(f, "sources/vault/b.md", "# C\nstays\n");
        expect(f, "2 2 0 0 +3 -0");
        write_text(f, "sources/vault/a.md", "# A\nnew words\n");
        f->clock.now += 100;
        expect(f, "2 1 1 0 +1 -2");

        expect_rows(f, "SELECT id, path, ingested_at FROM documents ORDER BY id",
                "1|a.md|1775541700\n2|b.md|1775541600\n");
        /* Ids are never used again. */
        expect_rows(f, "SELECT id, content FROM chunks ORDER BY id",
                "3|# C\nstays\n4|# A\nnew words\n");
        expect_rows(f, "SELECT chunks FROM terms WHERE term = 'old'", "");
        expect_rows(f, "SELECT chunks FROM terms WHERE term = 'new'", "1\n");
        expect_rows(f, "SELECT value FROM state WHERE key = 'last_ingest_at'", "1775541700\n");
        expect_sound_index(f);
}

static void test_a_touched_file_is_read_once_and_keeps_its_chunks(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "text\n");
        expect(f, "1 1 0 0 +1 -0");
        set_time(f, "sources/vault/a.md", OLD + 100);
        expect(f, "1 0 1 0 +0 -0");
        expect_rows(f, "SELECT id FROM chunks", "1\n");
        expect_rows(f, "SELECT mtime_ns FROM documents", "1700000100000000000\n");
}

/* Same size, same times, same inode: only the content tells. */
static void test_a_change_right_after_the_reading_is_seen(void **state) {
        struct StoreFixture *f = *state;
        struct timespec times[2];
        struct stat st;
        int fd;

        write_text(f, "sources/vault/a.md", "one\n");
        assert_return_code(utime(path_of(f, "sources/vault/a.md"), NULL), errno);
        assert_return_code(stat(path_of(f, "sources/vault/a.md"), &st), errno);
        expect(f, "1 1 0 0 +1 -0");

        fd = open(path_of(f, "sources/vault/a.md"), O_WRONLY | O_CLOEXEC);
        assert_return_code(fd, errno);
        assert_int_equal(write(fd, "two\n", 4), 4);
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
        assert_return_code(futimens(fd, times), errno);
        assert_return_code(close(fd), errno);
        /* The time of the change of the inode cannot be set: as if the clock had not moved. */
        assert_return_code(stat(path_of(f, "sources/vault/a.md"), &st), errno);
        char sql[128];
        (void) snprintf(sql, sizeof sql, "UPDATE documents SET ctime_ns = %" PRId64,
                (int64_t) st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec);
        assert_success(f, store_open(&f->operation, SQLITE_MODE_WRITE, &f->store, &f->failure));
        fixture_execute(f, sql);
        f->store = store_close(f->store);

        expect(f, "1 1 0 0 +1 -1");
        expect_rows(f, "SELECT content FROM chunks", "two\n");
}

static void test_what_is_no_document_is_told_and_the_rest_goes_on(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_free_ char *large = malloc(DOCUMENT_FILE_MAX + 1);

        assert_non_null(large);
        memset(large, 'x', DOCUMENT_FILE_MAX + 1);
        write_text(f, "sources/vault/a.md", "text\n");
        write_bytes(f, "sources/vault/binary.md", "a\0b", 3);
        write_text(f, "sources/vault/latin.txt", "caf\xe9");
        write_bytes(f, "sources/vault/large.md", large, DOCUMENT_FILE_MAX + 1);
        assert_return_code(mkfifo(path_of(f, "sources/vault/pipe.md"), 0600), errno);
        assert_return_code(symlink("/etc/passwd", path_of(f, "sources/vault/out.md")), errno);
        write_text(f, "sources/vault/z.md", "text\n");
        expect(f,
                "7 2 0 0 +2 -0\n"
                "sources/vault/binary.md: is binary: it holds a NUL byte\n"
                "sources/vault/large.md: is larger than 16 MiB\n"
                "sources/vault/latin.txt: is not valid UTF-8 (at byte 4)\n"
                "sources/vault/out.md: is a link that leaves its source, to /etc/passwd\n"
                "sources/vault/pipe.md: is a FIFO, not a file");
}

static void test_the_largest_file_is_taken(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_free_ char *large = malloc(DOCUMENT_FILE_MAX);

        assert_non_null(large);
        memset(large, '[', DOCUMENT_FILE_MAX);
        write_bytes(f, "sources/vault/large.md", large, DOCUMENT_FILE_MAX);
        _cleanup_ingest_result_ struct IngestResult *result = ingest(f);
        assert_int_equal(result->files_indexed, 1);
        assert_int_equal(result->n_errors, 0);
        expect_rows(f, "SELECT sum(char_count) FROM chunks", "16777216\n");
}

static void test_broken_front_matter_is_told_and_the_file_indexed(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "---\ntitle: [x\n---\n# Head\ntext\n");
        _cleanup_ingest_result_ struct IngestResult *result = ingest(f);
        assert_int_equal(result->files_indexed, 1);
        assert_int_equal(result->n_errors, 1);
        assert_string_equal(result->errors[0].path, "sources/vault/a.md");
        assert_memory_equal(result->errors[0].error, "front matter ignored: line ", 27);
        expect_rows(f, "SELECT title FROM documents", "Head\n");
        expect_rows(f, "SELECT count(*) FROM chunks", "2\n");
}

static void test_what_could_not_be_read_of_front_matter_is_told(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a.md", "---\ntitle: T\ntags: {a: b}\n---\n# Head\ntext\n");
        expect(f,
                "1 1 0 0 +2 -0\n"
                "sources/vault/a.md: front matter ignored: in part: line 3 has neither text nor a "
                "list of texts");
        expect_rows(f, "SELECT title FROM documents", "T\n");
}

static void test_strange_names_are_taken_as_they_are(void **state) {
        struct StoreFixture *f = *state;

        write_text(f, "sources/vault/a \"b\"\n'c'.md", "text\n");
        write_text(f, "sources/vault/%s%n.md", "text\n");
        write_text(f, "sources/vault/\xff.md", "text\n");
        expect(f,
                "3 2 0 0 +2 -0\n"
                "sources/vault/\\xff.md: has a name that is not valid UTF-8");
        expect_rows(f, "SELECT path, title FROM documents ORDER BY path",
                "%s%n.md|%s%n\na \"b\"\n'c'.md|a \"b\" 'c'\n");
}

static bool cancel_at_once(void *userdata) {
        return (*(int *) userdata)-- <= 0;
}

static void test_a_stopped_run_leaves_whole_files(void **state) {
        struct StoreFixture *f = *state;
        struct IngestResult *result = NULL;
        int left = 9;
        _cleanup_free_ char *text = malloc(1 << 20);

        /* Little to index, and yet as many bytes as one transaction takes, 8 MiB, in 8 of them. */
        memset(text, '\n', 1 << 20);
        memcpy(text, "word", 4);
        for (int i = 0; i < 10; i++) {
                char name[64];

                (void) snprintf(name, sizeof name, "sources/vault/%d.md", i);
                write_bytes(f, name, text, 1 << 20);
        }
        f->operation.cancelled = cancel_at_once;
        f->operation.userdata = &left;
        assert_int_equal(ingest_run(&f->operation, NULL, 0, false, &result, &f->failure), -EINTR);
        assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
        failure_clear(&f->failure);
        f->operation.cancelled = NULL;

        /* One transaction was through by then. */
        expect_rows(f, "SELECT count(*) FROM documents", "8\n");
        expect_rows(f, "SELECT count(*) FROM chunks", "8\n");
        expect(f, "10 2 8 0 +2 -0");
        expect_sound_index(f);
}

static void test_a_second_run_is_refused_and_told_by_whom(void **state) {
        struct StoreFixture *f = *state;
        struct IngestResult *result = NULL;
        int fd;

        write_text(f, "sources/vault/a.md", "text\n");
        expect(f, "1 1 0 0 +1 -0");
        fd = open(f->layout->ingestion_lock, O_RDWR | O_CLOEXEC);
        assert_return_code(fd, errno);
        assert_return_code(flock(fd, LOCK_EX), errno);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, path_of(f, "x"), "", 0), 0);
        assert_return_code(ftruncate(fd, 0), errno);
        assert_int_equal(pwrite(fd, "77 atocore-backup since 2026\n", 29, 0), 29);
        assert_int_equal(ingest_run(&f->operation, NULL, 0, false, &result, &f->failure), -EAGAIN);
        assert_int_equal(f->failure.event, EVENT_LOCK_BUSY);
        assert_non_null(strstr(failure_message(&f->failure), "77 atocore-backup"));
        assert_return_code(close(fd), errno);
}

static void test_the_result_is_the_object_of_the_contract(void **state) {
        struct StoreFixture *f = *state;
        char expected[300];

        write_bytes(f, "sources/vault/a\"b.md", "\0", 1);
        _cleanup_ingest_result_ struct IngestResult *result = ingest(f);
        _cleanup_json_ json_object *object = ingest_result_to_json(result);

        (void) snprintf(expected, sizeof expected,
                "{\"files_seen\":1,\"files_indexed\":0,\"files_unchanged\":0,\"files_removed\":0,"
                "\"chunks_added\":0,\"chunks_removed\":0,\"duration_ms\":%" PRIu64 ","
                "\"vectors\":null,\"errors\":[{\"path\":\"sources/vault/a\\\"b.md\","
                "\"error\":\"is binary: it holds a NUL byte\"}]}",
                result->duration_ms);
        assert_string_equal(json_object_to_json_string_ext(object,
                                    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                expected);
}

static void test_each_error_is_an_event(void **state) {
        struct StoreFixture *f = *state;
        struct Notices notices = { "" };

        take_notices(f, &notices);
        write_bytes(f, "sources/vault/a.md", "\0", 1);
        write_text(f, "sources/vault/b.md", "---\n- x\n---\n");
        write_text(f, "sources/drive/c.md", "text\n");
        _cleanup_ingest_result_ struct IngestResult *first = ingest(f);
        assert_int_equal(first->n_errors, 2);
        assert_string_equal(notices.text,
                "[ingest_file_skipped] sources/vault/a.md was not ingested: is binary: it holds a "
                "NUL byte\n"
                "[ingest_front_matter_ignored] sources/vault/b.md is indexed: front matter "
                "ignored: is no mapping of keys to values\n");
        notices.text[0] = '\0';
        remove_file(f, "sources/drive/c.md");
        remove_file(f, "sources/vault/a.md");
        _cleanup_ingest_result_ struct IngestResult *second = ingest(f);
        assert_int_equal(second->n_errors, 1);
        assert_memory_equal(notices.text, "[ingest_removal_refused] sources/drive seems to be gone",
                strlen("[ingest_removal_refused] sources/drive seems to be gone"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_files_become_documents_and_chunks),
                TEST(test_unchanged_files_are_not_even_opened),
                TEST(test_nothing_changed_is_nothing_written),
                TEST(test_a_changed_file_replaces_its_own_chunks_only),
                TEST(test_a_touched_file_is_read_once_and_keeps_its_chunks),
                TEST(test_a_change_right_after_the_reading_is_seen),
                TEST(test_what_is_no_document_is_told_and_the_rest_goes_on),
                TEST(test_the_largest_file_is_taken),
                TEST(test_broken_front_matter_is_told_and_the_file_indexed),
                TEST(test_what_could_not_be_read_of_front_matter_is_told),
                TEST(test_strange_names_are_taken_as_they_are),
                TEST(test_a_stopped_run_leaves_whole_files),
                TEST(test_a_second_run_is_refused_and_told_by_whom),
                TEST(test_the_result_is_the_object_of_the_contract),
                TEST(test_each_error_is_an_event),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
