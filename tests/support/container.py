# SPDX-License-Identifier: LGPL-2.1-or-later
"""A booted systemd with AtoCore installed, of which nothing is left afterwards."""

import itertools
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

from support import build
from support.run import run
from support.wait import wait_until

ROOT = "/srv/storage/atocore"
EXAMPLES = "/usr/share/doc/atocore/examples"
SCRIPT = pathlib.Path(__file__).resolve().parent / "boot-container"
# Nothing of the environment in which the tests run.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
NAMESPACES = ("unshare", "--mount", "--propagation", "unchanged", "--pid", "--fork",
              "--kill-child", "--mount-proc")
# All namespaces; the root too, because in a chroot it is not that of the mount namespace.
INTO = ("--all", "--root")


def unavailable():
    """Why no container can be booted here, or None."""
    if os.geteuid() != 0:
        return "booting a container needs root"
    for program in ("systemd-nspawn", "unshare", "nsenter", "setpriv", "ip", "meson"):
        if not shutil.which(program, path=ENVIRONMENT["PATH"]):
            return f"booting a container needs {program}"
    probe = run([*NAMESPACES, "unshare", "--net", "ip", "link", "set", "lo", "up"],
                env=ENVIRONMENT)
    if probe.status != 0:
        return f"no namespaces with a network can be made here: {probe.stderr.strip()}"
    return None


def enter(pid, namespaces, command, check=True, **options):
    """A command in namespaces of a process, as root."""
    result = run(["nsenter", "--target", pid, *namespaces, "--", *command], env=ENVIRONMENT,
                 **options)
    return result.expect(0) if check else result


# Of the containers of this process: no two share a name, nor with one of a run that was killed.
NUMBERS = itertools.count()


