# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the daemon begins and ends: sockets by name, readiness, idleness, signals. No connection is
lost on the way."""

import fcntl
import http.client
import os
import signal
import socket
import sqlite3
import threading

import pytest

from support.api import ask_unix, problem
from support.daemon import UnixConnection
from support.raw_http import RawConnection, exchange
from support.wait import wait_until

GET = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def in_thread(function, *arguments):
    """Runs it beside the test; .join() gives what it returned."""
    class Call(threading.Thread):
        def run(self):
            self.value = function(*arguments)

        def join(self, timeout=60):
            super().join(timeout)
            assert not self.is_alive(), "it does not come back"
            return self.value

    call = Call(daemon=True)
    call.start()
    return call


# Sockets.

def test_without_a_socket_it_says_what_to_do(start_daemon):
    daemon = start_daemon(listen=None, ready=False)
    assert daemon.process.wait(timeout=60) == 64
    assert "atocore.socket" in daemon.events("usage")[0]
    assert "--listen" in daemon.stderr


@pytest.mark.parametrize("value", ["8100", "dalidou:8100", "127.0.0.1:99999", "unix:relative", ""])
def test_bad_listen_is_a_usage_error(start_daemon, value):
    daemon = start_daemon("--listen", value, listen=None, ready=False)
    assert daemon.process.wait(timeout=60) == 64
    assert "--listen" in daemon.events("usage")[0]


def test_address_in_use_ends_with_69(start_daemon, daemon):
    second = start_daemon(listen=f"127.0.0.1:{daemon.port}", ready=False)
    assert second.process.wait(timeout=60) == 69
    assert str(daemon.port) in second.events("listen_failed")[0]


def test_several_sockets_are_served(start_daemon, tmp_path):
    path = tmp_path / "admin.sock"
    daemon = start_daemon("--listen", "[::1]:0", "--listen", f"unix:{path}")
    assert "http://[::1]:" in daemon.events("daemon_started")[0]
    daemon.get("/health").expect(200)
    ask_unix(path, "GET", "/health").expect(200)
    daemon.stop()
    assert not path.exists()


def test_sockets_of_systemd_are_told_apart_by_name(activate, tcp_socket, admin_socket):
    with socket.create_server(("127.0.0.1", 0)) as second:
        daemon = activate([("http", tcp_socket), ("admin", admin_socket), ("http", second)])
        for port in (tcp_socket.getsockname()[1], second.getsockname()[1]):
            assert exchange(port, GET).status == 200
        ask_unix(admin_socket.getsockname(), "GET", "/health").expect(200)
        assert str(second.getsockname()[1]) in daemon.events("daemon_started")[0]


def test_socket_of_another_name_is_refused(activate, tcp_socket):
    daemon = activate({"metrics": tcp_socket}, ready=False)
    assert daemon.process.wait(timeout=60) == 69
    assert "'metrics'" in daemon.events("listen_failed")[0]
    assert "FileDescriptorName=" in daemon.stderr


def test_tcp_socket_cannot_be_the_admin_socket(activate, tcp_socket):
    daemon = activate({"admin": tcp_socket}, ready=False)
    assert daemon.process.wait(timeout=60) == 69
    assert "unix socket" in daemon.events("listen_failed")[0]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_what_does_not_listen_is_refused(activate, kind):
    with socket.socket(socket.AF_INET, kind) as silent:
        daemon = activate({"http": silent}, ready=False)
        assert daemon.process.wait(timeout=60) == 69
        assert daemon.events("listen_failed")


# systemd is told.

def test_systemd_is_told_when_it_serves_and_when_it_stops(start_daemon, notifications):
    daemon = start_daemon(env={"NOTIFY_SOCKET": notifications.path})
    notifications.wait_for("READY=1")
    assert "Degraded" in notifications.wait_for("STATUS=")
    daemon.stop()
    notifications.wait_for("STOPPING=1")
    assert daemon.events("daemon_stopped")


def test_watchdog_is_fed_by_the_loop_that_serves(start_daemon, notifications):
    daemon = start_daemon(env={"NOTIFY_SOCKET": notifications.path, "WATCHDOG_USEC": "200000"})
    for _ in range(3):
        notifications.wait_for("WATCHDOG=1")
        notifications.lines.clear()
    # A process that hangs is silent.
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: open(f"/proc/{daemon.process.pid}/stat").read().split()[2] == "T",
                   "the daemon to stand still")
        with pytest.raises(AssertionError):
            notifications.wait_for("WATCHDOG=1", deadline=0.01)
            notifications.lines.clear()
            notifications.wait_for("WATCHDOG=1", deadline=1.0)
    finally:
        daemon.process.send_signal(signal.SIGCONT)


# Idleness.

def test_idle_daemon_ends_and_its_socket_goes_on_listening(activate, tcp_socket):
    first = activate({"http": tcp_socket}, "--idle-timeout", 1)
    first.get("/health").expect(200)
    assert first.process.wait(timeout=60) == 0
    assert first.events("daemon_stopped")

    # Who comes now waits in the queue for the successor.
    with RawConnection(first.port) as waiting:
        waiting.send(GET)
        activate({"http": tcp_socket})
        assert waiting.response().status == 200


def test_daemon_is_not_idle_while_somebody_is_connected(activate, tcp_socket):
    daemon = activate({"http": tcp_socket}, "--idle-timeout", 1)
    with RawConnection(daemon.port) as connection:
        for _ in range(3):
            assert connection.send(GET).response().status == 200
            with pytest.raises(AssertionError):
                wait_until(lambda: daemon.process.poll() is not None, deadline=0.8)
    assert daemon.process.wait(timeout=60) == 0


def test_idle_timeout_is_not_for_sockets_of_our_own(start_daemon):
    daemon = start_daemon("--idle-timeout", 1)
    with pytest.raises(AssertionError):
        wait_until(lambda: daemon.process.poll() is not None, deadline=2.5)
    daemon.get("/health").expect(200)


def test_no_connection_is_lost_while_daemons_come_and_go(activate, tcp_socket):
    """Clients knock without pause; one daemon after another ends under them, told to."""
    port = tcp_socket.getsockname()[1]
    stop = threading.Event()
    answered, failures = [], []

    def knock():
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                answer.read()
                answered.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
            finally:
                connection.close()

    clients = [in_thread(knock) for _ in range(4)]
    for _ in range(6):
        daemon = activate({"http": tcp_socket})
        before = len(answered)
        wait_until(lambda: len(answered) > before + 20, "some answers")
        daemon.stop()
    activate({"http": tcp_socket})
    stop.set()
    for client in clients:
        client.join()
    assert failures == []
    assert len(answered) > 100


# Signals.

def test_request_that_is_arriving_is_still_answered(daemon):
    with RawConnection(daemon.port) as connection, RawConnection(daemon.port) as idle:
        assert idle.send(GET).response().status == 200
        connection.send("POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                        "Content-Type: application/json\r\n\r\n{")
        # Seen by the daemon, as the later one was answered.
        assert idle.send(GET).response().status == 200
        daemon.process.send_signal(signal.SIGTERM)
        assert idle.is_closed()
        answer = connection.send("}").response()
        assert answer.status == 400 and answer.headers["connection"] == "close"
        assert daemon.process.wait(timeout=60) == 0


def test_request_in_work_is_finished(filled, daemon):
    """It waits for the database, which somebody else is writing."""
    with sqlite3.connect(filled.database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        call = in_thread(daemon.post, "/interactions", {"prompt": "finish me"})
        wait_until(lambda: is_in_work(daemon), "the request to be in work")
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(daemon.port), "the listening socket to be closed to new ones")
        assert daemon.process.poll() is None
        other.execute("COMMIT")
    assert call.join().expect(201).json["prompt"] == "finish me"
    assert daemon.process.wait(timeout=60) == 0


def is_in_work(daemon):
    """The writer's thread is there."""
    return len(os.listdir(f"/proc/{daemon.process.pid}/task")) > 1


