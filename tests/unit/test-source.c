/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/source.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "scratch.h"

/* What a walk met, in its order: `file a.md` and `problem b.md: reason`. */
struct Met {
        FILE *f;
        char *text;
        size_t size;
        int end_with; /* after the first file */
        bool read;    /* and read each file */
};

static int meet_file(const struct SourceFile *file, void *userdata) {
        struct Met *met = userdata;

        (void) fprintf(met->f, "file %s%s", file->path,
                file->kind == DOCUMENT_TEXT            ? " (text)"
                        : file->kind == DOCUMENT_PAGES ? " (pages)"
                                                       : "");
        if (file->conversion != CONVERSION_NONE)
                (void) fprintf(met->f, " (%s)", conversion_kinds[file->conversion].format);
        if (met->read) {
                char content[64] = "";
                int fd = -1;

                MUST(source_open_file(file, &fd) == 0);
                MUST(read(fd, content, sizeof content - 1) >= 0);
                (void) close(fd);
                (void) fprintf(met->f, " = %s", content);
        }
        (void) fputc('\n', met->f);
        return met->end_with;
}

static int meet_problem(const struct SourceProblem *problem, void *userdata) {
        struct Met *met = userdata;

        (void) fprintf(met->f, "%s %s: %s%s\n", problem->is_document ? "bad" : "problem",
                problem->path, problem->reason, problem->unknown ? " (unknown)" : "");
        return 0;
}

static int walk(struct Met *met, const char *subpath) {
        const struct SourceVisitor visitor = { meet_file, meet_problem, met };
        const struct Operation operation = { 0 };
        _cleanup_source_ struct Source *source = NULL;
        int r;

        met->f = open_memstream(&met->text, &met->size);
        MUST(met->f);
        r = source_open(scratch("source"), subpath, &source);
        if (r >= 0)
                r = source_walk(source, &operation, &visitor);
        MUST(fclose(met->f) == 0);
        return r;
}

static void expect(const char *subpath, const char *expected) {
        struct Met met = { .read = true };

        assert_int_equal(walk(&met, subpath), 0);
        assert_string_equal(met.text, expected);
        free(met.text);
}

static void expect_unopened(const char *subpath, int error) {
        struct Met met = { 0 };

        assert_int_equal(walk(&met, subpath), -error);
        free(met.text);
}

static void make_directory(const char *name) {
        MUST(mkdir(scratch(name), 0755) == 0);
}

static void make_file(const char *name) {
        scratch_write(scratch(name), "x", 1);
}

static void make_link(const char *target, const char *name) {
        MUST(symlink(target, scratch(name)) == 0);
}

static int setup(void **state) {
        int r = scratch_setup(state);

        make_directory("source");
        return r;
}

static void test_documents_are_known_by_their_names(void **state) {
        (void) state;
        static const char *const names[] = { "a.md", "b.MARKDOWN", "c.txt", "d.Text", "e.rst",
                "f.org", "g.log", "h", "i.md.bak", "md", "j.html", "k.tar.md", "l.HTM", "m.xhtml",
                "n.Pdf", "o.docx", "p.odt", "q.doc", "r.mhtml" };
        char path[64];

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                (void) snprintf(path, sizeof path, "source/%s", names[i]);
                make_file(path);
        }
        expect("",
                "file a.md = x\nfile b.MARKDOWN = x\nfile c.txt (text) = x\n"
                "file d.Text (text) = x\nfile e.rst (text) = x\nfile f.org (text) = x\n"
                "file j.html (HTML) = x\nfile k.tar.md = x\nfile l.HTM (HTML) = x\n"
                "file m.xhtml (HTML) = x\nfile n.Pdf (pages) (PDF) = x\n"
                "file o.docx (DOCX) = x\nfile p.odt (ODT) = x\n");
}

static void test_what_is_hidden_is_not_seen(void **state) {
        (void) state;
        make_file("source/.a.md");
        make_file("source/.md");
        make_directory("source/.obsidian");
        make_file("source/.obsidian/b.md");
        make_directory("source/c");
        make_directory("source/c/.trash");
        make_file("source/c/.trash/d.md");
        expect("", "");
}

