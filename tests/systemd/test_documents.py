# SPDX-License-Identifier: LGPL-2.1-or-later
"""Documents that are converted, by converters that are confined inside a confined unit."""

import json

import pytest

from support import documents
from support.container import ROOT

reason = documents.missing_converter()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"converters: {reason}")

# What a document might bring a converter to: to tell what others wrote.
SPY = f"""#!/bin/sh
exec cat {ROOT}/config/project-registry.json
"""


def put(container, name, data):
    path = container.path(f"{ROOT}/sources/drive/{name}")
    path.write_bytes(data)
    container.shell(f"chown -R atocore:atocore {ROOT}/sources && chmod -R o= {ROOT}/sources")


def ask(container, prompt):
    chunks = container.post("/query", {"prompt": prompt})["chunks"]
    return [(chunk["source_file"], chunk["heading_path"]) for chunk in chunks]


def test_documents_are_converted_in_the_units_and_nothing_else_is_read(filled):
    put(filled, "a.pdf", documents.pdf([], ["A heliostat follows the sun."]))
    put(filled, "b.docx", documents.docx((1, "Mounts"), "A gimbal carries the mirror."))
    put(filled, "c.html", b"<h1>Glass</h1><p>Zerodur does not expand.</p>")
    filled.systemctl("start", "atocore-ingest.service")
    assert not filled.events("atocore-ingest.service").get("ingest_file_skipped")
    assert ask(filled, "heliostat") == [("sources/drive/a.pdf", ["Page 2"])]
    assert ask(filled, "gimbal") == [("sources/drive/b.docx", ["Mounts"])]
    assert ask(filled, "Zerodur") == [("sources/drive/c.html", ["Glass"])]

    # In the daemon too.
    put(filled, "d.docx", documents.docx("A bolometer counts photons."))
    result = filled.post("/ingest", {})
    assert (result["files_indexed"], result["errors"]) == (1, [])
    assert ask(filled, "bolometer") == [("sources/drive/d.docx", [])]

    filled.write("/usr/local/bin/pdftotext", SPY, mode=0o755)
    try:
        put(filled, "e.pdf", documents.pdf(["text"]))
        [error] = filled.post("/ingest", {})["errors"]
    finally:
        filled.remove("/usr/local/bin/pdftotext")
    assert "Permission denied" in error["error"], json.dumps(error)
    assert ask(filled, "Interferometer ingest_roots") == ask(filled, "Interferometer")
    assert filled.foreign_owned() == ""
