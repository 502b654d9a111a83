# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon as systemd runs it: started by its sockets, confined, never away for long."""

import json
import os
import subprocess

import pytest

from support.container import ENVIRONMENT, enter
from support.wait import wait_until

ADMIN = ("--unix-socket", "/run/atocore/admin.sock")

# Connections, one after the other, each with a request of its own, until stdin is closed. Prints
# how many were answered, and each that was not.
KNOCK = """
import http.client, select, sys
answered, failures = 0, []
print("knocking", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    connection = http.client.HTTPConnection("127.0.0.1", 8100, timeout=30)
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
        answered += 1
    except (OSError, http.client.HTTPException) as error:
        failures.append(repr(error))
    finally:
        connection.close()
print(answered, failures)
"""


def state(container):
    return container.show("atocore.service", "ActiveState")


def main_pid(container):
    return int(container.show("atocore.service", "MainPID"))


def process(container):
    """/proc of the daemon, seen from in the container."""
    return f"/proc/{main_pid(container)}"


@pytest.mark.parametrize("socket", [(), ADMIN], ids=["tcp", "admin"])
def test_connection_starts_the_daemon(container, socket):
    assert state(container) == "inactive"
    assert container.get("/health", *socket)["status"] in ("ok", "degraded")
    assert state(container) == "active"
    pid = main_pid(container)
    container.get("/health")
    container.get("/health", *ADMIN)
    assert main_pid(container) == pid


def test_starts_without_database_registry_and_tokens(container):
    """Absent credentials and an empty storage root: it serves, and says what is missing."""
    health = container.get("/health")
    assert health["status"] == "degraded"
    assert {name for name, check in health["checks"].items() if check["status"] != "ok"}


def test_ends_when_idle_and_starts_again(container):
    text = container.systemctl("cat", "atocore.service").stdout
    [line] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert "--idle-timeout " in line
    container.drop_in("atocore.service",
                      f"[Service]\nExecStart=\n{line.rsplit(' ', 1)[0]} 1\n")
    container.get("/health")
    pid = main_pid(container)
    wait_until(lambda: state(container) == "inactive", "the daemon to end when idle")
    assert container.show("atocore.service", "Result") == "success"
    assert container.show("atocore.socket", "SubState") == "listening"
    container.get("/health")
    assert main_pid(container) not in (0, pid)


def test_no_connection_is_lost_over_restarts(container):
    knocker = container.start("python3", "-c", KNOCK)
    assert knocker.stdout.readline() == "knocking\n"
    for _ in range(5):
        container.systemctl("restart", "atocore.service")
    out, _ = knocker.communicate("\n", timeout=60)
    answered, failures = out.split(" ", 1)
    assert int(answered) > 5
    assert failures.strip() == "[]"


def test_killed_daemon_comes_back_and_connections_wait_for_it(container):
    container.get("/health")
    pid = main_pid(container)
    container.run("kill", "-KILL", str(pid))
    container.get("/health")
    assert main_pid(container) not in (0, pid)


def test_hung_daemon_is_restarted_by_the_watchdog(container):
    assert container.show("atocore.service", "WatchdogUSec") not in ("0", "infinity")
    container.drop_in("atocore.service", "[Service]\nWatchdogSec=500ms\nRestartSec=0\n")
    container.get("/health")
    pid = main_pid(container)
    container.run("kill", "-STOP", str(pid))
    wait_until(lambda: main_pid(container) not in (0, pid), "the watchdog to act")
    container.get("/health")


def test_broken_configuration_keeps_clients_waiting_not_refused(container):
    container.write("/etc/atocore/atocore.conf", "lock_wait=soon\n")
    container.drop_in("atocore.service", "[Service]\nRestartSec=200ms\n")
    client = container.start("curl", "--silent", "--max-time", "60", "http://127.0.0.1:8100/health")
    wait_until(lambda: int(container.show("atocore.service", "NRestarts")) >= 3, "some restarts")
    assert container.show("atocore.socket", "ActiveState") == "active"
    assert client.poll() is None
    container.write("/etc/atocore/atocore.conf", "lock_wait=1\n")
    out, _ = client.communicate(timeout=60)
    assert json.loads(out)["status"] in ("ok", "degraded")


def test_has_no_network_of_its_own(container):
    container.get("/health")
    pid = str(main_pid(container))
    assert (container.run("readlink", f"/proc/{pid}/ns/net").stdout
            != container.run("readlink", "/proc/1/ns/net").stdout)
    links = container.run("nsenter", "--target", pid, "--net", "ip", "-oneline", "link").stdout
    assert [line.split()[1] for line in links.splitlines()] == ["lo:"]


def test_runs_as_atocore_without_any_privilege(container):
    container.get("/health")
    status = dict(line.split(":\t", 1) for line in container.path(
        f"{process(container)}/status").read_text().splitlines() if ":\t" in line)
    uid = container.run("id", "-u", "atocore").stdout.strip()
    assert set(status["Uid"].split()) == {uid}
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} \
        == {0}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_admin_socket_is_closed_to_others(container):
    refused = container.run("setpriv", "--reuid=nobody", "--clear-groups", "curl", "--silent",
                            *ADMIN, "http://localhost/health", check=False)
    assert refused.status == 7
    member = container.run("setpriv", "--reuid=nobody", "--regid=atocore", "--clear-groups", "curl",
                           "--silent", *ADMIN, "http://localhost/health")
    assert json.loads(member.stdout)["status"]


