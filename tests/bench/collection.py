# SPDX-License-Identifier: LGPL-2.1-or-later
"""Test collections: documents, queries, and which documents are relevant to which query."""

import collections
import dataclasses
import json
import re

from measure import Broken


@dataclasses.dataclass
class Document:
    id: str
    title: str
    text: str


@dataclasses.dataclass
class Query:
    id: str
    text: str
    relevant: set  # ids of documents; never empty


@dataclasses.dataclass
class Collection:
    name: str
    documents: list
    queries: list  # those that something is relevant to


def read_collection(directory):
    """In the layout of BEIR, or in that of SMART as the classic collections have it: README.md."""
    if (directory / "corpus.jsonl").exists():
        return _read_beir(directory)
    documents = _the_file(directory, "documents (*.all*)", r"\.all(\.|$)")
    queries = _the_file(directory, "queries (*.qry, query.text)", r"\.qry$|^query\.text$")
    judgments = _the_file(directory, "judgments (*qrel, *qrels, *qrels.text, *.rel)",
                          r"qrels?(\.text)?$|\.rel$")
    return _read_smart(directory.name, documents, queries, judgments)


def _the_file(directory, what, pattern):
    found = [path for path in sorted(directory.iterdir()) if re.search(pattern, path.name.lower())]
    if len(found) != 1:
        raise Broken(f"{directory} has neither corpus.jsonl nor one file of {what}")
    return found[0]


def _read_beir(directory):
    relevant = collections.defaultdict(set)
    with open(directory / "qrels" / "test.tsv", encoding="utf-8") as judgments:
        next(judgments)  # the names of the columns
        for line in judgments:
            query, document, score = line.split("\t")
            if int(score) > 0:
                relevant[query].add(document)
    documents = [Document(line["_id"], line.get("title", ""), line["text"])
                 for line in _json_lines(directory / "corpus.jsonl")]
    queries = [Query(line["_id"], line["text"], relevant[line["_id"]])
               for line in _json_lines(directory / "queries.jsonl") if line["_id"] in relevant]
    return Collection(directory.name, documents, queries)


def _json_lines(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _read_smart(name, documents, queries, judgments):
    relevant = _smart_judgments(judgments)
    # The judgments count the queries as they come, whatever their .I says.
    queries = [Query(str(number), record.get("W", "").strip(), relevant[number])
               for number, record in enumerate(_smart_records(queries), 1) if relevant[number]]
    return Collection(
        name, [Document(record["I"], record.get("T", "").strip(), record.get("W", "").strip())
               for record in _smart_records(documents)], queries)


def _smart_records(path):
    """".I 1", then fields that each begin with a line of a period and a letter."""
    records, field = [], None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        number = re.fullmatch(r"\.I\s+(\d+)\s*", line)
        if number:
            records.append({"I": str(int(number[1]))})
            field = None
        elif re.fullmatch(r"\.[A-Z]\s*", line):
            field = line[1]
        elif field:
            records[-1][field] = records[-1].get(field, "") + line + "\n"
    return records


def _smart_judgments(path):
    """"query document code", code 1 and more relevant; or four columns, as TREC has them with a
    second one that means nothing (0), or with two at the end that mean nothing: all relevant."""
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    trec = all(len(row) == 4 and row[1] in ("0", "Q0") for row in rows)
    relevant = collections.defaultdict(set)
    for row in rows:
        document, code = (row[2], row[3]) if trec else (row[1], row[2] if len(row) == 3 else "1")
        if int(code) > 0:
            relevant[int(row[0])].add(str(int(document)))
    return relevant