static void test_names_are_bytes(void **state) {
        (void) state;
        char longest[PATH_MAX] = "source/";

        memset(longest + strlen(longest), 'n', 252);
        strcat(longest, ".md");
        make_file(longest);
        make_file("source/ space \"quote\" 'and' $(x).md");
        make_file("source/line\nbreak.md");
        make_file("source/\xc3\xa4\xf0\x9f\x98\x80.md");
        make_file("source/latin-\xe4.md");
        make_file("source/other-\xe4.png");
        make_directory("source/\xff");
        make_file("source/\xff/a.md");

        struct Met met = { 0 };
        assert_int_equal(walk(&met, ""), 0);
        assert_non_null(strstr(met.text, "file  space \"quote\" 'and' $(x).md\n"));
        assert_non_null(strstr(met.text, "file line\nbreak.md\n"));
        assert_non_null(strstr(met.text, "file \xc3\xa4\xf0\x9f\x98\x80.md\n"));
        assert_non_null(strstr(met.text, longest + strlen("source/")));
        assert_non_null(
                strstr(met.text, "bad latin-\\xe4.md: has a name that is not valid UTF-8\n"));
        assert_non_null(strstr(met.text, "problem \\xff: is a directory whose name is not"));
        assert_null(strstr(met.text, "other"));
        assert_null(strstr(met.text, "a.md"));
        free(met.text);
}

static void test_links_into_the_source_are_met_where_they_lead(void **state) {
        (void) state;
        make_directory("source/d");
        make_file("source/d/a.md");
        make_link("d/a.md", "source/relative.md");
        make_link(scratch("source/d/a.md"), "source/absolute.md");
        make_link("d", "source/directory");
        make_link("..", "source/d/up");
        make_link(".", "source/itself");
        make_link(scratch("source"), "source/d/root");
        expect("", "file d/a.md = x\n");
}

static void test_a_link_to_a_file_that_is_not_met_itself_counts(void **state) {
        (void) state;
        make_directory("source/.annex");
        make_file("source/.annex/KEY");
        make_file("source/.annex/KEY.md");
        make_file("source/data.bin");
        make_link(".annex/KEY", "source/a.md");
        make_link(".annex/KEY.md", "source/b.md");
        make_link("data.bin", "source/c.txt");
        make_link(".annex", "source/d");
        expect("", "file a.md = x\nfile b.md = x\nfile c.txt (text) = x\n");
}

static void test_links_out_of_the_source_are_problems(void **state) {
        (void) state;
        char expected[3 * PATH_MAX];

        make_directory("outside");
        make_file("outside/a.md");
        make_directory("source-not");
        make_file("source-not/b.md");
        make_link("../outside/a.md", "source/a.md");
        make_link(scratch("source-not/b.md"), "source/b.md");
        make_link("../outside", "source/c");
        make_link("../outside/a.md", "source/d.png");
        make_link("a.md", "source/e.md");
        (void) snprintf(expected, sizeof expected,
                "bad a.md: is a link that leaves its source, to %s/outside/a.md\n"
                "bad b.md: is a link that leaves its source, to %s/source-not/b.md\n"
                "problem c: is a link that leaves its source, to %s/outside\n"
                "bad e.md: is a link that leaves its source, to %s/outside/a.md\n",
                scratch_directory, scratch_directory, scratch_directory, scratch_directory);
        expect("", expected);
}

static void test_links_to_nothing_are_problems(void **state) {
        (void) state;
        make_link("nowhere.md", "source/a.md");
        make_link("nowhere", "source/b");
        make_link("c.md", "source/c.md");
        make_link("/proc/self/fd/0", "source/d");
        expect("",
                "bad a.md: is a link to nothing\n"
                "bad c.md: is a link in a circle\n");
}

static void test_a_pipe_or_a_socket_does_not_hold_up(void **state) {
        (void) state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        MUST(mkfifo(scratch("source/a.md"), 0644) == 0);
        MUST(mkfifo(scratch("source/b"), 0644) == 0);
        (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch("source/c.md"));
        MUST(fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof address) == 0);
        make_directory("source/d.md");
        make_file("source/d.md/e.md");
        expect("",
                "bad a.md: is a FIFO, not a file\n"
                "bad c.md: is a socket, not a file\n"
                "file d.md/e.md = x\n");
}

