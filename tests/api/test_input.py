# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input is answered well: what is wrong is named, nothing is assumed in its place."""

import json

import pytest

from support.api import problem

BODIES = ["/query", "/context/build", "/interactions", "/ingest", "/admin/backup", "/admin/prune",
          "/projects/p05/refresh"]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", [
    "{", '{"prompt":', '{"prompt":"x"', "{'prompt':'x'}", '{"prompt":"x",}', '{"prompt":"x"} x',
    '{"prompt":"x"}{}', '{"prompt":NaN}', b'{"prompt":"\xff"}', b'{"prompt":"\xed\xa0\x80"}',
    b'{"prompt":"x"}\x00', b'\x00{}', '{"prompt":"a\nb"}', b"\xef\xbb\xbf{}", "//\n{}",
    '{"prompt":"a","prompt":"b"}', "[" * 100_000, '{"a":' * 40 + "1" + "}" * 40,
], ids=lambda body: repr(body)[:24])
def test_malformed_json_is_400(daemon, path, body):
    problem(daemon.post(path, body), 400, "json_malformed")


def test_field_that_is_given_twice_is_named(daemon):
    answer = daemon.post("/query", '{"prompt":"a",\n"prompt":"b"}')
    document = problem(answer, 400, "json_malformed")
    assert 'line 2: the field "prompt" is given twice' in document["detail"]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", ["[]", "null", "1", '"text"', "true", "[{}]"])
def test_json_that_is_no_object_is_400(daemon, path, body):
    problem(daemon.post(path, body), 400, "json_no_object")


@pytest.mark.parametrize("path", ["/query", "/context/build", "/interactions"])
def test_missing_body_is_400(daemon, path):
    problem(daemon.post(path), 400, "body_missing")
    problem(daemon.post(path, ""), 400, "body_missing")


WRONG = [
    ("/query", "prompt", "field_missing", [{}, {"prompt": None}, {"promt": "x"}]),
    ("/query", "prompt", "field_type",
     [{"prompt": 1}, {"prompt": True}, {"prompt": ["x"]}, {"prompt": {}}]),
    ("/query", "top_k", "field_type",
     [{"prompt": "x", "top_k": value} for value in ("10", 3.0, True, [], {})]),
    ("/query", "project", "field_type", [{"prompt": "x", "project": 5}]),
    ("/context/build", "budget", "field_type",
     [{"prompt": "x", "budget": value} for value in ("3000", 3000.5, False)]),
    ("/context/build", "prompt", "field_missing", [{"budget": 100}]),
    ("/interactions", "prompt", "field_missing", [{"response": "x"}]),
    ("/interactions", "response", "field_type", [{"prompt": "x", "response": 1}]),
    ("/interactions", "session_id", "field_type", [{"prompt": "x", "session_id": 7}]),
    ("/interactions", "chunks_used", "field_type",
     [{"prompt": "x", "chunks_used": value} for value in ("a", {}, 1)]),
    ("/interactions", "context_pack", "field_type", [{"prompt": "x", "context_pack": []}]),
    ("/ingest", "project", "field_type", [{"project": 1}, {"project": ["p05"]}]),
    ("/admin/backup", "include_chroma", "field_type",
     [{"include_chroma": value} for value in (1, 0, "true", "", [])]),
    ("/admin/backup", "archive", "field_type", [{"archive": "zstd"}]),
    ("/admin/prune", "dry_run", "field_type", [{"dry_run": "false"}, {"dry_run": 0}]),
]


@pytest.mark.parametrize(
    "path, field, code, body",
    [(path, field, code, body) for path, field, code, bodies in WRONG for body in bodies],
    ids=str)
def test_missing_and_wrong_fields_are_400_and_named(daemon, path, field, code, body):
    document = problem(daemon.post(path, body), 400, code)
    assert document["field"] == field
    assert field in document["detail"]


@pytest.mark.parametrize("path, field, values, words", [
    ("/query", "top_k", (0, 1001, -1, 2**53), "from 1 to 1000"),
    ("/context/build", "top_k", (0, 1001), "from 1 to 1000"),
    ("/context/build", "budget", (0, -5, 10**9), "from 1 to 1000000"),
    ("/query", "prompt", ("", "a\0b"), "prompt"),
    ("/query", "project", ("", "p\0"), "project"),
    ("/interactions", "response", ("\0",), "response"),
    ("/ingest", "project", ("",), "project"),
])
def test_values_out_of_range_are_422_and_named(daemon, path, field, values, words):
    for value in values:
        body = {} if path == "/ingest" else {"prompt": "x"}
        document = problem(daemon.post(path, body | {field: value}), 422, "field_range")
        assert document["field"] == field
        assert words in document["detail"]


@pytest.mark.parametrize("value", [2**63, 2**64, -2**63 - 1, 10**30], ids=str)
def test_number_that_no_64_bits_hold_is_refused(daemon, value):
    """As out of range, or as malformed: that is for the JSON parser to say."""
    assert daemon.post("/query", {"prompt": "x", "top_k": value}).status in (400, 422)


def test_dry_run_is_not_given_up_for_a_value_that_is_none(filled, daemon):
    """null counts as absent, and absent is the careful choice."""
    daemon.post("/admin/backup").expect(201)
    assert daemon.post("/admin/prune", {"dry_run": None}).expect(200).json["dry_run"] is True


