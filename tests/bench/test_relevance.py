# SPDX-License-Identifier: LGPL-2.1-or-later
"""Judged collections are read as their makers meant them; the metrics are those of the books."""

import math

import pytest

import relevance
from collection import read_collection
from measure import Broken

DOCUMENTS = (".I 1\n.T\nfirst\ntitle\n.A\nsomebody\n.W\nfirst text\n"
             ".I 2\n.T\n.A\n.W\nsecond\n.I not a record\n")
QUERIES = ".I 007\n.W\nasked first\n.I 009\n.W\nasked\nsecond\n"


def smart(path, judgments, documents="x.all.2", queries="x.qry", name="xqrel"):
    (path / documents).write_text(DOCUMENTS)
    (path / queries).write_text(QUERIES)
    (path / name).write_text(judgments)
    return read_collection(path)


def relevant(collection):
    return [(query.text, query.relevant) for query in collection.queries]


def test_smart_records_and_queries_in_the_order_of_their_file(tmp_path):
    collection = smart(tmp_path, "1 2 1 \n1 1 -1\n2 1 4\n2 2 0\n")
    assert [(d.id, d.title, d.text) for d in collection.documents] == [
        ("1", "first\ntitle", "first text"), ("2", "", "second\n.I not a record")]
    assert relevant(collection) == [("asked first", {"2"}), ("asked\nsecond", {"1"})]


@pytest.mark.parametrize("judgments", [
    "1 0 2 1\n1 0 1 0\n",           # TREC
    "  1     2\t0\t0.000000\n",     # CISI: what is listed is relevant
    "01 0002  0 0\n",               # CACM
])
def test_judgments_of_four_columns(tmp_path, judgments):
    assert relevant(smart(tmp_path, judgments, "X.ALL", "X.QRY", "X.REL")) == [
        ("asked first", {"2"})]


def test_beir(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a/1", "title": "T", "text": "x"}\n'
                                           '{"_id": "b", "text": "y"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "asked"}\n'
                                            '{"_id": "train", "text": "not asked"}\n')
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq\ta/1\t2\nq\tb\t0\n")
    collection = read_collection(tmp_path)
    assert [(d.id, d.title) for d in collection.documents] == [("a/1", "T"), ("b", "")]
    assert relevant(collection) == [("asked", {"a/1"})]


def test_what_is_no_collection_is_told(tmp_path):
    with pytest.raises(Broken, match="one file of documents"):
        read_collection(tmp_path)


def test_metrics():
    ranked = ["a", "x", "b"] + ["y"] * 7 + ["c"]
    found = {"a", "b", "c", "never found"}
    best = sum(1 / math.log2(rank + 1) for rank in (1, 2, 3, 4))
    assert relevance.ndcg(ranked, found) == pytest.approx((1 + 1 / 2) / best)
    assert relevance.average_precision(ranked, found) == pytest.approx((1 + 2 / 3 + 3 / 11) / 4)
    assert relevance.recall(ranked, found) == 3 / 4
    assert relevance.recall(ranked, found, depth=10) == 2 / 4
