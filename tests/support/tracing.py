# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs under strace, with system calls that fail, or that kill who makes them."""

import re
import shutil
import subprocess
import tempfile

import pytest

from support import build
from support.run import Result


@pytest.fixture(scope="session")
def strace():
    """The path of strace, where it may trace and only what is ours is met."""
    found = shutil.which("strace")
    if not found:
        pytest.skip("needs strace")
    if build.sanitizers() != "none":
        pytest.skip("the sanitizers' own system calls would be met, too")
    probe = subprocess.run([found, "-o", "/dev/null", "-e", "inject=getpid:error=EIO", "true"],
                           check=False, capture_output=True)
    if probe.returncode != 0:
        pytest.skip("strace may not trace here")
    return found


def traced(path, operations, injections, name, *arguments, now=None):
    """The Result of one operation, and in how many calls something was injected. Only the program
    itself is traced, not what it starts. injections: as of `strace -e inject=`."""
    with tempfile.NamedTemporaryFile("r", errors="replace") as log:
        command = [path, "-qq", "-o", log.name]
        command += ["-e", "trace=" + ",".join(each.split(":")[0] for each in injections)]
        for each in injections:
            command += ["-e", f"inject={each}"]
        command += operations.command(name, *arguments)
        done = subprocess.run(command, env=operations.environment(now=now), capture_output=True,
                              text=True, check=False, timeout=120)
        met = re.findall(r"\((?:INJECTED|DELAYED)\)$", log.read(), re.MULTILINE)
        return Result(command, done.returncode, done.stdout, done.stderr), len(met)
