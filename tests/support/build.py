# SPDX-License-Identifier: LGPL-2.1-or-later
"""The build directory under test and the environment that its programs run in."""

import functools
import json
import os
import pathlib
import subprocess

PROJECT = pathlib.Path(__file__).resolve().parents[2]
DATA = PROJECT.parent / "shared" / "data"

# No exit status of ours: whoever meets it met a sanitizer.
SANITIZER_STATUS = 99


def build_dir():
    return PROJECT / os.environ.get("ATOCORE_BUILD", "build")


def program(name):
    """Path of a program: "atocored", "atocore-backup"."""
    return build_dir() / name


@functools.cache
def sanitizers():
    """What the build was made with: "none", "address,undefined" …"""
    options = build_dir() / "meson-info" / "intro-buildoptions.json"
    try:
        values = {o["name"]: o["value"] for o in json.loads(options.read_text())}
    except FileNotFoundError:
        return "none"
    value = values.get("b_sanitize", "none")
    return ",".join(value) if isinstance(value, list) else value


@functools.cache
def leaks_can_be_told():
    """LeakSanitizer needs ptrace, which some containers forbid."""
    if "address" not in sanitizers():
        return False
    probe = subprocess.run(
        [program("atocore-backup"), "--version"], capture_output=True, text=True,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}, check=False)
    return "LeakSanitizer has encountered a fatal error" not in probe.stderr


def environment(reports=None, **extra):
    """The environment of a program under test: nothing of the caller's that AtoCore would read,
    and each sanitizer report written to `reports` (a directory), beside ending the program."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("ATOCORE_", "LISTEN_", "NOTIFY_"))
           and name not in ("JOURNAL_STREAM", "CREDENTIALS_DIRECTORY", "WATCHDOG_USEC",
                            "WATCHDOG_PID", "http_proxy", "https_proxy", "no_proxy")}
    env["LC_ALL"] = "C.UTF-8"
    env["TERM"] = "xterm"  # where a test has a terminal
    env["TZ"] = "America/St_Johns"  # nothing may depend on the local time zone
    if sanitizers() != "none":
        common = f"exitcode={SANITIZER_STATUS}:halt_on_error=1:print_stacktrace=1"
        if reports:
            common += f":log_path={reports}/report"
        leaks = int(leaks_can_be_told())
        env["ASAN_OPTIONS"] = f"{common}:detect_leaks={leaks}:detect_stack_use_after_return=1"
        env["UBSAN_OPTIONS"] = common
    env.update({name: str(value) for name, value in extra.items() if value is not None})
    return env
