# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may ask what, over which socket, with which token, from which page."""

import ctypes
import json
import os
import subprocess
import sys

import pytest

from support.api import ask_unix, problem
from support.raw_http import exchange
from support.wait import wait_until

ADMIN = [("GET", "/admin/backup"), ("GET", "/admin/backup/20260407T060000Z"),
         ("GET", "/admin/backup/20260407T060000Z/validate"), ("POST", "/admin/backup"),
         ("POST", "/admin/prune"), ("POST", "/ingest"), ("POST", "/projects/p05/refresh")]
OPEN = [("GET", "/stats"), ("GET", "/projects"), ("POST", "/query"), ("POST", "/context/build"),
        ("GET", "/interactions"), ("POST", "/interactions"), ("GET", "/interactions/1")]


@pytest.fixture
def credentials(tmp_path):
    """credentials(admin="…", api="…") → environment with these tokens."""
    def make(**tokens):
        directory = tmp_path / "credentials"
        directory.mkdir(exist_ok=True)
        for name, token in tokens.items():
            (directory / f"{name}-token").write_text(token)
        return {"CREDENTIALS_DIRECTORY": str(directory)}
    return make


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def is_refused(answer):
    return answer.status in (401, 403)


def test_loopback_administers_where_no_token_is_configured(daemon):
    for method, path in ADMIN:
        assert not is_refused(daemon.request(method, path)), path


def test_admin_token_is_needed_from_everywhere_over_tcp(start_daemon, credentials):
    daemon = start_daemon(env=credentials(admin="admin-secret\n"))
    for method, path in ADMIN:
        answer = daemon.request(method, path)
        problem(answer, 401, "token_missing")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        problem(daemon.request(method, path, headers=bearer("wrong")), 401, "token_wrong")
        assert not is_refused(daemon.request(method, path, headers=bearer("admin-secret")))
    for method, path in OPEN:
        assert not is_refused(daemon.request(method, path))


def test_api_token_is_needed_for_everything_but_health(start_daemon, credentials):
    daemon = start_daemon(env=credentials(api="api-secret", admin="admin-secret"))
    daemon.get("/health").expect(200)
    for method, path in OPEN + [("GET", "/nothing"), ("DELETE", "/stats")]:
        assert daemon.request(method, path).status == 401, path
        assert not is_refused(daemon.request(method, path, headers=bearer("api-secret")))
        assert not is_refused(daemon.request(method, path, headers=bearer("admin-secret")))
    for method, path in ADMIN:
        problem(daemon.request(method, path, headers=bearer("api-secret")), 401,
                "admin_token_needed")


def test_admin_socket_needs_no_token_and_judges_no_host(
        start_daemon, credentials, tmp_path):
    path = str(tmp_path / "admin.sock")
    start_daemon(listen=f"unix:{path}", env=credentials(api="api-secret", admin="admin-secret"))
    for method, target in ADMIN + OPEN:
        assert not is_refused(ask_unix(path, method, target)), target
    assert ask_unix(path, "GET", "/stats", headers={"Host": "anything"}).status != 403
    assert os.stat(path).st_mode & 0o777 == 0o660


def test_admin_socket_of_systemd_is_one_too(activate, tcp_socket, admin_socket, credentials):
    daemon = activate({"http": tcp_socket, "admin": admin_socket},
                      env=credentials(admin="admin-secret"))
    assert is_refused(daemon.get("/admin/backup"))
    ask_unix(admin_socket.getsockname(), "GET", "/admin/backup").expect(200)


def test_unix_socket_that_is_named_http_is_no_admin_socket(activate, admin_socket, credentials):
    activate({"http": admin_socket}, env=credentials(admin="admin-secret"))
    problem(ask_unix(admin_socket.getsockname(), "GET", "/admin/backup"), 401, "token_missing")


@pytest.mark.parametrize("token", ["", "\n", "two words", "a\nb"])
def test_token_that_cannot_be_one_keeps_the_daemon_from_starting(start_daemon, credentials, token):
    daemon = start_daemon(env=credentials(api=token), ready=False)
    assert daemon.process.wait(timeout=60) == 78
    assert daemon.events("config_invalid")
    assert "api-token" in daemon.stderr


# Browsers.

