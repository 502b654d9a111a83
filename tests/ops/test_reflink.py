# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the file system clones, copies are clones and all else holds as anywhere: the unit tests of
files and copies, run on btrfs and xfs."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from support import build
from support.run import run

# Debian's mkfs wants more than 300 MB for xfs; the file is sparse.
SIZE = 512 << 20
MAKE = {
    "btrfs": ["mkfs.btrfs", "-q"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
}
UNITS = ("file-io", "file-io-copy", "file-io-tree", "sqlite-copy", "sqlite-copy-failure",
         "sqlite-copy-live")


@pytest.fixture(scope="module", params=MAKE)
def cloning(request):
    """A directory on a fresh file system of that type, in a file that is mounted."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    mkfs = shutil.which(MAKE[request.param][0], path=path)
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if mkfs is None:
        pytest.skip(f"no {MAKE[request.param][0]}")
    # Not below tmp_path: the tests also go there as a user who is not let in.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="atocore-reflink-"))
    request.addfinalizer(lambda: shutil.rmtree(directory))
    directory.chmod(0o755)
    image, mount = directory / "image", directory / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run([mkfs, *MAKE[request.param][1:], image], check=True,
                   stdout=subprocess.DEVNULL)
    mounted = run(["mount", "-t", request.param, "-o", "loop", image, mount])
    if mounted.status != 0:
        pytest.skip(f"cannot mount a file as {request.param}: {mounted.stderr.strip()}")
    request.addfinalizer(lambda: subprocess.run(["umount", mount], check=True))
    return mount


@pytest.mark.parametrize("unit", UNITS)
def test_copies_are_clones_and_keep_every_promise(cloning, unit, reports):
    run([build.build_dir() / "tests" / f"test-{unit}"], timeout=300, cwd=build.PROJECT,
        env=build.environment(reports, TMPDIR=cloning, ATOCORE_TEST_REFLINK=1,
                              CMOCKA_MESSAGE_OUTPUT="TAP")).expect(0)
