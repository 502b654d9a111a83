# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is wrong does not pass: a C test that fails or never ran, a sanitizer's report, a wait in
vain."""

import os
import subprocess
import sys

import pytest

from support import build
from support.cmocka import parse_tap
from support.run import run
from support.wait import wait_until

# cmocka 1.1.5 (Debian 12) and 1.1.7 (Debian 13).
TAP = {
    "1.1.5": "1..4\nok 1 - a\nnot ok 2 - b\n# 0x1 != 0x2\nnot ok 3 # SKIP c\nhello\nok 4 - a\n",
    "1.1.7": "TAP version 13\n1..4\nok 1 - a\nnot ok 2 - b\n# 0x1 != 0x2\nok 3 # SKIP c\nhello\n"
             "ok 4 - a\n# ok - group\n",
}

UNIT = r"""
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
static void passes(void **state) { (void) state; }
static void fails(void **state) { (void) state; assert_int_equal(1, 2); }
static void dies(void **state) { (void) state; abort(); }
static void never_runs(void **state) { (void) state; }
#define TEARING_DOWN(test) cmocka_unit_test_setup_teardown(test, NULL, NULL)
int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(passes), TEARING_DOWN(fails), cmocka_unit_test(dies),
                cmocka_unit_test(never_runs) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
"""


@pytest.mark.parametrize("version", TAP)
def test_outcomes_are_read(version):
    outcomes = parse_tap(TAP[version])
    assert {name: [(o.passed, o.skipped) for o in found] for name, found in outcomes.items()} == {
        "a": [(True, False), (True, False)], "b": [(False, False)], "c": [(False, True)]}
    assert outcomes["b"][0].text == ["not ok 2 - b", "# 0x1 != 0x2"]
    assert outcomes["a"][1].text == ["hello", "ok 4 - a"]


def pytest_on(path, **env):
    """Another pytest with our conftest.py; the passed, failed and skipped that it counts."""
    counts = path.parent / "counts"
    done = run([sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider",
                f"--rootdir={path.parent}", path], cwd=path.parent,
               env={**os.environ, "PYTHONPATH": str(build.PROJECT / "tests"),
                    "ATOCORE_TEST_COUNTS": str(counts), **env})
    return tuple(map(int, counts.read_text().split())), done


def test_c_tests_that_fail_or_never_ran_fail(tmp_path):
    source = tmp_path / "test-unit.c"
    source.write_text(UNIT)
    (tmp_path / "tests").mkdir()
    binary = tmp_path / "tests" / "test-unit"
    subprocess.run(["cc", source, "-o", binary, "-lcmocka"], check=True)
    counts, done = pytest_on(source, ATOCORE_BUILD=str(tmp_path))
    assert counts == (1, 4, 0), done
    assert "no outcome" in done.stdout


def test_c_tests_that_were_not_built_fail(tmp_path):
    source = tmp_path / "test-unit.c"
    source.write_text(UNIT)
    counts, done = pytest_on(source, ATOCORE_BUILD=str(tmp_path))
    assert counts == (0, 5, 0), done
    assert "is not built" in done.stdout


def test_a_sanitizer_report_fails_the_test(tmp_path):
    test = tmp_path / "test_reporting.py"
    test.write_text("def test_program(reports):\n"
                    "    (reports / 'report.1').write_text('heap-use-after-free')\n")
    counts, done = pytest_on(test)
    assert counts[1] == 1, done
    assert "heap-use-after-free" in done.stdout


def test_waiting_in_vain_fails():
    with pytest.raises(AssertionError, match="in vain for a bus"):
        wait_until(lambda: False, "a bus", deadline=0.05)
    assert wait_until(lambda: "here", "a bus") == "here"
