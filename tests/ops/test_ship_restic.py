# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways of restic that a version has and another has not: a stand-in has them."""

import os
import shutil

import pytest

from support.offsite import PASSWORD, Place, needs

pytestmark = needs("restic")

STAMP = "20260407T060000Z"
NOW = "20260407T070000Z"


@pytest.fixture
def place(live, backup, run_op, tmp_path):
    """With a snapshot to be sent there."""
    backup("-q", now=STAMP).expect(0)
    (tmp_path / "place").mkdir()
    return Place(run_op, tmp_path / "place", f"restic:{tmp_path}/repository",
                 RESTIC_PASSWORD=PASSWORD)


def test_restic_that_would_go_on_trying_is_ended(place, tmp_path):
    program = tmp_path / "restic"
    program.write_text(
        "#!/bin/sh\n"
        "for n in 1 2; do\n"
        "        echo 'Stat(<config/>) returned error, retrying after 1.02s:'"
        "             'Head \"http://a/config\": dial tcp: connect: connection refused'\n"
        "done >&2\n"
        "exec tail -f /dev/null\n")
    program.chmod(0o755)
    for arguments in ([], ["--list"]):
        result = place.ship(*arguments, now=NOW,
                            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}).expect(69)
        assert result.codes[-1] == "offsite_failed"
        assert ': restic: Head "http://a/config": dial tcp: connect: connection refused; check' in (
            result.stderr)


def test_restic_that_panics_is_asked_what_was_wrong(place, tmp_path):
    place.ship("-q", now=NOW).expect(0)
    words = tmp_path / "words"
    (tmp_path / "restic").write_text(
        "#!/bin/sh\n"
        "case $1 in\n"
        "dump)\n"
        "        printf 'panic: nil pointer\\n\\ngoroutine 12 [running]:\\n\\twalker.go\\n' >&2\n"
        "        exit 2 ;;\n"
        f"check) cat {words} >&2; test ! -s {words} ;;\n"
        f"*) exec {shutil.which('restic')} \"$@\" ;;\n"
        "esac\n")
    (tmp_path / "restic").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for said, status, code, told in (
            ("", 69, "offsite_failed", "panic: nil pointer"),
            ("Fatal: unable to open config file: timeout\n", 69, "offsite_failed", "panic: nil"),
            ("Fatal: repository does not exist: unable to open config file: stat /gone/config: "
             "no such file or directory\n", 69, "offsite_failed", "panic: nil pointer"),
            ("Fatal: repository contains errors\n", 65, "offsite_mismatch", "contains errors")):
        words.write_text(said)
        result = place.ship("--verify", now=NOW, env=path).expect(status)
        assert result.codes[-1] == code and told in result.stderr