def refuses(port):
    """Nobody accepts: the connection is made by the kernel, and no answer comes."""
    with RawConnection(port, timeout=0.5) as connection:
        try:
            return connection.send(GET).response() is None
        except (TimeoutError, socket.timeout):
            return True


def test_sigint_ends_it_too(daemon):
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.process.wait(timeout=60) == 0


# The gate.

def test_daemon_waits_at_the_gate_of_a_restore_and_clients_with_it(
        root, activate, tcp_socket, notifications):
    with open(root.locks / "gate.lock", "w", encoding="ascii") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        daemon = activate({"http": tcp_socket}, ready=False,
                          env={"NOTIFY_SOCKET": notifications.path})
        notifications.wait_for("EXTEND_TIMEOUT_USEC=")
        notifications.wait_for("STATUS=Waiting")
        with RawConnection(daemon.port) as connection:
            connection.send(GET)
            assert daemon.process.poll() is None and not daemon.events("daemon_started")
            fcntl.flock(gate, fcntl.LOCK_UN)
            assert connection.response().status == 200


def test_daemon_at_the_gate_ends_when_told_to(root, activate, tcp_socket, notifications):
    with open(root.locks / "gate.lock", "w", encoding="ascii") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        daemon = activate({"http": tcp_socket}, ready=False,
                          env={"NOTIFY_SOCKET": notifications.path})
        notifications.wait_for("EXTEND_TIMEOUT_USEC=")
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(timeout=60) == 0


def test_serving_daemon_holds_the_store_lock(root, daemon):
    with open(root.locks / "store.lock", "r+", encoding="ascii") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        daemon.stop()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_second_signal_stops_a_long_operation_cleanly(filled, start_daemon, notifications):
    daemon = start_daemon(env={"NOTIFY_SOCKET": notifications.path})
    filled.chroma.mkdir()
    # Enough to last until the signals are there, also where the disk is memory.
    first = filled.chroma / "first.bin"
    first.write_bytes(b"x" * 4096)
    for number in range(20000):
        os.link(first, filled.chroma / f"{number}.bin")
    call = in_thread(daemon.post, "/admin/backup", {"include_chroma": True})
    wait_until(filled.leftovers, "the backup to be under way")
    daemon.process.send_signal(signal.SIGTERM)
    notifications.wait_for("STOPPING=1")
    notifications.wait_for("EXTEND_TIMEOUT_USEC=")
    assert daemon.process.poll() is None
    daemon.process.send_signal(signal.SIGTERM)
    problem(call.join(), 503, "interrupted")
    assert daemon.process.wait(timeout=60) == 0
    assert filled.stamps() == [] and filled.leftovers() == []
