# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a context pack promises over HTTP, whatever the order in which chunks are found."""

import re

import pytest

from support.api import problem

PROMPT = "isopropanol bottle"
# One section that makes several chunks; each paragraph has the word, and a number of its own.
LONG = "# Isopropanol\n\n" + "\n\n".join(
    f"Bottle {number} of isopropanol stands in the cabinet."
    + f" It is for bench {number}." * 20 for number in range(12)) + "\n"
NOTE = ("# Order\n\nIsopropanol is ordered on Mondays by whoever finds that the last bottle has "
        "been opened, and it comes on the Thursday after; nobody orders more than five bottles at "
        "once, as the cabinet is full then and the rest would have to stand in the corridor.\n")


@pytest.fixture
def bottles(filled, daemon):
    filled.write("sources/vault/projects/p05/long.md", LONG)
    filled.write("sources/vault/projects/p05/order.md", NOTE)
    filled.write("sources/vault/projects/p05/copy.md", NOTE.replace("the corridor", "a hall"))
    daemon.post("/ingest").expect(200)
    return filled


def ask(daemon, **fields):
    return daemon.post("/context/build", {"prompt": PROMPT, **fields}).expect(200).json


def check(root, daemon, pack, **fields):
    """What holds for every pack."""
    assert pack["total_chars"] == len(pack["formatted_context"]) <= pack["budget"]
    assert pack["budget_remaining"] == pack["budget"] - pack["total_chars"]
    assert pack["chunks_used"] == len(pack["chunks"])
    told = [chunk_id for chunk in pack["chunks"] for chunk_id in chunk["chunk_ids"]]
    told += [dropped["chunk_id"] for dropped in pack["dropped"]]
    depth = next(depth for depth in (10, 40, 160) if len(told) <= depth)
    found = daemon.post("/query", {"prompt": PROMPT, "top_k": depth, **fields}).expect(200).json
    assert sorted(told) == sorted(chunk["chunk_id"] for chunk in found["chunks"])
    ranks = {chunk["chunk_id"]: rank for rank, chunk in enumerate(found["chunks"])}
    best = [chunk["chunk_id"] for chunk in pack["chunks"]]
    assert sorted(best, key=ranks.get) == best
    for chunk in pack["chunks"]:
        assert chunk["chunk_id"] == min(chunk["chunk_ids"], key=ranks.get)
        assert chunk["char_count"] == len(chunk["content"])
        lines = (root.path / chunk["source_file"]).read_text().split("\n")
        source = "\n".join(lines[chunk["start_line"] - 1:chunk["end_line"]])
        assert source.startswith(chunk["content"]) if chunk["cut"] else source == chunk["content"]
        citation = (" › ".join([chunk["source_file"], *chunk["heading_path"]])
                    + f" (lines {chunk['start_line']}–{chunk['end_line']})")
        assert f"\n### {citation}\n\n{chunk['content']}\n" in pack["formatted_context"]
    cuts = [chunk["cut"] for chunk in pack["chunks"]]
    assert pack["formatted_context"].count("\n[…]\n") == cuts.count(True) <= 1


def test_neighbours_are_cited_as_one_range(bottles, daemon):
    pack = ask(daemon, budget=100000)
    check(bottles, daemon, pack)
    [long] = [chunk for chunk in pack["chunks"] if chunk["source_file"].endswith("long.md")]
    assert len(long["chunk_ids"]) > 2
    assert (long["start_line"], long["end_line"]) == (1, LONG.count("\n"))
    assert long["content"] + "\n" == LONG


def test_what_is_nearly_the_same_appears_once(bottles, daemon):
    pack = ask(daemon, budget=100000)
    assert [dropped["reason"] for dropped in pack["dropped"]] == ["duplicate"]
    assert len(re.findall("is ordered on Mondays", pack["formatted_context"])) == 1


def test_a_long_document_leaves_room_for_the_others(bottles, daemon):
    pack = ask(daemon, budget=4000)
    check(bottles, daemon, pack)
    files = {chunk["source_file"].rpartition("/")[2] for chunk in pack["chunks"]}
    assert {"long.md", "flat.md", "polisher.md"} < files
    assert {dropped["reason"] for dropped in pack["dropped"]} == {"budget", "duplicate"}