/* Between the look and the opening, a pipe takes the place of the file. */
static int replace_and_open(const struct SourceFile *file, void *userdata) {
        int fd = -1;

        (void) userdata;
        MUST(unlink(scratch("source/a.md")) == 0);
        MUST(mkfifo(scratch("source/a.md"), 0644) == 0);
        MUST(source_open_file(file, &fd) == 0);
        MUST(close(fd) == 0);

        MUST(unlink(scratch("source/a.md")) == 0);
        make_link("/etc/passwd", "source/a.md");
        MUST(source_open_file(file, &fd) == -ELOOP);
        return 0;
}

static void test_what_takes_the_place_of_a_file_does_not_hold_up_or_lead_away(void **state) {
        (void) state;
        const struct SourceVisitor visitor = { replace_and_open, meet_problem, NULL };
        const struct Operation operation = { 0 };
        _cleanup_source_ struct Source *source = NULL;

        make_file("source/a.md");
        assert_int_equal(source_open(scratch("source"), "", &source), 0);
        assert_int_equal(source_walk(source, &operation, &visitor), 0);
}

static void test_the_source_itself_may_be_a_link(void **state) {
        (void) state;
        MUST(rmdir(scratch("source")) == 0);
        make_directory("vault");
        make_file("vault/a.md");
        make_link("a.md", "vault/b.md");
        make_link(scratch("vault/a.md"), "vault/c.md");
        make_link("vault", "source");
        expect("", "file a.md = x\n");
}

static void test_a_subpath_is_a_directory_or_a_file(void **state) {
        (void) state;
        make_directory("source/a");
        make_directory("source/a/b");
        make_file("source/a/b/c.md");
        make_file("source/a/b/d.png");
        make_file("source/a/b2.md");
        make_link("a", "source/link");
        make_directory("source/.hidden");
        expect("a", "file a/b/c.md = x\nfile a/b2.md = x\n");
        expect("a/b", "file a/b/c.md = x\n");
        expect("a/b/c.md", "file a/b/c.md = x\n");
        expect_unopened("a/b/d.png", EMEDIUMTYPE);
        expect_unopened("a/nothing", ENOENT);
        expect_unopened("nothing/b", ENOENT);
        expect_unopened("a/b/c.md/d", ENOTDIR);
        expect_unopened("link", ENOTDIR);
        expect_unopened("link/b", ENOTDIR);
        expect_unopened(".hidden", EPERM);
        expect_unopened("a/.hidden", EPERM);
}

static void test_a_missing_source_is_told(void **state) {
        (void) state;
        MUST(rmdir(scratch("source")) == 0);
        expect_unopened("", ENOENT);
        make_file("source");
        expect_unopened("", ENOTDIR);
}

static int unreadable(void *userdata) {
        struct Met met = { 0 };
        const char *expected = userdata;

        become_nobody();
        return walk(&met, "") == 0 && strcmp(met.text, expected) == 0 ? 0 : 1;
}

static void test_an_unreadable_directory_is_a_problem_and_the_rest_goes_on(void **state) {
        (void) state;
        make_directory("source/a");
        make_file("source/a/x.md");
        make_directory("source/b");
        make_file("source/b/y.md");
        make_file("source/c.md");
        make_file("source/d.md");
        MUST(chmod(scratch_directory, 0755) == 0);
        MUST(chmod(scratch("source/a"), 0000) == 0);
        MUST(chmod(scratch("source/b"), 0444) == 0);
        MUST(chmod(scratch("source/c.md"), 0000) == 0);

        static char expected[] = "problem a: cannot be opened: Permission denied (unknown)\n"
                                 "bad b/y.md: cannot be looked at: Permission denied (unknown)\n"
                                 "file c.md\nfile d.md\n";
        assert_int_equal(child_ask(unreadable, expected), 0);
        MUST(chmod(scratch("source/a"), 0755) == 0 && chmod(scratch("source/b"), 0755) == 0);
}