def test_every_operation_works_within_the_sandbox(filled):
    ingest = filled.post("/ingest", {}, *ADMIN)
    assert ingest["files_seen"] == 1 and ingest["errors"] == []
    metadata = filled.post("/admin/backup", {"include_chroma": True}, *ADMIN, expect=201)
    assert metadata["chroma_snapshot_included"] is True
    stamp = metadata["stamp"]
    assert filled.get(f"/admin/backup/{stamp}/validate", *ADMIN)["valid"] is True
    plan = filled.post("/admin/prune", {"dry_run": True}, *ADMIN)
    assert [kept["stamp"] for kept in plan["keep"]] == [stamp]
    pack = filled.post("/context/build", {"prompt": "reference flat", "project": "p05"})
    assert "isopropanol" in pack["formatted_context"]
    assert filled.foreign_owned() == ""


def test_tokens_come_from_the_credential_store(filled):
    def bearer(token):
        return ("--header", f"Authorization: Bearer {token}")

    filled.get("/admin/backup")
    for name in ("admin", "api"):
        filled.write(f"/etc/credstore/{name}-token", f"{name}-secret\n", mode=0o600)
    filled.systemctl("restart", "atocore.service")

    filled.get("/health")
    filled.get("/stats", expect=401)
    filled.get("/stats", *bearer("wrong"), expect=401)
    filled.get("/stats", *bearer("api-secret"))
    filled.get("/stats", *bearer("admin-secret"))
    filled.get("/admin/backup", expect=401)
    filled.get("/admin/backup", *bearer("api-secret"), expect=401)
    filled.get("/admin/backup", *bearer("admin-secret"))
    filled.get("/admin/backup", *ADMIN)

    filled.remove("/etc/credstore")
    filled.systemctl("restart", "atocore.service")
    filled.get("/admin/backup")


def test_vault_under_home_is_hidden_without_the_drop_in_and_read_with_it(container):
    container.write("/home/alice/vault/tides.md", "# Tides\n\nSpring tides follow the full moon.\n")
    container.shell("chown -R 1000:1000 /home/alice && chmod 700 /home/alice")
    try:
        container.drop_in_example("vault-under-home", "atocore.service", "atocore-ingest.service")
        container.systemctl("start", "atocore-ingest.service")
        chunks = container.post("/query", {"prompt": "spring tides"})["chunks"]
        assert [chunk["source_file"] for chunk in chunks] == ["sources/vault/tides.md"]
        for path in (process(container) + "/root/home", process(container) + "/root/root"):
            assert container.run("ls", "-A", path).stdout == ""
        # It goes away with its disk: what was known is kept and served.
        container.systemctl("stop", "atocore.service")
        container.run("mv", "/home/alice/vault", "/home/alice/away")
        container.systemctl("start", "atocore-ingest.service")
        assert "ingest_removal_refused" in container.events("atocore-ingest.service")
        assert len(container.post("/query", {"prompt": "spring tides"})["chunks"]) == 1
    finally:
        container.remove("/home/alice")


class Lan:
    """A network between the container (192.168.1.10) and another machine (192.168.1.20), which has
    an address outside of it too (203.0.113.20)."""

    def __init__(self, container):
        self.container = container
        self.machine = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "cat"], env=ENVIRONMENT,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        wait_until(lambda: os.readlink(f"/proc/{self.machine.pid}/ns/net")
                   != os.readlink("/proc/self/ns/net"), "the other machine")
        for command in (
                ["ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1"],
                ["ip", "link", "set", "lan1", "netns", str(self.machine.pid)],
                ["ip", "address", "add", "192.168.1.10/24", "dev", "lan0"],
                ["ip", "link", "set", "lan0", "up"],
                ["ip", "route", "add", "203.0.113.0/24", "dev", "lan0"]):
            enter(container.pid, ["--net"], command)
        for command in (
                ["ip", "address", "add", "192.168.1.20/24", "dev", "lan1"],
                ["ip", "address", "add", "203.0.113.20/32", "dev", "lan1"],
                ["ip", "link", "set", "lan1", "up"]):
            self.run(*command)

    def run(self, *command, **options):
        return enter(self.machine.pid, ["--net"], command, **options)

    def close(self):
        self.machine.communicate(timeout=60)  # its end of the cable goes with it


@pytest.fixture
def lan(filled):
    lan = Lan(filled)
    yield lan
    lan.close()


def test_lan_drop_in_serves_whom_it_allows(filled, lan):
    base = "http://192.168.1.10:8100"

    def ask(*arguments):
        answer = lan.run("curl", "--silent", "--max-time", "30", "--output", "/dev/null",
                         "--write-out", "%{http_code}", *arguments, check=False)
        return answer.status, answer.stdout

    assert ask("--connect-timeout", "5", f"{base}/health")[0] == 7

    filled.drop_in_example("listen-on-lan", "atocore.socket")
    filled.get("/health")  # the daemon runs: it must get the new socket all the same
    filled.systemctl("restart", "atocore.socket")

    # A name that is not this machine's is refused, until it is allowed.
    assert ask(f"{base}/health") == (0, "403")
    filled.write("/etc/atocore/atocore.conf", "allowed_hosts=192.168.1.10\n")
    filled.systemctl("restart", "atocore.service")
    assert ask(f"{base}/health") == (0, "200")
    assert ask(f"{base}/stats") == (0, "200")
    assert ask("--request", "POST", "--json", "{}", f"{base}/admin/backup") == (0, "403")
    assert filled.get("/health")["status"] == "degraded"  # beyond the loopback without api-token

    filled.write("/etc/credstore/api-token", "api-secret\n", mode=0o600)
    filled.systemctl("restart", "atocore.service")
    assert ask(f"{base}/stats") == (0, "401")
    assert ask("--header", "Authorization: Bearer api-secret", f"{base}/stats") == (0, "200")

    # Another network is filtered by the kernel: no answer at all.
    if filled.filters_addresses():
        outside = ("--interface", "203.0.113.20", "--connect-timeout", "1")
        assert ask(*outside, f"{base}/health")[0] == 28
    filled.get("/health")
