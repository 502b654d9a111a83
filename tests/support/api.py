# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of HTTP share: a daemon as systemd starts it, what it says to systemd, problems,
and a small vault."""

import re
import socket
import subprocess
import sys

from support import build
from support.daemon import Daemon, Response, UnixConnection
from support.wait import wait_until

# The part of systemd: descriptors from 3 on, and who they are for.
ACTIVATE = """
import os, sys
fds, names, command = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
kept = [os.dup2(int(fd), 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(kept):
    os.dup2(fd, 3 + i)
os.closerange(3 + len(kept), 256)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


class ActivatedDaemon(Daemon):
    """As systemd starts it: `sockets` is {fd name: listening socket}, or a list of such pairs."""

    def __init__(self, root, directory, reports, sockets, arguments=(), now=None, env=None):
        self.root = root
        self.log = directory / "atocored.stderr"
        self.port = None
        self.unix = None
        pairs = list(sockets.items()) if isinstance(sockets, dict) else sockets
        fds = [listening.fileno() for _, listening in pairs]
        command = [build.program("atocored"), "--root", root.path, *arguments]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ACTIVATE, ",".join(map(str, fds)),
                 ":".join(name for name, _ in pairs), *map(str, command)],
                pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env=build.environment(reports, ATOCORE_NOW=now, **(env or {})))
        for name, listening in pairs:
            if name == "http" and listening.family == socket.AF_INET:
                self.port = listening.getsockname()[1]


class Notifications:
    """What the daemon says to systemd."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.lines = []

    def wait_for(self, text, deadline=60.0):
        """The first line that begins with `text`."""
        def found():
            try:
                while True:
                    self.lines += self.socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                pass
            return next((line for line in self.lines if line.startswith(text)), None)
        return wait_until(found, f"{text} to systemd", deadline)


def ask_unix(path, method, target, body=None, headers=None):
    """One request over a unix socket."""
    connection = UnixConnection(str(path), 60)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


PROJECTS = [
    {"id": "p05-interferometer", "aliases": ["p05", "Interferometer"],
     "description": "Optics on the bench",
     "ingest_roots": [{"source": "vault", "subpath": "projects/p05", "label": "notes"}]},
    {"id": "p06-polisher", "aliases": ["p06"],
     "ingest_roots": [{"source": "vault", "subpath": "projects/p06"}]},
]

FLAT = """# Reference flat

Clean the reference flat with isopropanol before each run.

## Storage

The flat lives in drawer seven.
"""

POLISHER = """# Polisher

The polisher needs isopropanol too, and felt pads.
"""


def problem(response, status, code):
    """Asserts that the answer is that problem, as RFC 9457 wants it; returns its document."""
    response.expect(status)
    assert response.headers["Content-Type"] == "application/problem+json"
    document = response.json
    assert document["code"] == code, document
    assert document["type"] == f"urn:atocore:problem:{code}"
    assert document["status"] == status
    assert document["title"] and document["detail"]
    if status == 503:
        assert int(response.headers["Retry-After"]) > 0
    return document


def is_time(text):
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text) is not None
