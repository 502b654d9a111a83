# SPDX-License-Identifier: LGPL-2.1-or-later
"""Places off the machine, on the loopback: real restic and rclone, each test with its own."""

import os
import shutil
import socket
import subprocess

import pytest

from support.run import run
from support.wait import wait_until

PASSWORD = "correct horse"


def needs(*programs):
    """A mark for tests that need these programs."""
    missing = [name for name in programs if not shutil.which(name)]
    return pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`rclone serve KIND` of a directory, on a port that is the same when it is started again."""

    def __init__(self, kind, directory, environment):
        self.kind, self.directory, self.environment = kind, directory, environment
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process = None
        directory.mkdir(exist_ok=True)

    def answers(self):
        assert self.process.poll() is None, "the server ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self):
        self.process = subprocess.Popen(
            ["rclone", "serve", self.kind, str(self.directory),
             "--addr", f"127.0.0.1:{self.port}"],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait_until(self.answers)
        return self

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


class Place:
    """An `offsite=` with what it needs: a configuration file and an environment."""

    def __init__(self, run_op, directory, offsite, **environment):
        self.run_op, self.directory, self.offsite = run_op, directory, offsite
        self.config = directory / "atocore.conf"
        self.environment = {"HOME": str(directory), "XDG_CACHE_HOME": str(directory / "cache"),
                            **environment}
        self.configure()

    def configure(self, *lines):
        self.config.write_text("".join(f"{line}\n" for line in
                                       (f"offsite={self.offsite}", *lines)))

    def _options(self, env, options):
        return {"env": {**self.environment, **(env or {})}, **options}

    def ship(self, *arguments, env=None, **options):
        return self.run_op("atocore-ship", "--config", self.config, *arguments,
                           **self._options(env, options))

    def start(self, *arguments, env=None, **options):
        return self.run_op.start("atocore-ship", "--config", self.config, *arguments,
                                 **self._options(env, options))

    def copies(self, **options):
        return self.ship("--list", "--json", **options).expect(0).json["copies"]

    def names(self, **options):
        return [copy["name"] for copy in self.copies(**options)]

    def restic(self, *arguments, **options):
        """restic itself, on the same repository."""
        environment = {**os.environ, **self.environment,
                       "RESTIC_REPOSITORY": self.offsite.removeprefix("restic:")}
        return run(["restic", *arguments], env=environment, **options)


def processes_with(word):
    """Command lines of running processes that hold the word."""
    found = []
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read()
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read()
        except OSError:
            continue
        if word.encode() in environment and command.split(b"\0")[0].endswith((b"restic",
                                                                              b"rclone")):
            found.append(command)
    return found
