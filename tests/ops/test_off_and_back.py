# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole way of a copy: encrypted, off the machine, fetched on another one that holds nothing,
and restored there from its key."""

import os

import pytest

from support.keys import MAKE
from support.offsite import Place, needs
from support.root import Root, tree

NOW = "20260407T060000Z"

pytestmark = needs("rclone")


@pytest.fixture(params=MAKE)
def keys(request, tmp_path_factory):
    return MAKE[request.param](tmp_path_factory.mktemp("keys"), "ours")


# In a snapshot → in a storage root.
PLACES = {"db/": "data/db/", "chroma/": "data/chroma/", "config/": "config/"}


def files(path, *beginnings):
    return {name: content for name, (_, content) in tree(path).items()
            if content is not None and name.startswith(beginnings)}


def of_snapshot(path):
    return {PLACES[name.split("/")[0] + "/"] + name.split("/", 1)[1]: content
            for name, content in files(path, *PLACES).items()}


def test_an_encrypted_archive_is_restored_on_a_machine_that_holds_nothing(
        live, run_op, tmp_path, keys):
    live.write("data/chroma/segment/data.bin", os.urandom(1 << 16))
    directory = tmp_path / "place"
    directory.mkdir()
    place = Place(run_op, directory, f"rclone:{tmp_path}/served",
                  RCLONE_CONFIG=str(directory / "none.conf"))
    encrypting = directory / "encrypt.conf"
    encrypting.write_text(keys.settings)
    run_op("atocore-backup", "-q", "--archive", "--include-chroma", "--config", encrypting,
           now=NOW).expect(0)
    place.ship(now=NOW).expect(0)
    [name] = [path.name for path in (tmp_path / "served").iterdir()]
    assert name == f"{NOW}.tar.zst.{keys.kind}"

    other = Root(tmp_path / "other")
    place.ship("--fetch", NOW, root=other.path, now=NOW).expect(0)
    refused = run_op("atocore-restore", name, root=other.path, now=NOW)
    assert refused.expect(77).codes[-1] == "archive_key_failed"
    assert files(other.path, *PLACES.values()) == {}
    result = run_op("atocore-restore", "--identity", keys.secret, name, root=other.path, now=NOW)
    assert result.expect(0).codes[-1] == "restore_done"
    assert files(other.path, *PLACES.values()) == of_snapshot(live.snapshots / NOW)
    assert not [path for path in tree(other.path) if ".restore-" in path or "journal" in path]
