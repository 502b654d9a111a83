# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running the operations as an operator does."""

import dataclasses
import json
import shlex
import subprocess

from support import build


@dataclasses.dataclass
class Result:
    command: list
    status: int  # negative: killed by that signal
    stdout: str
    stderr: str

    @property
    def json(self):
        """The one document of --json; anything else on stdout is an error."""
        try:
            return json.loads(self.stdout)
        except json.JSONDecodeError as error:
            raise AssertionError(f"stdout is not one JSON document ({error}):\n{self}") from None

    @property
    def codes(self):
        """The event codes on stderr, in order: `atocore-backup: <sentence> [code]`."""
        return [line.rsplit("[", 1)[1][:-1] for line in self.stderr.splitlines()
                if line.endswith("]") and "[" in line]

    def expect(self, status=0):
        """Asserts the exit status and returns self, so that calls can be chained."""
        assert self.status == status, f"expected exit status {status}:\n{self}"
        return self

    def __str__(self):
        return (f"$ {shlex.join(map(str, self.command))}\n[exit status {self.status}]\n"
                f"--- stdout\n{self.stdout}--- stderr\n{self.stderr}")


def run(command, env=None, input=None, timeout=120, **options):
    """Any command; text in and out (bytes that are no UTF-8 come as surrogates)."""
    done = subprocess.run(
        [str(word) for word in command], env=env, timeout=timeout, check=False, text=True,
        input=input, stdin=subprocess.DEVNULL if input is None else None,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="surrogateescape", **options)
    return Result(list(command), done.returncode, done.stdout, done.stderr)


class Operations:
    """Runs the programs of one build on one storage root; what the `run_op` fixture returns."""

    def __init__(self, root, reports):
        self.root = root
        self.reports = reports

    def command(self, name, *arguments, root=None):
        return [str(build.program(name)), "--root", str(root or self.root.path),
                *map(str, arguments)]

    def environment(self, now=None, **extra):
        return build.environment(self.reports, ATOCORE_NOW=now, **extra)

    def __call__(self, name, *arguments, root=None, now=None, env=None, **options):
        """run_op("atocore-backup", "--json", now="20260407T060000Z").expect(0).json

        `root` overrides the scratch root (False: no --root at all), `now` freezes the program's
        clock, `env` adds variables, the rest is subprocess.run()'s."""
        command = ([build.program(name), *arguments] if root is False
                   else self.command(name, *arguments, root=root))
        return run(command, env=self.environment(now=now, **(env or {})), **options)

    def start(self, name, *arguments, root=None, now=None, env=None, **options):
        """The same as a running subprocess.Popen; the caller ends it."""
        return subprocess.Popen(
            self.command(name, *arguments, root=root), text=True,
            env=self.environment(now=now, **(env or {})), stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})
