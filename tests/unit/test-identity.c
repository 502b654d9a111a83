/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/file-io.h"
#include "lib/command/identity.h"

#define STRANGER 54321 /* in no passwd */

static int setup(void **state) {
        char directory[] = "/tmp/atocore-test-identity-XXXXXX";
        struct Layout *layout = NULL;

        assert_non_null(mkdtemp(directory));
        assert_int_equal(layout_new(directory, &layout), 0);
        *state = layout;
        return 0;
}

static int teardown(void **state) {
        struct Layout *layout = *state;

        assert_int_equal(remove_tree_at(AT_FDCWD, layout->root), 0);
        layout_free(layout);
        return 0;
}

/* In a process of its own, since there is no way back: what does not hold is its exit status. */
static int in_child(int (*check)(const struct Layout *), const struct Layout *layout) {
        pid_t child = fork();
        int status;

        if (child == 0)
                _exit(check(layout));
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

#define EXPECT(condition)                                                                          \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        return __LINE__ % 255 + 1;                                                 \
        } while (0)

static int become_stranger(const struct Layout *layout) {
        _cleanup_free_ char *file = NULL;
        uid_t real, effective, saved;
        gid_t group, effective_group, saved_group, further[8];
        struct stat status;

        EXPECT(command_assume_identity(layout, NULL) == 0);
        EXPECT(getresuid(&real, &effective, &saved) == 0);
        EXPECT(real == STRANGER && effective == STRANGER && saved == STRANGER);
        EXPECT(getresgid(&group, &effective_group, &saved_group) == 0);
        EXPECT(group == STRANGER && effective_group == STRANGER && saved_group == STRANGER);
        EXPECT(getgroups(8, further) == 1 && further[0] == STRANGER);
        EXPECT(setuid(0) < 0 && seteuid(0) < 0 && setgid(0) < 0);
        EXPECT(access("/proc/1/environ", R_OK) < 0);

        EXPECT(asprintf(&file, "%s/new", layout->root) > 0);
        EXPECT(mkdir(file, 0777) == 0);
        EXPECT(stat(file, &status) == 0 && status.st_uid == STRANGER);
        EXPECT((status.st_mode & 07777) == 0750);
        return 0;
}

static void test_root_becomes_the_owner_for_good(void **state) {
        const struct Layout *layout = *state;

        if (geteuid() != 0)
                skip();
        assert_int_equal(chown(layout->root, STRANGER, STRANGER), 0);
        assert_int_equal(in_child(become_stranger, layout), 0);
}

static int become_known(const struct Layout *layout) {
        const struct passwd *user = getpwnam("daemon");
        gid_t groups[64];
        int n = 64;

        EXPECT(user && getgrouplist(user->pw_name, user->pw_gid, groups, &n) >= 0);
        EXPECT(command_assume_identity(layout, NULL) == 0);
        EXPECT(getuid() == user->pw_uid);
        EXPECT(getgid() == user->pw_gid);
        EXPECT(getgroups(0, NULL) == n);
        return 0;
}

static void test_a_known_owner_comes_with_the_groups_of_a_login(void **state) {
        const struct Layout *layout = *state;
        const struct passwd *user = getpwnam("daemon");

        if (geteuid() != 0 || !user)
                skip();
        assert_int_equal(chown(layout->root, user->pw_uid, STRANGER), 0);
        assert_int_equal(in_child(become_known, layout), 0);
}

static int stay(const struct Layout *layout) {
        uid_t before = geteuid();

        EXPECT(command_assume_identity(layout, NULL) == 0);
        EXPECT(geteuid() == before && getuid() == before);
        EXPECT(umask(0) == 0027);
        return 0;
}

static void test_the_owner_stays_who_it_is_with_a_careful_umask(void **state) {
        assert_int_equal(in_child(stay, *state), 0);
}

static int stay_stranger(const struct Layout *layout) {
        EXPECT(setresuid(STRANGER, STRANGER, STRANGER) == 0);
        return stay(layout);
}

static void test_who_is_not_root_stays_who_it_is(void **state) {
        const struct Layout *layout = *state;

        if (geteuid() != 0)
                skip();
        assert_int_equal(chmod(layout->root, 0755), 0);
        assert_int_equal(in_child(stay_stranger, layout), 0);
}

static int find_no_root(const struct Layout *layout) {
        _cleanup_failure_ struct Failure failure = { 0 };

        EXPECT(command_assume_identity(layout, &failure) < 0);
        EXPECT(failure.event == EVENT_STORAGE_ROOT_MISSING);
        EXPECT(strcmp(failure.path, layout->root) == 0);
        return 0;
}

static void test_a_storage_root_that_is_no_directory_is_missing(void **state) {
        const struct Layout *layout = *state;
        int fd;

        assert_int_equal(rmdir(layout->root), 0);
        assert_int_equal(in_child(find_no_root, layout), 0);
        fd = open(layout->root, O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
        (void) close(fd);
        assert_int_equal(in_child(find_no_root, layout), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_root_becomes_the_owner_for_good, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_known_owner_comes_with_the_groups_of_a_login, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_owner_stays_who_it_is_with_a_careful_umask, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_who_is_not_root_stays_who_it_is, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_storage_root_that_is_no_directory_is_missing, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
