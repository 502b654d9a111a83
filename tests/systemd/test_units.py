# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is installed: units that systemd takes without a word, and what they promise as such."""

import datetime
import re
import stat

import pytest

from support.container import EXAMPLES, ROOT

TIMERS = ("atocore-backup", "atocore-backup-full", "atocore-drill", "atocore-ingest",
          "atocore-prune", "atocore-validate")
RESTORES = ("atocore-restore@latest", "atocore-resume")
SERVICES = ("atocore", *TIMERS, *RESTORES, "atocore-ship", "atocore-watch")
NETWORKED = {"atocore-ship.service"}
SOCKETS = ("atocore", "atocore-admin")
UNITS = [*(f"{name}.service" for name in SERVICES), *(f"{name}.timer" for name in TIMERS),
         *(f"{name}.socket" for name in SOCKETS), "atocore.target"]


def exposures(text):
    """What systemd-analyze security says: {unit: exposure}."""
    return {unit: float(exposure) for unit, exposure in
            re.findall(r"Overall exposure level for (\S+): ([\d.]+)", text)}


def elapses(container, expression, since, count):
    """The moments at which a calendar expression elapses."""
    text = container.run("env", "TZ=UTC", "systemd-analyze", "calendar", f"--base-time={since}",
                         f"--iterations={count}", expression).stdout
    return [datetime.datetime.strptime(moment, "%Y-%m-%d %H:%M:%S") for moment in
            re.findall(r"(?:Next elapse|Iter(?:\.|ation) #\d+): \w{3} (\S+ \S+) UTC", text)]


def calendars(container, timer):
    text = container.systemctl("cat", f"{timer}.timer").stdout
    return re.findall(r"^OnCalendar=(.+)$", text, re.MULTILINE)


def test_sockets_and_timers_are_on_after_boot_and_nothing_runs(booted):
    expected = {unit: "active" for unit in UNITS if not unit.endswith(".service")}
    assert {unit: booted.states.get(unit) for unit in expected} == expected
    assert all(state == "inactive" for unit, state in booted.states.items()
               if unit.endswith(".service"))


def test_all_units_are_installed_and_verify_clean(container):
    paths = [container.show(unit, "FragmentPath") for unit in UNITS]
    result = container.run("systemd-analyze", "--man=no", "verify", *paths)
    assert "atocore" not in result.stdout + result.stderr, result


def test_documentation_that_units_name_is_installed(container):
    named = set(re.findall(r"\b(?:man|file):\S+", container.systemctl("cat", *UNITS).stdout))
    assert named
    missing = []
    for name in named:
        page = re.fullmatch(r"man:(\S+)\((\d)\)", name)
        path = (f"/usr/share/man/man{page[2]}/{page[1]}.{page[2]}" if page
                else name.removeprefix("file://"))
        if not any(container.path(p).exists() for p in (path, path + ".gz")):
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("how", ["installed", "with-drop-ins", "offline"])
def test_services_are_rated_safe(container, how):
    if how == "with-drop-ins":
        container.drop_in_example("listen-on-lan", "atocore.socket")
        container.drop_in_example("vault-under-home", "atocore.service", "atocore-ingest.service",
                                  "atocore-watch.service")
        container.drop_in_example("other-storage-root", *(f"{name}.service" for name in SERVICES))
        container.drop_in_example("other-storage-root-resume", "atocore-resume.service")
    units = [f"{name}.service" for name in SERVICES]
    if how == "offline":
        text = "".join(container.run("systemd-analyze", "--no-pager", "--offline=true", "security",
                                     container.show(unit, "FragmentPath")).stdout
                       for unit in units)
        # An instance of its own: "i" of systemd 252, "test_instance" of 257.
        text = re.sub(r"atocore-restore@\w+\.", "atocore-restore@latest.", text)
    else:
        text = container.run("systemd-analyze", "--no-pager", "security", *units).stdout
    found = exposures(text)
    assert set(found) == set(units)
    assert {unit: exposure for unit, exposure in found.items()
            if exposure > (1.3 if unit in NETWORKED else 1.0)} == {}


def test_services_can_write_one_path(container):
    for name in SERVICES:
        user, group, paths, mounts, root = container.show(
            f"{name}.service", "User", "Group", "ReadWritePaths", "RequiresMountsFor",
            "ProtectSystem")
        assert (user, group, root) == ("atocore", "atocore", "strict")
        assert paths == f"-{ROOT}"
        assert {ROOT, f"{ROOT}/backups"} & set(mounts.split())


def test_every_day_has_one_backup_full_on_sundays_and_the_first(container):
    since, days = datetime.datetime(2026, 1, 1), 800

    def starts(timer):
        return [moment for expression in calendars(container, timer)
                for moment in elapses(container, expression, "2025-12-31 12:00:00", days)
                if moment < since + datetime.timedelta(days)]

    plain, full = starts("atocore-backup"), set(starts("atocore-backup-full"))
    every = {since + datetime.timedelta(day, hours=6) for day in range(days)}
    assert full == {moment for moment in every if moment.weekday() == 6 or moment.day == 1}
    assert set(plain) == every - full
    assert len(plain) == len(set(plain))


