# SPDX-License-Identifier: LGPL-2.1-or-later
"""cmocka programs as pytest files: tests/unit/test-<module>.c is a file, each of its tests an item.

The names come from the source, the outcomes from one run of the program (TAP, printed test by
test): a test that a crash kept from running has no outcome, and fails.
"""

import re
import subprocess

import pytest

from support import build

# `#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, …)` registers under its own name.
MACRO = re.compile(
    r"^#define (\w+)\((\w+)\)(?:\s|\\\n)*cmocka_unit_test\w*\(\s*\2\b[^\n]*\n", re.MULTILINE)
OUTCOME = re.compile(r"^(?P<not>not )?ok [1-9]\d* (?P<skip># SKIP )?(?:- )?(?P<name>\w+)"
                     r"(?P<late_skip> # SKIP)?")


def registered(source):
    """The tests of a C file, in its order."""
    names = "|".join([r"cmocka_unit_test\w*", *(match[1] for match in MACRO.finditer(source))])
    return re.findall(rf"\b(?:{names})\(\s*(\w+)", MACRO.sub("", source))


class Outcome:
    def __init__(self, passed, skipped, text):
        self.passed = passed
        self.skipped = skipped
        self.text = text


def parse_tap(output):
    """{test name: [Outcome, …]} in the order in which they ran."""
    outcomes = {}
    text = []
    current = None
    for line in output.splitlines():
        match = OUTCOME.match(line)
        if match:
            # What a test prints comes before its line, why it failed after.
            skipped = bool(match["skip"] or match["late_skip"])
            current = Outcome(not match["not"] and not skipped, skipped, text + [line])
            outcomes.setdefault(match["name"], []).append(current)
            text = []
        elif re.match(r"1\.\.\d+$|TAP version|# (not )?ok - ", line):
            continue
        elif current and line.startswith("#"):
            current.text.append(line)
        else:
            text.append(line)
    return outcomes


class UnitFile(pytest.File):
    def collect(self):
        self.done = None
        self.names = registered(self.path.read_text())
        for index, name in enumerate(self.names):
            occurrence = self.names[:index].count(name)
            yield UnitItem.from_parent(
                self, name=name if not occurrence else f"{name}-{occurrence + 1}",
                test=name, occurrence=occurrence)
        yield UnitExit.from_parent(self, name="exit_status")

    @property
    def binary(self):
        return build.build_dir() / "tests" / self.path.stem

    def run(self, reports):
        """The program is run once, when the first of its items needs it."""
        if self.done is None:
            if not self.binary.exists():
                raise UnitFailure(f"{self.binary} is not built: is it in tests/meson.build?")
            try:
                self.done = subprocess.run(
                    [self.binary], cwd=build.PROJECT, check=False, text=True, timeout=300,
                    errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=build.environment(reports, CMOCKA_MESSAGE_OUTPUT="TAP"))
            except subprocess.TimeoutExpired as expired:
                output = expired.stdout or b""
                self.done = subprocess.CompletedProcess(
                    [self.binary], None, stdout=output.decode(errors="replace"))
            self.outcomes = parse_tap(self.done.stdout)
        return self.done


class UnitFailure(Exception):
    pass


class UnitTest(pytest.Item):
    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, UnitFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, f"{self.path.stem}: {self.name}"

    def run_program(self):
        return self.parent.run(self.config.stash[REPORTS])


class UnitItem(UnitTest):
    def __init__(self, *, test, occurrence, **keywords):
        super().__init__(**keywords)
        self.test = test
        self.occurrence = occurrence

    def runtest(self):
        done = self.run_program()
        outcomes = self.parent.outcomes.get(self.test, [])
        if self.occurrence >= len(outcomes):
            raise UnitFailure(
                f"no outcome: the program ended with {done.returncode}\n{done.stdout[-8000:]}")
        outcome = outcomes[self.occurrence]
        if outcome.skipped:
            pytest.skip("; ".join(outcome.text))
        if not outcome.passed:
            raise UnitFailure("\n".join(outcome.text))


class UnitExit(UnitTest):
    """The program as a whole: it ran to its end, its sanitizers had nothing to say, and it ran no
    test that is not an item here."""

    def runtest(self):
        done = self.run_program()
        unknown = set(self.parent.outcomes) - set(self.parent.names)
        failed = any(not outcome.passed and not outcome.skipped
                     for outcomes in self.parent.outcomes.values() for outcome in outcomes)
        if unknown:
            raise UnitFailure(f"tests that the collection does not see: {sorted(unknown)}")
        if done.returncode is None or done.returncode < 0 or done.returncode and not failed:
            raise UnitFailure(f"ended with {done.returncode}\n{done.stdout[-8000:]}")


REPORTS = pytest.StashKey()