def test_duplicates_and_a_long_document_leave_no_room_empty(filled, daemon):
    for number in range(20):
        filled.write(f"sources/vault/copies/{number}.md", "# Drift\n\nThe gyroscope drifts.\n")
    filled.write("sources/vault/long.md", "".join(
        f"# Part {name}\n\nA gyroscope and its drift, {name}.\n\n" for name in "abcdefghijklmnopq"))
    for name in ("Ann", "Ben", "Cay"):
        filled.write(f"sources/vault/by/{name}.md",
                     f"# {name}\n\nWhat {name} says of drift, at the "
                     "end of a note on many other things that nobody looks for here.\n")
    daemon.post("/ingest").expect(200)

    question = {"prompt": "gyroscope drift", "budget": 3000}
    pack = daemon.post("/context/build", question).expect(200).json
    files = {chunk["source_file"].rpartition("/")[2] for chunk in pack["chunks"]}
    assert {"long.md", "Ann.md", "Ben.md", "Cay.md"} < files
    assert [dropped["reason"] for dropped in pack["dropped"]] == ["duplicate"] * 19
    # Who says how many has no more of them.
    pack = daemon.post("/context/build", {**question, "top_k": 10}).expect(200).json
    assert sum(len(chunk["chunk_ids"]) for chunk in pack["chunks"]) + len(pack["dropped"]) == 10


@pytest.mark.parametrize("budget", [1, 60, 200, 400, 700, 1000, 1500, 2000, 3000, 8000, 1000000])
def test_every_budget_is_kept_and_nothing_is_lost(bottles, daemon, budget):
    for fields in ({}, {"project": "p05"}, {"top_k": 3}):
        pack = ask(daemon, budget=budget, **fields)
        check(bottles, daemon, pack, **fields)
        again = ask(daemon, budget=budget, **fields)
        assert {**again, "duration_ms": 0} == {**pack, "duration_ms": 0}


def test_an_excerpt_says_so(bottles, daemon):
    pack = ask(daemon, budget=3000, project="p05")
    check(bottles, daemon, pack, project="p05")
    [cut] = [chunk for chunk in pack["chunks"] if chunk["cut"]]
    assert cut["source_file"].endswith("long.md")
    assert cut["content"].endswith(".")
    assert pack["budget_remaining"] < 300


@pytest.mark.parametrize("budget", [0, -1, -2**63, 1000001, 2**63 - 1])
def test_a_budget_out_of_range_is_refused(daemon, budget):
    document = problem(daemon.post("/context/build", {"prompt": "x", "budget": budget}), 422,
                       "field_range")
    assert document["field"] == "budget"


@pytest.mark.parametrize("path", ["/query", "/context/build"])
def test_why_is_told_to_who_asks(bottles, daemon, path):
    asked = {"prompt": PROMPT, "explain": True}
    chunks = daemon.post(path, asked).json["chunks"]
    assert chunks
    for chunk in chunks:
        explain = chunk["explain"]
        terms = explain["terms"]
        assert terms and {term["from"] for term in terms} <= {"prompt", "feedback"}
        assert "prompt" in {term["from"] for term in terms}
        scores = [term["score"] for term in terms]
        assert scores == sorted(scores, reverse=True) and scores[-1] > 0
        assert sum(scores) + explain["proximity"] + explain["lead"] == pytest.approx(
            chunk["score"], rel=1e-4)
        assert all(0 <= term["frequency"] <= term["span_frequency"] and term["span_frequency"] > 0
                   and term["weight"] > 0 for term in terms)
    plain = daemon.post(path, {"prompt": PROMPT}).json["chunks"]
    assert [{**chunk, "explain": None} for chunk in chunks] == [
        {**chunk, "explain": None} for chunk in plain]
    problem(daemon.post(path, {**asked, "explain": "yes"}), 400, "field_type")