@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("LocalHost:1", 200), ("127.0.0.2:8100", 200), ("[::1]", 200),
    ("a.localhost", 200), (os.uname().nodename, 200), (os.uname().nodename.split(".")[0], 200),
    ("evil.example", 403), ("localhost.evil.example:8100", 403), ("0.0.0.0", 403),
    ("10.0.0.1", 403), ("", 403), ("localhost:x", 403),
])
def test_host_must_be_ours(daemon, host, status):
    answer = exchange(daemon.port, f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n")
    assert answer.status == status
    if status == 403:
        assert answer.json["code"] == "host_foreign"


def test_allowed_hosts_are_accepted(start_daemon, tmp_path):
    config = tmp_path / "atocore.conf"
    config.write_text("allowed_hosts=notes.lan 10.0.0.1\n")
    daemon = start_daemon("--config", config)
    for host, status in [("notes.lan", 200), ("NOTES.lan:8100", 200), ("10.0.0.1:8100", 200),
                         ("other.lan", 403)]:
        daemon.get("/health", headers={"Host": host}).expect(status)


@pytest.mark.parametrize("origin, status", [
    ("http://localhost:3000", 200), ("https://127.0.0.1", 200), ("null", 403),
    ("http://evil.example", 403), ("https://localhost.evil.example", 403), ("", 403),
    ("chrome-extension://abcdef", 403),
])
def test_origin_must_be_ours(daemon, origin, status):
    answer = daemon.get("/health", headers={"Origin": origin})
    answer.expect(status)
    if status == 403:
        problem(answer, 403, "origin_foreign")


def test_page_of_another_origin_cannot_write(daemon):
    answer = daemon.post("/interactions", {"prompt": "x"},
                         headers={"Origin": "http://evil.example"})
    problem(answer, 403, "origin_foreign")


@pytest.mark.parametrize("header", [
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"])
def test_proxied_request_is_not_from_the_loopback(daemon, header):
    problem(daemon.get("/admin/backup", headers={header: "127.0.0.1"}), 403, "admin_from_elsewhere")
    daemon.get("/health", headers={header: "127.0.0.1"}).expect(200)


def test_refusals_are_told_but_do_not_flood(daemon):
    """Each is a request_rejected event, at most one in a second."""
    for _ in range(200):
        daemon.get("/admin/backup", headers={"Via": "proxy"}).expect(403)
    lines = daemon.events("admin_from_elsewhere")
    assert 1 <= len(lines) < 100
    assert "/admin/backup" in lines[0] and "127.0.0.1" in lines[0]

    def told():
        daemon.get("/admin/backup", headers={"Via": "proxy"}).expect(403)
        return any("more of late" in line for line in daemon.events("admin_from_elsewhere"))
    wait_until(told, "the number of refusals that were not told")


# From beyond the loopback: a network namespace with another address on its own loopback device.

ELSEWHERE = "10.99.0.1"

ASK = """
import http.client, json, sys
address, method, path, headers = sys.argv[1:]
connection = http.client.HTTPConnection(address, 8100, timeout=60)
connection.request(method, path, None, json.loads(headers))
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""

CROWD = """
import http.client, socket, sys
address = sys.argv[1]
held = []
for _ in range(32):
    connection = http.client.HTTPConnection(address, 8100, timeout=60)
    connection.request("GET", "/health", headers={"Host": "localhost"})
    assert connection.getresponse().read()
    held.append(connection)
def one_more():
    connection = http.client.HTTPConnection(address, 8100, timeout=60)
    connection.request("GET", "/health", headers={"Host": "localhost"})
    answer = connection.getresponse()
    return answer, answer.read().decode()
answer, text = one_more()
print(answer.status, answer.headers["Retry-After"], answer.headers["Connection"])
print(text.strip())
for _ in range(100):
    assert one_more()[0].status == 503
loopback = http.client.HTTPConnection("127.0.0.1", 8100, timeout=60)
loopback.request("GET", "/health")
print(loopback.getresponse().status)
held.pop().close()
while one_more()[0].status != 200:
    pass
print("room again")
"""


CLONE_NEWNET = 0x40000000


class Elsewhere:
    """A daemon in a network namespace of its own, and clients there that have another address."""

    def __init__(self, start_daemon, **options):
        libc = ctypes.CDLL(None, use_errno=True)
        self.daemon = start_daemon(
            listen="0.0.0.0:8100", preexec_fn=lambda: libc.unshare(CLONE_NEWNET), **options)
        assert (os.readlink(f"/proc/{self.daemon.process.pid}/ns/net")
                != os.readlink("/proc/self/ns/net"))
        self.enter("ip", "link", "set", "lo", "up")
        self.enter("ip", "address", "add", f"{ELSEWHERE}/32", "dev", "lo")

    def enter(self, *command):
        done = subprocess.run(
            ["nsenter", "--target", str(self.daemon.process.pid), "--net", *map(str, command)],
            capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, method, path, headers=None, address=ELSEWHERE):
        """(status, document)"""
        out = self.enter(sys.executable, "-c", ASK, address, method, path,
                         json.dumps({"Host": "localhost"} | (headers or {})))
        status, text = out.split(" ", 1)
        return int(status), json.loads(text)


@pytest.fixture
def elsewhere(start_daemon):
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    return lambda **options: Elsewhere(start_daemon, **options)


def test_other_machines_may_ask_but_not_administer(elsewhere):
    there = elsewhere()
    assert there.ask("GET", "/health")[0] == 200
    for method, path in ADMIN:
        status, document = there.ask(method, path)
        assert (status, document["code"]) == (403, "admin_from_elsewhere")
    for method, path in OPEN:
        assert there.ask(method, path)[0] not in (401, 403)
    assert there.ask("GET", "/admin/backup", address="127.0.0.1")[0] == 200


def test_other_machines_administer_with_the_admin_token(elsewhere, credentials):
    there = elsewhere(env=credentials(admin="admin-secret"))
    assert there.ask("GET", "/admin/backup")[0] == 401
    assert there.ask("GET", "/admin/backup", bearer("admin-secret"))[0] == 200


def test_listener_beyond_the_loopback_without_api_token_is_degraded(elsewhere, credentials):
    there = elsewhere()
    check = there.ask("GET", "/health")[1]["checks"]["listener"]
    assert check["status"] == "degraded" and "api-token" in check["detail"]
    assert any("api-token" in line for line in there.daemon.events("daemon_degraded"))
    there = elsewhere(env=credentials(api="api-secret"))
    assert there.ask("GET", "/health")[1]["checks"]["listener"]["status"] == "ok"


def test_33rd_connection_of_another_machine_is_told_to_come_back(elsewhere):
    there = elsewhere()
    lines = there.enter(sys.executable, "-c", CROWD, ELSEWHERE).splitlines()
    assert lines[0] == "503 5 close"
    assert json.loads(lines[1])["code"] == "too_many_connections"
    assert lines[2:] == ["200", "room again"]
