# SPDX-License-Identifier: LGPL-2.1-or-later

import os

import pytest

from support import build
from support.run import run


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """What `meson install` puts on a machine, below a scratch directory."""
    directory = tmp_path_factory.mktemp("installed")
    run(["/usr/bin/meson", "install", "--no-rebuild", "--quiet", "--destdir", directory,
         "-C", build.build_dir()], env=dict(os.environ)).expect(0)
    return directory
