# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-ingest on HTML, PDF, DOCX and ODT, with the real converters."""

import os
import sqlite3

import pytest

from support import documents
from support.run import run

reason = documents.missing_converter()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"converters: {reason}")

OLD = 1700000000
HTML = """<!DOCTYPE html><html><head><title>On *flats* &amp; fringes</title></head><body>
<div><h1>Cleaning</h1><p>Use isopropanol.</p></div>
<h2>Fringes</h2><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
<img src="data:image/png;base64,QUFBQUFBQUE="><script>var hidden</script>
<iframe src="/etc/passwd"></iframe></body></html>"""


def put(root, name, data):
    """As old as this: stat(2) proves that it did not change."""
    os.utime(root.write(f"sources/drive/{name}", data), (OLD, OLD))


def chunks(root):
    with sqlite3.connect(f"file:{root.database}?mode=ro", uri=True) as connection:
        found = connection.execute(
            "SELECT path, d.title, heading_path, start_line, end_line, content FROM documents d"
            " JOIN chunks ON document_id = d.id ORDER BY path, ordinal").fetchall()
    connection.close()
    return found


def ingest(run_op, **options):
    return run_op("atocore-ingest", "--json", **options).expect(0).json


def test_all_kinds_are_read_with_title_headings_and_pages(root, run_op):
    put(root, "a.html", HTML)
    put(root, "b.PDF", documents.pdf(["First page"], [], ["Third page", "second line"]))
    put(root, "c.docx", documents.docx((1, "Cleaning"), "Use isopropanol.", title="On flats"))
    put(root, "d.odt", documents.odt((1, "Cleaning"), "Use isopropanol.", (2, "More"), "Text."))
    result = ingest(run_op)
    assert result["errors"] == []
    assert result["files_indexed"] == 4
    found = chunks(root)
    assert [(*row[:3], row[5]) for row in found] == [
        ("a.html", "On *flats* & fringes", '["Cleaning"]', "# Cleaning\n\nUse isopropanol."),
        ("a.html", "On *flats* & fringes", '["Cleaning","Fringes"]',
         "## Fringes\n\n| a   | b   |\n|-----|-----|\n| 1   | 2   |\n\n![](data:)"),
        ("b.PDF", "b", '["Page 1"]', "First page"),
        ("b.PDF", "b", '["Page 3"]', "Third page\nsecond line"),
        ("c.docx", "On flats", '["Cleaning"]', "# Cleaning\n\nUse isopropanol."),
        ("d.odt", "Cleaning", '["Cleaning"]', "# Cleaning\n\nUse isopropanol."),
        ("d.odt", "Cleaning", '["Cleaning","More"]', "## More\n\nText."),
    ]
    # Lines are those of the text that the converter writes.
    text = run(["pdftotext", "-enc", "UTF-8", "-eol", "unix", "-", "-"],
               input=(root.drive / "b.PDF").read_text()).expect(0).stdout
    start, end = next(row[3:5] for row in found if row[2] == '["Page 3"]')
    assert text.split("\n")[start - 1:end] == ["\f\fThird page", "second line"]
    again = ingest(run_op)
    assert (again["files_unchanged"], again["files_indexed"]) == (4, 0)


def test_each_that_cannot_be_read_is_one_error_and_the_rest_goes_on(root, run_op):
    whole = documents.pdf(["text"])
    put(root, "broken.docx", documents.docx("text")[:300])
    put(root, "empty.pdf", b"")
    put(root, "encrypted.pdf", documents.pdf(["text"], encrypted=True))
    put(root, "lie.docx", whole)
    put(root, "lie.html", b"\x89PNG\r\n\x1a\n\0\0")
    put(root, "lie.pdf", "# Markdown\n")
    put(root, "pictures.pdf", documents.pdf([], []))
    put(root, "truncated.pdf", whole[:200])
    put(root, "whole.pdf", whole)
    expected = {
        "broken.docx": "cannot be converted: pandoc ended with status 63: couldn't unpack docx "
                       "container: ",
        "empty.pdf": "is empty",
        "encrypted.pdf": "is encrypted; keep a copy without a password",
        "lie.docx": "cannot be converted: pandoc ended with status 63: couldn't unpack docx",
        "lie.html": "is binary: it holds a NUL byte",
        "lie.pdf": "cannot be converted: pdftotext ended with status 1: Syntax Error: ",
        "pictures.pdf": "holds no text; if its pages are pictures, make them searchable (ocrmypdf)",
        "truncated.pdf": "cannot be converted: pdftotext ended with status 1: Syntax Error: ",
    }
    for _ in range(2):
        result = ingest(run_op)
        errors = {error["path"].removeprefix("sources/drive/"): error["error"]
                  for error in result["errors"]}
        assert errors.keys() == expected.keys()
        for name, error in errors.items():
            assert error.startswith(expected[name]), name
    assert [row[0] for row in chunks(root)] == ["whole.pdf"]


def test_what_failed_is_not_converted_again(root, run_op):
    put(root, "lie.pdf", "# Markdown\n")
    errors = ingest(run_op)["errors"]
    cache = root.path / "data/cache/unconverted.json"
    before = cache.stat()
    assert ingest(run_op)["errors"] == errors
    assert cache.stat().st_ino == before.st_ino


def test_without_converters_each_kind_is_one_error_and_markdown_goes_on(root, run_op, tmp_path):
    put(root, "a.pdf", documents.pdf(["text"]))
    put(root, "n.md", "# N\n\ntext\n")
    ingest(run_op)
    put(root, "b.pdf", documents.pdf(["text"]))
    put(root, "c.docx", documents.docx("text"))
    put(root, "d.docx", documents.docx("text"))
    os.utime(root.drive / "a.pdf", (OLD + 9, OLD + 9))
    result = run_op("atocore-ingest", "--json", env={"PATH": str(tmp_path)}).expect(0)
    missing = "{} is not installed; install the package {} ({} files that were not read: 2; " \
              "what was known of them is kept)"
    assert [tuple(error.values()) for error in result.json["errors"]] == [
        ("sources/drive/a.pdf", missing.format("pdftotext", "poppler-utils", "PDF")),
        ("sources/drive/c.docx", missing.format("pandoc", "pandoc", "DOCX")),
    ]
    assert result.stderr.count("[ingest_converter_missing]") == 2
    assert [row[0] for row in chunks(root)] == ["a.pdf", "n.md"]
