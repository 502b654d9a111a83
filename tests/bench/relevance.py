# SPDX-License-Identifier: LGPL-2.1-or-later
"""How well what is found answers: judged queries, against a plain FTS5 table in the same run."""

import math
import re
import sqlite3
import statistics

import measure
from collection import read_collection
from measure import Broken, Skip
from serve import serving
from support import build
from support.root import Root

CRANFIELD = build.DATA / "cranfield"
DEPTH = 1000  # results at most: chunks of ours, documents of the peer
DIRECTORY_FILES = 1000

TABLE = "CREATE VIRTUAL TABLE documents USING fts5 (text, tokenize = 'porter unicode61')"


def ndcg(ranked, relevant, depth=10):
    """Gain 1 or 0, discounted by log2 (rank + 1), over that of the best order there can be."""
    gained = sum(1 / math.log2(rank + 1) for rank, document in enumerate(ranked[:depth], 1)
                 if document in relevant)
    return gained / sum(1 / math.log2(rank + 1)
                        for rank in range(1, min(depth, len(relevant)) + 1))


def average_precision(ranked, relevant):
    found = [rank for rank, document in enumerate(ranked, 1) if document in relevant]
    return sum(count / rank for count, rank in enumerate(found, 1)) / len(relevant)


def recall(ranked, relevant, depth=100):
    return len(relevant.intersection(ranked[:depth])) / len(relevant)


METRICS = {"nDCG@10": ndcg, "MAP": average_precision, "recall@100": recall}
TARGETS = {"nDCG@10": 0.41, "MAP": 0.32}  # of Cranfield
# What the plain table reaches there, by whoever computes it: the proof of the metrics above.
PLAIN = {"nDCG@10": 0.3772, "MAP": 0.3009, "recall@100": 0.7284}


class PlainTable:
    """One FTS5 table, title and text in one column, any of the words of the query, bm25."""

    def __init__(self, documents):
        self.ids = [document.id for document in documents]
        self.db = sqlite3.connect(":memory:")
        self.db.execute(TABLE)
        self.db.executemany("INSERT INTO documents (rowid, text) VALUES (?, ?)",
                            ((row, f"{document.title}\n{document.text}")
                             for row, document in enumerate(documents)))

    def rank(self, text):
        words = dict.fromkeys(re.findall(r"\w+", text.lower()))
        rows = self.db.execute(
            "SELECT rowid FROM documents WHERE documents MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), DEPTH))
        return [self.ids[row] for row, in rows]


def write_documents(root, documents):
    """A Markdown file each; its name says nothing that a query could ask for. {path: id}."""
    ids = {}
    for number, document in enumerate(documents):
        path = f"sources/vault/d{number // DIRECTORY_FILES}/d{number:07}.md"
        title = " ".join(document.title.split())
        root.write(path, (f"# {title}\n\n" if title else "\n") + document.text + "\n")
        ids[path] = document.id
    return ids


def ask(daemon, ids, text):
    """Documents, each where the best of its chunks is."""
    answer = daemon.post("/query", {"prompt": " ".join(text.split()), "top_k": DEPTH}).expect(200)
    return list(dict.fromkeys(ids[chunk["source_file"]] for chunk in answer.json["chunks"]))


def score(queries, rank):
    """{metric: [value of each query]}"""
    scores = {name: [] for name in METRICS}
    for query in queries:
        ranked = rank(query.text)
        for name, metric in METRICS.items():
            scores[name].append(metric(ranked, query.relevant))
    return scores


def show(report, theirs, own):
    """The better for each metric, and for how many queries either is."""
    report.say(f"{'':12} {'plain FTS5':>10} {'AtoCore':>10}   queries better, worse")
    for name in METRICS:
        pairs = list(zip(own[name], theirs[name]))
        report.say(f"{name:12} {statistics.fmean(theirs[name]):10.4f} "
                   f"{statistics.fmean(own[name]):10.4f}   "
                   f"{sum(o > p for o, p in pairs)}, {sum(o < p for o, p in pairs)}")


def measure_relevance(report, scratch, inputs):
    directory = inputs.collection.resolve() if inputs.collection else CRANFIELD
    if not inputs.collection and not directory.is_dir():
        raise Skip(f"no test data at {directory}")
    collection = read_collection(directory)
    if not collection.queries:
        raise Broken(f"{directory}: nothing is relevant to any query")
    root = Root(scratch / "root")
    ids = write_documents(root, collection.documents)
    ingest = measure.operation("atocore-ingest", root, "--quiet")
    report.say(f"{collection.name}: {len(collection.documents)} documents, ingested in "
               f"{ingest.seconds:.1f} s; {len(collection.queries)} queries")
    theirs = score(collection.queries, PlainTable(collection.documents).rank)
    plain = {name: round(statistics.fmean(values), 4) for name, values in theirs.items()}
    if directory == CRANFIELD and plain != PLAIN:
        raise Broken(f"the plain table reaches {plain}, not {PLAIN}")
    with serving(root, scratch) as daemon:
        own = score(collection.queries, lambda text: ask(daemon, ids, text))
    show(report, theirs, own)
    for name, values in own.items():
        target = TARGETS.get(name) if directory == CRANFIELD else None
        report.value(f"{collection.name}, {name} (plain FTS5 {plain[name]:.4f})",
                     statistics.fmean(values), "", at_least=target, digits=4)
