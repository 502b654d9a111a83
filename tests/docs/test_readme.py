# SPDX-License-Identifier: LGPL-2.1-or-later
"""README.md: the tour is run as it stands there and prints what it says; the installation is that
of a booted machine; every path and link leads somewhere."""

import re
import subprocess

import pytest

from support import build
from support.container import Container, unavailable
from support.daemon import free_port
from support.markdown import blocks

README = build.PROJECT / "README.md"
BLOCKS = blocks(README)
TOUR_ROOT = "/tmp/atocore-tour"
DOCUMENTS = [README, *sorted((build.PROJECT / "docs").glob("*.md"))]


def normal(text, root=TOUR_ROOT):
    """What may differ from run to run taken out: times, sizes, digests, the place."""
    text = text.replace(str(root), TOUR_ROOT)
    text = re.sub(r"\b\d{8}T\d{6}Z\b", "STAMP", text)
    text = re.sub(r"\b[0-9a-f]{12}…", "DIGEST…", text)
    text = re.sub(r"\d+ (ms|bytes)\b", r"N \1", text)
    text = re.sub(r"^(STAMP +\w+ +\S+ +\S+ +)\d+", r"\1N", text, flags=re.MULTILINE)
    return re.sub(r"[ \t]+", " ", text).strip()


def tour(tmp_path):
    """[(command, what it is said to print)] of the tour, and the text of a script that runs it."""
    pairs, script = [], ["set -eu"]
    for block in BLOCKS:
        if block.section != "Five minutes":
            continue
        if block.language == "text":
            pairs[-1] = (pairs[-1][0], block.text)
        else:
            pairs.append((block.text, ""))
    for text, _ in pairs:
        text = text.replace("./run build\n", "").replace("$PWD/build", str(build.build_dir()))
        script += ["printf '\\n@@\\n'", text.rstrip()]
    text = "\n".join(script).replace(TOUR_ROOT, str(tmp_path / "tour"))
    return pairs, text.replace("8100", str(free_port()))


def test_tour_prints_what_the_text_says(tmp_path, reports):
    pairs, script = tour(tmp_path)
    done = subprocess.run(["bash", "-c", script], env=build.environment(reports), cwd=tmp_path,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240,
                          check=False)
    assert done.returncode == 0, done.stdout
    printed = done.stdout.split("\n@@\n")[1:]
    assert len(printed) == len(pairs)
    for (command, said), text in zip(pairs, printed):
        assert normal(text, tmp_path / "tour") == normal(said), command
    assert list(tmp_path.iterdir()) == [], "nothing is left"


def test_installation_ends_with_a_daemon_that_answers():
    """All but the build, and the copying that tests/support/boot-container has done."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    [block] = [block for block in BLOCKS if block.section == "Install"]
    text = block.text.replace("./run build\nmeson install -C build\n", "")
    assert text != block.text
    container = Container()
    try:
        container.shell("systemctl disable --now atocore.target; "
                        "systemctl stop 'atocore*.socket' 'atocore*.timer'")
        said = container.run("bash", "-euc", text).stdout
        assert '"version":' in said
        installed = container.path("/usr/share/doc/atocore")
        assert [path.name for path in DOCUMENTS if not (installed / path.name).exists()] == []
        for unit in ("atocore.socket", "atocore-admin.socket", "atocore-backup.timer",
                     "atocore-backup-full.timer", "atocore-validate.timer", "atocore-prune.timer",
                     "atocore-ingest.timer", "atocore-drill.timer"):
            assert container.show(unit, "ActiveState") == "active", unit
            assert container.show(unit, "UnitFileState") == "enabled", unit
    finally:
        container.close()


def test_every_place_that_it_names_is_there():
    places = re.findall(r"`((?:lib|daemon|ops|units|tests|docs|\.claude)/[\w./-]*)`",
                        README.read_text())
    assert "lib/backup/retention.c" in places and len(places) > 10
    assert not [place for place in places if not (build.PROJECT / place).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target
