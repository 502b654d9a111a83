# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running atocore-watch, and what it tells systemd."""

import signal
import socket
import sqlite3
import subprocess

from support.wait import wait_until


class NotifySocket:
    """systemd's end of sd_notify(3)."""

    def __init__(self, directory):
        self.path = directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        self.lines = []  # "READY=1", "STATUS=…", in the order in which they came

    def read(self):
        while True:
            try:
                self.lines += self.socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.lines

    @property
    def status(self):
        """The last STATUS=."""
        found = [line for line in self.read() if line.startswith("STATUS=")]
        return found[-1].removeprefix("STATUS=") if found else ""

    def close(self):
        self.socket.close()


class Watcher:
    """`prefix` is a command that runs the one behind it."""

    def __init__(self, run_op, directory, *arguments, config="", prefix=(), env=None):
        self.root = run_op.root
        self.notify = NotifySocket(directory)
        self.log = directory / "stderr"
        self.out = directory / "stdout"
        self.config = directory / "atocore.conf"
        self.config.write_text(config)
        command = run_op.command("atocore-watch", "--config", self.config, "-v", *arguments)
        with open(self.log, "wb") as log, open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                [*prefix, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                env=run_op.environment(NOTIFY_SOCKET=self.notify.path, **(env or {})))

    @property
    def stderr(self):
        return self.log.read_text(errors="surrogateescape")

    @property
    def codes(self):
        """The events so far, without the debug lines."""
        return [line.rsplit("[", 1)[1][:-1] for line in self.stderr.splitlines()
                if line.endswith("]") and "[" in line]

    def until(self, condition, what):
        def holds():
            assert self.process.poll() is None, (
                f"atocore-watch ended with {self.process.returncode}:\n{self.stderr}")
            return condition()

        return wait_until(holds, what)

    def wait_ready(self):
        self.until(lambda: "READY=1" in self.notify.read(), "READY=1")
        return self

    def wait_status(self, words):
        return self.until(lambda: self.notify.status if words in self.notify.status else None,
                          f"a status with {words!r}")

    def wait_event(self, code, times=1):
        return self.until(lambda: self.codes.count(code) >= times, f"{code} {times} times")

    def wait_current(self):
        """Until the documents are the files that are there, with what is in them."""
        self.until(lambda: documents(self.root) == files(self.root), "the index to be current")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        assert status == 0, f"atocore-watch ended with {status}:\n{self.stderr}"
        return self

    def close(self):
        self.process.kill()
        self.process.wait()
        self.notify.close()


def documents(root):
    """{path below sources/: text} of the database."""
    if not root.database.exists():
        return {}
    connection = sqlite3.connect(f"file:{root.database}?mode=ro", uri=True)
    try:
        return dict(connection.execute(
            "SELECT source || '/' || path, (SELECT group_concat(content, '') FROM chunks"
            " WHERE document_id = documents.id) FROM documents"))
    except sqlite3.OperationalError:  # no schema yet, or a restore exchanges it
        return {}
    finally:
        connection.close()


def files(root):
    """The same of the files. A chunk ends with its last word."""
    sources = root.path / "sources"
    return {str(path.relative_to(sources)): path.read_text().rstrip()
            for path in sources.rglob("*.md")
            if not any(part.startswith(".") for part in path.relative_to(sources).parts)}