def test_ingest_never_starts_with_a_backup(container):
    [expression] = calendars(container, "atocore-ingest")
    moments = elapses(container, expression, "2026-01-01 00:00:00", 96)
    minutes = {moment.minute for moment in moments}
    assert len(minutes) == 4 and 0 not in minutes


def test_timers_make_up_for_a_missed_turn_and_wait_for_the_clock(container):
    for name in TIMERS:
        persistent, after = container.show(f"{name}.timer", "Persistent", "After")
        assert persistent == "yes"
        assert "time-sync.target" in after.split()


def test_operations_have_time_and_are_not_tried_again(container):
    for name in TIMERS:
        kind, restart, timeout, nice = container.show(
            f"{name}.service", "Type", "Restart", "TimeoutStartUSec", "Nice")
        assert (kind, restart) == ("oneshot", "no")
        assert timeout == "infinity" or int(timeout.rstrip("h")) >= 2
        assert int(nice) > 0


def test_no_clock_ends_a_restore_and_it_is_not_tried_again(container):
    for name in RESTORES:
        kind, restart, timeout = container.show(
            f"{name}.service", "Type", "Restart", "TimeoutStartUSec")
        assert (kind, restart) == ("oneshot", "no")
        assert timeout == "infinity" or int(timeout.rstrip("h")) >= 2


def test_operations_wait_for_a_restore_and_the_daemon_for_its_end_at_boot(container):
    before = {name: set(container.show(f"{name}.service", "Before").split()) for name in RESTORES}
    operations = {f"{name}.service" for name in (*TIMERS, "atocore-ship")}
    assert operations | {"atocore-resume.service"} <= before["atocore-restore@latest"]
    assert "atocore.service" not in before["atocore-restore@latest"]
    assert operations | {"atocore.service", "atocore-watch.service"} <= before["atocore-resume"]


def test_resume_looks_where_the_other_storage_root_is(container):
    """Its conditions, and those of the example, are on the same places below their roots."""
    def conditions(text):
        return sorted(line.strip() for line in text.splitlines()
                      if re.match(r"Condition\w+=.", line))

    unit = conditions(container.systemctl("cat", "atocore-resume.service").stdout)
    example = container.path(f"{EXAMPLES}/drop-ins/other-storage-root-resume.conf").read_text()
    assert len(unit) == 4
    assert conditions(example.replace("/mnt/atocore", ROOT)) == unit


def test_user_is_made_without_a_login(container):
    entry = container.run("getent", "passwd", "atocore").stdout.strip()
    name, _, _, _, _, home, shell = entry.split(":")
    assert (name, home) == ("atocore", ROOT)
    assert shell.endswith("/nologin")


def test_admin_socket_is_for_root_and_the_group(container):
    for path, mode in (("/run/atocore", 0o750), ("/run/atocore/admin.sock", 0o660)):
        status = container.path(path).stat()
        assert stat.S_IMODE(status.st_mode) == mode
        assert container.owner(path) == "root:atocore"


def test_storage_root_is_made_for_atocore_alone(container):
    listing = container.run("find", ROOT, "-printf", "%P %M %u:%g\n").stdout.splitlines()
    assert len(listing) == 16
    assert {line.split(" ", 1)[1] for line in listing} == {"drwxr-x--- atocore:atocore"}


def test_storage_root_is_not_made_at_boot(container):
    """tmpfiles.d, all of it: below a mount point whose disk is away, nothing appears."""
    container.remove("/srv/storage")
    container.path("/srv/storage").mkdir()
    container.run("systemd-tmpfiles", "--create", "--boot", check=False)
    assert list(container.path("/srv/storage").iterdir()) == []


def test_storage_root_leaves_foreign_sources_as_they_are(container):
    container.shell(f"chown 1000:1000 {ROOT}/sources/vault && chmod 755 {ROOT}/sources/vault")
    container.run("systemd-tmpfiles", "--create", "/usr/share/atocore/storage-root.conf")
    assert container.path(f"{ROOT}/sources/vault").stat().st_uid == 1000
    assert stat.S_IMODE(container.path(f"{ROOT}/sources/vault").stat().st_mode) == 0o755


def test_target_turns_everything_off_and_on(container):
    on = [unit for unit in UNITS if not unit.endswith(".service")]
    container.systemctl("start", "atocore.service")
    container.systemctl("disable", "--now", "atocore.target")
    assert {unit: container.show(unit, "ActiveState") for unit in UNITS} == dict.fromkeys(
        UNITS, "inactive")
    enabled = [*on, "atocore-resume.service"]
    assert {unit: container.show(unit, "UnitFileState") for unit in enabled} == dict.fromkeys(
        enabled, "disabled")
    container.systemctl("enable", "--now", "atocore.target")
    assert {unit: container.show(unit, "ActiveState") for unit in on} == dict.fromkeys(on, "active")
    assert {unit: container.show(unit, "UnitFileState") for unit in enabled} == dict.fromkeys(
        enabled, "enabled")
