# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon against nginx, and how soon it is there when it is asked for."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import time

import measure
from measure import Broken, Skip, need, run, spread
from support import build
from support.container import ROOT, Container, unavailable
from support.daemon import Daemon, free_port
from support.root import Root
from support.wait import wait_until

WRK_ROUNDS = 3
WRK_SECONDS = 5
START_ROUNDS = 15
ACTIVATION_ROUNDS = 25

REQUEST = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ }}
http {{
        access_log off;
        default_type application/json;
        keepalive_requests 1000000000;
        client_body_temp_path {directory}/body;
        proxy_temp_path {directory}/proxy;
        fastcgi_temp_path {directory}/fastcgi;
        uwsgi_temp_path {directory}/uwsgi;
        scgi_temp_path {directory}/scgi;
        server {{
                listen 127.0.0.1:{port};
                add_header Cache-Control no-store;
                location / {{ return 200 '{body}'; }}
        }}
}}
"""

# In the container: each service is stopped and asked in turn; prints [[peer, ours], …] in seconds.
ASK = """
import json, socket, subprocess, sys, time
def activate(unit, port):
    subprocess.run(["systemctl", "stop", unit], check=True)
    before = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
        assert connection.recv(1) == b"H"
        return time.monotonic() - before
print(json.dumps([[activate("trivial.service", 8101), activate("atocore.service", 8100)]
                  for _ in range(int(sys.argv[1]))]))