/* Deeper than any path name can be long. */
static void test_nesting_is_bounded(void **state) {
        (void) state;
        enum {
                DEPTH = SOURCE_DEPTH_MAX + 10
        };
        char name[200];
        int fd = open(scratch("source"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        memset(name, 'd', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        MUST(fd >= 0);
        for (int i = 0; i < DEPTH; i++) {
                int file = openat(fd, "a.md", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
                MUST(file >= 0 && close(file) == 0);
                MUST(mkdirat(fd, name, 0755) == 0);
                int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                MUST(next >= 0);
                (void) close(fd);
                fd = next;
        }
        (void) close(fd);

        struct Met met = { 0 };
        size_t files = 0;
        assert_int_equal(walk(&met, ""), 0);
        for (const char *at = met.text; (at = strstr(at, "file ")); at++)
                files++;
        assert_int_equal(files, SOURCE_DEPTH_MAX + 1);
        assert_non_null(strstr(met.text, "is a directory below too many others (unknown)"));
        free(met.text);
}

static void test_the_visitor_can_end_the_walk(void **state) {
        (void) state;
        struct Met met = { .end_with = -EXFULL };

        make_directory("source/a");
        make_file("source/a/b.md");
        make_file("source/c.md");
        assert_int_equal(walk(&met, ""), -EXFULL);
        assert_string_equal(met.text, "file a/b.md\n");
        free(met.text);
}

static void test_a_source_can_be_walked_twice(void **state) {
        (void) state;
        const struct SourceVisitor visitor = { meet_file, meet_problem, &(struct Met){ 0 } };
        const struct Operation operation = { 0 };
        struct Met *met = visitor.userdata;
        _cleanup_source_ struct Source *source = NULL;

        make_file("source/a.md");
        met->f = open_memstream(&met->text, &met->size);
        MUST(met->f);
        assert_int_equal(source_open(scratch("source"), "", &source), 0);
        assert_int_equal(source_walk(source, &operation, &visitor), 0);
        assert_int_equal(source_walk(source, &operation, &visitor), 0);
        MUST(fclose(met->f) == 0);
        assert_string_equal(met->text, "file a.md\nfile a.md\n");
        free(met->text);
}

/* What is made in a directory once it was told of is met all the same. */
static int make_a_file_in_it(const char *path, int dir_fd, void *userdata) {
        struct Met *met = userdata;

        (void) fprintf(met->f, "directory %s\n", path);
        MUST(close(openat(dir_fd, "made.md", O_CREAT | O_WRONLY | O_CLOEXEC, 0640)) == 0);
        return 0;
}

static void test_a_directory_is_told_before_it_is_read(void **state) {
        (void) state;
        struct Met met = { 0 };
        const struct SourceVisitor visitor = { .file = meet_file,
                .problem = meet_problem,
                .directory = make_a_file_in_it,
                .userdata = &met };
        const struct Operation operation = { 0 };
        _cleanup_source_ struct Source *source = NULL;

        make_directory("source/a");
        make_directory("source/.hidden");
        MUST(symlink("a", scratch("source/link")) == 0);
        met.f = open_memstream(&met.text, &met.size);
        MUST(met.f);
        assert_int_equal(source_open(scratch("source"), "", &source), 0);
        assert_int_equal(source_walk(source, &operation, &visitor), 0);
        MUST(fclose(met.f) == 0);
        assert_string_equal(met.text, "directory \ndirectory a\nfile a/made.md\nfile made.md\n");
        free(met.text);
}

static void test_names_tell_what_is_looked_at(void **state) {
        (void) state;
        assert_true(source_concerns("a.md", false));
        assert_true(source_concerns("a", true));
        assert_true(source_concerns("a.png", true));
        assert_false(source_concerns("a.png", false));
        assert_false(source_concerns(".a.md", false));
        assert_false(source_concerns(".git", true));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_documents_are_known_by_their_names),
                TEST(test_what_is_hidden_is_not_seen),
                TEST(test_names_are_bytes),
                TEST(test_links_into_the_source_are_met_where_they_lead),
                TEST(test_a_link_to_a_file_that_is_not_met_itself_counts),
                TEST(test_links_out_of_the_source_are_problems),
                TEST(test_links_to_nothing_are_problems),
                TEST(test_a_pipe_or_a_socket_does_not_hold_up),
                TEST(test_what_takes_the_place_of_a_file_does_not_hold_up_or_lead_away),
                TEST(test_the_source_itself_may_be_a_link),
                TEST(test_a_subpath_is_a_directory_or_a_file),
                TEST(test_a_missing_source_is_told),
                TEST(test_an_unreadable_directory_is_a_problem_and_the_rest_goes_on),
                TEST(test_nesting_is_bounded),
                TEST(test_the_visitor_can_end_the_walk),
                TEST(test_a_source_can_be_walked_twice),
                TEST(test_a_directory_is_told_before_it_is_read),
                TEST(test_names_tell_what_is_looked_at),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