def test_unknown_fields_are_ignored(filled, daemon):
    answer = daemon.post("/query", {"prompt": "isopropanol", "colour": {"deep": [1, 2]}})
    assert answer.expect(200).json["chunks"]


@pytest.mark.parametrize("stamp", [
    "..%2F..%2Fetc", "..%2f..%2f..%2f..%2fetc%2fpasswd", "20260231T000000Z", "20260407T060000z",
    "20260407T060060Z", "20260407T0600Z", "2026-04-07T06:00:00Z", "latest", "%20", ".", "..",
    ".partial-20260407T060000Z-x", "20260407T060000Z%2F", "20260407T060000Z%0a", "x" * 3000,
    "caf%C3%A9",
])
def test_what_is_no_stamp_is_400(daemon, stamp):
    for path in (f"/admin/backup/{stamp}", f"/admin/backup/{stamp}/validate"):
        problem(daemon.get(path), 400, "stamp_invalid")


def test_stamp_of_no_snapshot_is_404(daemon):
    for path in ("/admin/backup/20260407T060000Z", "/admin/backup/20260407T060000Z/validate"):
        problem(daemon.get(path), 404, "snapshot_not_found")


def test_dots_and_slashes_that_are_not_escaped_are_no_route(daemon):
    for path in ("/admin/backup/../../etc", "/admin/backup/../../etc/validate",
                 "/admin/backup/20260407T060000Z/../x/validate"):
        problem(daemon.get(path), 404, "path_unknown")


@pytest.mark.parametrize("path", ["/query", "/context/build", "/interactions"])
@pytest.mark.parametrize("name", ["p07", "", "P05 ", "p05-interferometer/", "*", "%", "é", "p05\n"])
def test_unknown_project_is_404_with_the_known_ones(filled, daemon, path, name):
    answer = daemon.post(path, {"prompt": "isopropanol", "project": name})
    if name == "":
        problem(answer, 422, "field_range")
        return
    document = problem(answer, 404, "project_unknown")
    assert document["known"] == ["p05-interferometer", "p06-polisher"]
    assert "p06-polisher" in document["detail"]


def test_unknown_project_of_a_path_or_a_filter_is_404_too(filled, daemon):
    for answer in (daemon.post("/projects/p07/refresh"), daemon.post("/projects/%2e%2e/refresh"),
                   daemon.get("/interactions?project=p07"),
                   daemon.post("/ingest", {"project": "x"})):
        assert problem(answer, 404, "project_unknown")["known"]


@pytest.mark.parametrize("query, status, field", [
    ("limit=0", 422, "limit"), ("limit=501", 422, "limit"), ("limit=", 422, "limit"),
    ("limit=99999999999999999999999", 422, "limit"), ("limit=ten", 400, "limit"),
    ("limit=-1", 400, "limit"), ("limit=1.5", 400, "limit"), ("limit=%2b1", 400, "limit"),
    ("limit=1&limit=2", 400, "limit"), ("since=yesterday", 400, "since"),
    ("since=2026-02-30T00:00:00Z", 400, "since"), ("before=0", 422, "before"),
    ("before=x", 400, "before"), ("session_id=", 422, "session_id"),
    ("client=a&client=a", 400, "client"),
])
def test_bad_parameters_are_named(filled, daemon, query, status, field):
    document = problem(daemon.get(f"/interactions?{query}"), status,
                       "field_range" if status == 422 else "field_type")
    assert document["field"] == field


def test_unknown_parameters_are_ignored(filled, daemon):
    daemon.get("/interactions?colour=red&x").expect(200)


@pytest.mark.parametrize("id_, status, code", [
    ("1", 404, "interaction_unknown"), ("0", 404, "interaction_unknown"),
    ("99999999999999999999999", 404, "interaction_unknown"),
    ("x", 400, "interaction_id_invalid"), ("-1", 400, "interaction_id_invalid"),
    ("1%2F", 400, "interaction_id_invalid"), ("", 400, "interaction_id_invalid"),
])
def test_unknown_interactions(filled, daemon, id_, status, code):
    problem(daemon.get(f"/interactions/{id_}"), status, code)


@pytest.mark.parametrize("prompt", [
    '"', "*", "NEAR", "a NEAR/3 b", "-x", "x:y", "(", ")", "AND", "OR NOT", "^a", "+", "{}", "'",
    ";", "\\", "%", "\u202e", "🙂", "\r\n\t", "a" * 100_000, "isopropanol " * 5000,
], ids=lambda prompt: repr(prompt)[:16])
def test_no_character_of_a_prompt_is_syntax(filled, daemon, prompt):
    for path in ("/query", "/context/build"):
        document = daemon.post(path, {"prompt": prompt}).expect(200).json
        assert isinstance(document["chunks"], list)


def test_problems_are_json_whatever_was_sent(daemon):
    """What a request had in it comes back quoted, never raw."""
    name = 'a"b\\c\u2028<script>'
    document = problem(daemon.get("/admin/backup/" + "%22%5C%3Cscript%3E%0a"), 400, "stamp_invalid")
    assert json.loads(json.dumps(document)) == document
    document = problem(daemon.post("/query", {"prompt": "x", name: 1, "top_k": name}), 400,
                       "field_type")
    assert document["field"] == "top_k"
