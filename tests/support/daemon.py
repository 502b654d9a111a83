# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running atocored and a plain HTTP client for it."""

import dataclasses
import http.client
import json
import re
import signal
import socket
import subprocess

from support import build
from support.wait import wait_until


def free_port():
    """A TCP port of the loopback that was free a moment ago. `--listen 127.0.0.1:0` is better."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def expect(self, status=200):
        assert self.status == status, (
            f"expected HTTP {status}, got {self.status}:\n{self.body.decode(errors='replace')}")
        return self


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """listen: what is given to --listen; None leaves the sockets to `options` (pass_fds, env)."""

    def __init__(self, root, directory, reports, arguments=(), listen="127.0.0.1:0", now=None,
                 env=None, **options):
        self.root = root
        self.log = directory / "atocored.stderr"
        self.port = None
        self.unix = None
        command = [str(build.program("atocored")), "--root", str(root.path)]
        if listen:
            command += ["--listen", listen]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=log,
                env=build.environment(reports, ATOCORE_NOW=now, **(env or {})), **options)
        if listen and listen.startswith("unix:"):
            self.unix = listen[len("unix:"):]

    @property
    def stderr(self):
        return self.log.read_text(errors="surrogateescape")

    def events(self, code):
        """Lines of stderr that report the event: `atocored: <sentence> [code]`."""
        return [line for line in self.stderr.splitlines() if line.endswith(f"[{code}]")]

    def wait_ready(self):
        """Until it says that it serves; learns the port from what it says."""
        def started():
            if self.process.poll() is not None:
                raise AssertionError(
                    f"atocored ended with {self.process.returncode}:\n{self.stderr}")
            return self.events("daemon_started")

        line = wait_until(started, "daemon_started on stderr")[0]
        address = re.search(r"127\.0\.0\.1:(\d+)", line)
        if address:
            self.port = int(address.group(1))
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connection(self, timeout=60):
        if self.unix:
            return UnixConnection(self.unix, timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=60):
        """One request on a connection of its own. body: bytes or text as they are, anything else
        as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection = self.connection(timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def stop(self, expect=0):
        """SIGTERM, as systemd does; asserts the exit status (None: any)."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"atocored does not end on SIGTERM:\n{self.stderr}") from None
        assert expect is None or status == expect, (
            f"atocored ended with {status}:\n{self.stderr}")
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