class Container:
    def __init__(self, name=None):
        self.cgroup = name or f"atocore-test-{os.getpid()}-{next(NUMBERS)}"
        self.console = tempfile.TemporaryFile()
        # Whatever ends this process ends the namespaces, and with them all that is in them.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *NAMESPACES,
             str(SCRIPT), str(build.build_dir()), self.cgroup],
            env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=self.console,
            stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self.pid = wait_until(self._find_init, "the container's PID 1")
            wait_until(self._is_running, "the container to have booted")
        except BaseException:
            self.close()
            raise

    # Its life.

    def output(self):
        self.console.seek(0)
        return self.console.read().decode(errors="replace")

    def _assert_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"the container ended with {self.process.returncode}:\n{self.output()}")

    def _find_init(self):
        """The PID 1 of the inner of the two PID namespaces, by its number out here."""
        self._assert_alive()
        todo = [self.process.pid]
        while todo:
            pid = todo.pop()
            try:
                proc = pathlib.Path("/proc", str(pid))
                status = (proc / "status").read_text()
                todo += (proc / "task" / str(pid) / "children").read_text().split()
            except (FileNotFoundError, ProcessLookupError):  # gone meanwhile
                continue
            ours = next(line for line in status.splitlines() if line.startswith("NSpid:"))
            if len(ours.split()) == 4 and ours.split()[3] == "1":
                return pid
        return None

    def _is_running(self):
        self._assert_alive()
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.console.close()
        self.remove_cgroup(self.cgroup)

    @staticmethod
    def remove_cgroup(name):
        """The one thing that does not go with the last process, which takes a moment to be gone."""
        script = ('mount -n --make-rprivate / 2>/dev/null || :; mount -n -t cgroup2 cgroup2 /mnt; '
                  '[ ! -e "/mnt/$1" ] || find "/mnt/$1" -depth -type d -exec rmdir {} +; '
                  'status=$?; umount -n /mnt; exit $status')
        command = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script, "sh",
                   name]
        wait_until(lambda: run(command, env=ENVIRONMENT).status == 0,
                   "the container's control groups to go")

    # What is done in it.

    def run(self, *command, **options):
        return enter(self.pid, INTO, command, **options)

    def start(self, *command):
        """A command in the container as a running subprocess.Popen, its stdin and stdout as text
        pipes; the caller ends it."""
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "nsenter", "--target", str(self.pid), *INTO, "--",
             *command],
            env=ENVIRONMENT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def shell(self, script, **options):
        return self.run("sh", "-euc", script, **options)

    def systemctl(self, *arguments, **options):
        return self.run("systemctl", *arguments, **options)

    def show(self, unit, *properties):
        """Properties of a unit, as text: one value, or a list where several were asked for."""
        lines = self.systemctl("show", unit, *(f"--property={p}" for p in properties)).stdout
        values = dict(line.split("=", 1) for line in lines.splitlines())
        return values[properties[0]] if len(properties) == 1 else [values[p] for p in properties]

    def path(self, name):
        """A path in the container, as it is reached from here. Links in it that are absolute point
        out of the container."""
        return pathlib.Path(f"/proc/{self.pid}/root", str(name).lstrip("/"))

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def remove(self, name):
        path = self.path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def owner(self, name):
        """By name, as the container knows the ids: "root:atocore"."""
        return self.run("stat", "--format=%U:%G", name).stdout.strip()

    def drop_in(self, unit, text, name="test.conf"):
        """A drop-in for a unit; the `container` fixture removes all of them."""
        self.write(f"/etc/systemd/system/{unit}.d/{name}", text)
        self.systemctl("daemon-reload")

    def drop_in_example(self, example, *units, replace=None):
        """One of the drop-ins that are ready to copy, with texts in it replaced by others."""
        text = self.path(f"{EXAMPLES}/drop-ins/{example}.conf").read_text()
        for old, new in (replace or {}).items():
            assert old in text
            text = text.replace(old, new)
        for unit in units:
            self.write(f"/etc/systemd/system/{unit}.d/{example}.conf", text)
        self.systemctl("daemon-reload")

    def request(self, path, *arguments, expect=200):
        """The JSON of a request by curl, over TCP from the loopback if the arguments do not say
        otherwise."""
        out = self.run("curl", "--silent", "--show-error", "--max-time", "60", "--write-out",
                       "\n%{http_code}", *arguments, "http://127.0.0.1:8100" + path).stdout
        body, status = out.rsplit("\n", 1)
        assert int(status) == expect, f"{path}: HTTP {status}\n{body}"
        return json.loads(body)

    def get(self, path, *arguments, expect=200):
        return self.request(path, *arguments, expect=expect)

    def post(self, path, body, *arguments, expect=200):
        return self.request(path, "--json", json.dumps(body), *arguments, expect=expect)

    def journal(self, unit):
        """The entries of the last run of a unit: what it said, and what systemd said of it."""
        invocation = self.show(unit, "InvocationID")
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--output=json", "--no-pager",
                         f"_SYSTEMD_INVOCATION_ID={invocation}", "+",
                         f"INVOCATION_ID={invocation}").stdout
        return [json.loads(line) for line in lines.splitlines()]

    def events(self, unit):
        """Of these, the events: {ATOCORE_CODE: entry}."""
        return {entry["ATOCORE_CODE"]: entry for entry in self.journal(unit)
                if "ATOCORE_CODE" in entry}

    def foreign_owned(self):
        """What in the storage root is not atocore's or has another mode than it should: a listing,
        empty if all is well."""
        return self.run("find", ROOT, "-xdev", "(", "!", "-user", "atocore", "-o", "!", "-group",
                        "atocore", "-o", "-type", "d", "!", "-perm", "0750", "-o", "-type", "f",
                        "!", "-perm", "0640", ")", "-ls").stdout

    def filters_addresses(self):
        """Whether IPAddressDeny= works here: the kernel may not have it, or not let us."""
        return self.run("systemd-run", "--quiet", "--wait", "--property=IPAddressDeny=any", "curl",
                        "--silent", "--connect-timeout", "1", "http://127.0.0.1:8100/health",
                        check=False).status != 0
