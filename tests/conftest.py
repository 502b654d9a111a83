# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of all tests. ATOCORE_BUILD names the build directory under test (default: build)."""

import os
import pathlib
import re
import shutil
import signal
import tempfile

import pytest

from support import build, cmocka
from support.daemon import Daemon
from support.root import Root
from support.run import Operations
from support.vectors import vectors_fixture  # noqa: F401 (a fixture)


def pytest_configure(config):
    # Whoever started us in the background or by nohup(1) had signals ignored, which is inherited.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    # Programs that became another user must be able to write there.
    reports = pathlib.Path(tempfile.mkdtemp(prefix="atocore-reports-"))
    reports.chmod(0o1777)
    config.stash[cmocka.REPORTS] = reports


def pytest_unconfigure(config):
    shutil.rmtree(config.stash[cmocka.REPORTS], ignore_errors=True)


def pytest_report_header(config):
    return f"build: {build.build_dir()} (sanitizers: {build.sanitizers()})"


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".c" and file_path.name.startswith("test-"):
        return cmocka.UnitFile.from_parent(parent, path=file_path)
    return None


# What is all that the search for leaks at the end of a program says when it is killed meanwhile.
KILLED = re.compile(r"(?:==\d+==Unable to get registers from thread \d+\.\s*)+")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test whose programs made a sanitizer report fails, whatever it asserted itself."""
    outcome = yield
    texts = []
    if call.when == "teardown":
        for path in sorted(item.config.stash[cmocka.REPORTS].iterdir()):
            text = path.read_text(errors="replace")
            path.unlink()
            if not KILLED.fullmatch(text):
                texts.append(text)
    if texts:
        report = outcome.get_result()
        report.outcome = "failed"
        report.longrepr = "\n".join(["sanitizer report:", *texts, str(report.longrepr or "")])


def pytest_terminal_summary(terminalreporter):
    """For ./run, which closes with the sum of several runs."""
    path = os.environ.get("ATOCORE_TEST_COUNTS")
    if not path:
        return
    count = {name: len(terminalreporter.stats.get(name, []))
             for name in ("passed", "failed", "error", "skipped", "xfailed", "xpassed")}
    failed = count["failed"] + count["error"] + count["xpassed"]
    skipped = count["skipped"] + count["xfailed"]
    pathlib.Path(path).write_text(f"{count['passed']} {failed} {skipped}\n")


@pytest.fixture(scope="session")
def reports(pytestconfig):
    """Where sanitizers write: give it to build.environment() for programs started by hand."""
    return pytestconfig.stash[cmocka.REPORTS]


@pytest.fixture(scope="session")
def data():
    """The test data beside the project."""
    if not build.DATA.is_dir():
        pytest.skip(f"no test data at {build.DATA}")
    return build.DATA


@pytest.fixture
def root(tmp_path):
    """An empty scratch storage root."""
    return Root(tmp_path / "root")


@pytest.fixture
def run_op(root, reports):
    """run_op("atocore-backup", "--json", now="20260407T060000Z").expect(0).json"""
    return Operations(root, reports)


@pytest.fixture
def start_daemon(root, reports, tmp_path):
    """start_daemon("--idle-timeout", 5, listen=…, now=…, env={…}) → Daemon that serves. All are
    stopped at the end of the test, and must then end with 0. `ready=False` does not wait."""
    daemons = []

    def start(*arguments, ready=True, **options):
        directory = tmp_path / f"daemon-{len(daemons)}"
        directory.mkdir()
        daemon = Daemon(options.pop("root", root), directory, reports, arguments, **options)
        daemons.append(daemon)
        return daemon.wait_ready() if ready else daemon

    yield start
    running = [daemon for daemon in daemons if daemon.process.poll() is None]
    try:
        for daemon in running:
            daemon.stop()
    finally:
        for daemon in daemons:
            daemon.kill()


@pytest.fixture
def daemon(start_daemon):
    """A daemon on the scratch root, on a free port of the loopback."""
    return start_daemon()
