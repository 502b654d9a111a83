# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP as no client library would speak it: bytes in, bytes out."""

import dataclasses
import json
import socket


@dataclasses.dataclass
class RawResponse:
    status: int
    headers: dict  # names in lower case
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class RawConnection:
    def __init__(self, port, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def response(self):
        """The next answer; None when the connection ends before one begins."""
        while b"\r\n\r\n" not in self.buffer:
            try:
                if not self._more():
                    return None
            except ConnectionResetError:
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip()
                   for name, value in (line.split(":", 1) for line in lines[1:])}
        size = int(headers.get("content-length", 0))
        while len(self.buffer) < size:
            assert self._more(), "the answer is cut short"
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return RawResponse(int(lines[0].split()[1]), headers, body)

    def is_closed(self):
        """Whether the server ends the connection; waits for it."""
        try:
            while True:
                data = self.socket.recv(65536)
                if not data:
                    return True
        except ConnectionResetError:
            return True
        except (TimeoutError, socket.timeout):
            return False


def exchange(port, data, timeout=60):
    """One answer to these bytes."""
    with RawConnection(port, timeout) as connection:
        return connection.send(data).response()