"""

TRIVIAL_SOCKET = "[Socket]\nListenStream=127.0.0.1:8101\nFileDescriptorName=http\n"


def filled_root(scratch):
    """A storage root with all that the daemon looks at: documents, projects, a snapshot."""
    root = Root(scratch / "root")
    root.write("sources/vault/note.md", "# Note\n\nThe reference flat is cleaned.\n")
    root.write_registry([{"id": "notes", "aliases": [], "description": "Notes", "ingest_roots": [
        {"source": "vault", "subpath": "", "label": "notes"}]}])
    measure.operation("atocore-ingest", root, "--quiet")
    measure.operation("atocore-backup", root, "--quiet")
    return root


@contextlib.contextmanager
def serving(root, scratch, **options):
    daemon = Daemon(root, scratch, None, **options)
    try:
        yield daemon.wait_ready()
        daemon.stop()
    finally:
        daemon.kill()


@contextlib.contextmanager
def nginx(scratch, body):
    """Its URL."""
    directory = scratch / "nginx"
    directory.mkdir(mode=0o755)
    port = free_port()
    quoted = body.decode().replace("\\", "\\\\").replace("'", "\\'")
    (directory / "nginx.conf").write_text(
        NGINX.format(directory=directory, port=port, body=quoted))
    process = subprocess.Popen(
        [need("nginx"), "-p", directory, "-e", directory / "error.log", "-c",
         directory / "nginx.conf"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        if process.poll() is not None:
            raise Broken(f"nginx ended: {(directory / 'error.log').read_text()}")
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True

    try:
        wait_until(answers, "nginx")
        yield f"http://127.0.0.1:{port}/health"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()


def wrk(url):
    """Requests per second."""
    output = run(need("wrk"), "-t1", "-c32", f"-d{WRK_SECONDS}", url).output
    if "Non-2xx" in output or "Socket errors" in output:
        raise Broken(f"wrk {url}: {output}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def memory(pid):
    """RSS and RssAnon in MiB."""
    status = pathlib.Path("/proc", str(pid), "status").read_text()
    return [int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024
            for name in ("VmRSS", "RssAnon")]


def measure_health(report, scratch, _):
    root = filled_root(scratch)
    with serving(root, scratch) as daemon:
        body = daemon.get("/health").expect(200).body
        fresh = memory(daemon.process.pid)
        try:
            need("wrk")
            with nginx(scratch, body) as url:
                theirs, own = measure.interleave(
                    WRK_ROUNDS, lambda: wrk(url), lambda: wrk(daemon.url + "/health"))
            report.say(f"{len(body)} bytes of body: nginx {spread(theirs, 'requests/s')}, "
                       f"atocored {spread(own, 'requests/s')}")
            report.ratio("GET /health / nginx return 200, requests/s", own, theirs, at_least=0.8)
        except Skip as reason:
            report.skip("GET /health / nginx", reason)
        after = memory(daemon.process.pid)
    report.say("RSS and RssAnon after one request {:.1f} and {:.1f} MiB, after all of wrk's "
               "{:.1f} and {:.1f} MiB".format(*fresh, *after))
    report.value("atocored at rest, RSS", max(fresh[0], after[0]), "MiB", at_most=16)
    report.value("atocored at rest, RssAnon", max(fresh[1], after[1]), "MiB", at_most=4)


def seconds_to_answer(log, *command):
    """From just before exec to the first byte of the answer to a request that waited already, on a
    socket that is handed over as systemd does it."""
    environment = build.environment(LISTEN_FDS=1, LISTEN_FDNAMES="http")
    told, tell = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.create_connection(server.getsockname()) as client:
        client.sendall(REQUEST)
        pid = os.fork()
        if pid == 0:
            try:
                tell = os.dup(tell) if tell > 3 else os.dup2(tell, 9, inheritable=False)
                os.dup2(log.fileno(), 2)
                os.dup2(server.fileno(), 3)
                os.set_inheritable(3, True)
                environment["LISTEN_PID"] = str(os.getpid())
                os.write(tell, time.monotonic_ns().to_bytes(8, "little"))
                os.execve(command[0], [str(word) for word in command], environment)
            finally:
                os._exit(127)
        try:
            os.close(tell)
            server.close()  # a daemon that ends is an end of the connection, not silence
            before = int.from_bytes(os.read(told, 8), "little")
            os.close(told)
            client.settimeout(30)
            if client.recv(1) != b"H":
                raise Broken(f"{command[0]} did not answer")
            return (time.monotonic_ns() - before) / 1e9
        finally:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def measure_start(report, scratch, _):
    root = filled_root(scratch)
    with open(scratch / "stderr", "wb") as log:
        theirs, own = measure.interleave(
            START_ROUNDS, lambda: seconds_to_answer(log, measure.tool("trivial-daemon")),
            lambda: seconds_to_answer(log, build.program("atocored"), "--root", root.path))
    report.say(f"trivial daemon {spread(theirs, 'ms', 1000)}, atocored {spread(own, 'ms', 1000)}")
    report.value("exec to first answer", statistics.median(own) * 1000, "ms", at_most=20)


def install_trivial(container):
    """The trivial daemon as a service with all that confines ours."""
    text = container.path("/usr/lib/systemd/system/atocore.service").read_text()
    text = re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/usr/local/bin/trivial-daemon", text)
    text = re.sub(r"(?m)^Sockets=.*$", "Sockets=trivial.socket", text)
    container.write("/etc/systemd/system/trivial.service", text)
    container.write("/etc/systemd/system/trivial.socket", TRIVIAL_SOCKET)
    program = container.path("/usr/local/bin/trivial-daemon")
    program.write_bytes(measure.tool("trivial-daemon").read_bytes())
    program.chmod(0o755)
    container.systemctl("daemon-reload")
    container.systemctl("start", "trivial.socket", "atocore.socket")


def measure_activation(report, *_):
    reason = unavailable()
    if reason:
        raise Skip(reason)
    container = Container(f"atocore-bench-{os.getpid()}")
    try:
        container.systemctl("stop", "atocore*.timer")
        container.write(f"{ROOT}/sources/vault/note.md", "# Note\n")
        container.systemctl("start", "atocore-ingest.service")
        install_trivial(container)
        rounds = json.loads(container.run("python3", "-c", ASK, ACTIVATION_ROUNDS + 1).stdout)
    finally:
        container.close()
    theirs, own = zip(*rounds[1:])  # the first one reads the programs from the disk
    report.say(f"trivial daemon {spread(theirs, 'ms', 1000)}, atocored {spread(own, 'ms', 1000)}")
    report.ratio("activation by systemd / trivial daemon", own, theirs, at_most=1.3)
