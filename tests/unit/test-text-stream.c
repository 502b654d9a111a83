/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/text-stream.h"

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#endif

static void test_what_is_written_is_the_text(void **state) {
        static const size_t sizes[] = { 0, 1, 511, 512, 513, 8191, 8192, 100000 };
        char *text = NULL;
        size_t size = 99;

        (void) state;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                FILE *stream = text_stream_open(&text, &size);

                assert_non_null(stream);
                for (size_t k = 0; k < sizes[i]; k++)
                        (void) fputc("abcdefg"[k % 7], stream);
                assert_int_equal(fclose(stream), 0);
                assert_int_equal(size, sizes[i]);
                assert_int_equal(strlen(text), sizes[i]);
                for (size_t k = 0; k < sizes[i]; k++)
                        assert_int_equal(text[k], "abcdefg"[k % 7]);
                free(text);
        }
}

static void test_formats_and_large_pieces_stay_in_order(void **state) {
        static char large[300000];
        char *text = NULL;
        size_t size = 0;
        FILE *stream = text_stream_open(&text, &size);

        (void) state;
        memset(large, 'x', sizeof large);
        (void) fprintf(stream, "%d;", 7);
        (void) fwrite(large, 1, sizeof large, stream);
        (void) fputs(";end", stream);
        assert_int_equal(fclose(stream), 0);
        assert_int_equal(size, 2 + sizeof large + 4);
        assert_memory_equal(text, "7;x", 3);
        assert_string_equal(text + 2 + sizeof large, ";end");
        free(text);
}

/* 0: the loss was told, and the text is not there. */
static int lose_some(void) {
        const struct rlimit limit = { (rlim_t) 64 << 20, (rlim_t) 64 << 20 };
        static const char piece[4096] = { 'x' };
        char *text = NULL;
        size_t size = 1;
        FILE *stream = text_stream_open(&text, &size);

        if (!stream || setrlimit(RLIMIT_AS, &limit) < 0)
                return 2;
        for (int i = 0; i < 1 << 16; i++)
                (void) fwrite(piece, 1, sizeof piece, stream);
        /* There may be room for less. */
        (void) fputs("end", stream);
        return fclose(stream) == EOF && !text && size == 0 ? 0 : 1;
}

static void test_a_text_of_which_a_part_is_lost_is_none(void **state) {
        pid_t child;
        int status;

        (void) state;
#ifdef ADDRESS_SANITIZER
        skip(); /* its shadow memory is larger than any limit */
#endif
        child = fork();
        if (child == 0)
                _exit(lose_some());
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_written_is_the_text),
                cmocka_unit_test(test_formats_and_large_pieces_stay_in_order),
                cmocka_unit_test(test_a_text_of_which_a_part_is_lost_is_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
