# SPDX-License-Identifier: LGPL-2.1-or-later
"""Words and vectors together; and what is said where there are no vectors."""

import concurrent.futures
import re
import sqlite3

import pytest

from support.wait import wait_until

READERS = 4  # threads of the daemon for questions, where there are vectors
PROJECTS = [
    {"id": "wheels", "aliases": [], "ingest_roots": [
        {"source": "vault", "subpath": "wheels"}, {"source": "vault", "subpath": "one.md"}]},
    {"id": "house", "aliases": [], "ingest_roots": [{"source": "vault", "subpath": "house"}]},
    {"id": "void", "aliases": [], "ingest_roots": [{"source": "vault", "subpath": "void"}]},
]
NOTES = {
    "wheels/car.md": "# Car\n\nIt has four tyres.\n",
    "wheels/far/bike.md": "# Bike\n\nIt has two tyres.\n",
    "house/garage.md": "# Garage\n\nThe car sleeps here.\n",
    "one.md": "# One\n\nA car alone.\n",
    "two.md": "# Two\n\nA car beside it.\n",
}


@pytest.fixture
def filled(root, run_op, vectors):
    root.write_registry(PROJECTS)
    for name, text in NOTES.items():
        root.write(f"sources/vault/{name}", text)
    ingested = run_op("atocore-ingest", "--config", vectors.config, "--json").expect(0)
    assert ingested.json["vectors"]["pending"] == 0, ingested
    return root


@pytest.fixture
def serve(filled, start_daemon, vectors):
    """A daemon whose clock stands: a server that failed is never asked again by itself."""
    def start(now="20260407T060000Z", **options):
        return start_daemon("--config", vectors.config, now=now, **options)
    return start


def query(daemon, prompt, **fields):
    return daemon.post("/query", {"prompt": prompt, **fields}).expect(200).json


def files(answer):
    return {chunk["source_file"].removeprefix("sources/vault/") for chunk in answer["chunks"]}


def lexical(answer, code):
    """Asserts that it was by words, and why; returns the reason."""
    assert answer["retrieval"]["mode"] == "lexical"
    [reason] = answer["retrieval"]["degraded"]
    assert reason.startswith(f"{code}: "), reason
    return reason


def test_vectors_find_what_words_do_not(serve):
    answer = query(serve(), "automobile")
    assert answer["retrieval"]["mode"] == "hybrid"
    assert answer["retrieval"]["degraded"] == []
    assert answer["retrieval"]["candidates"] >= len(answer["chunks"]) > 0
    assert answer["chunks"][0]["source_file"] in (
        "sources/vault/one.md", "sources/vault/two.md", "sources/vault/house/garage.md",
        "sources/vault/wheels/car.md")


def test_what_both_find_comes_first(serve):
    best = query(serve(), "four tyres of a car")["chunks"][0]
    assert best["source_file"] == "sources/vault/wheels/car.md"
    assert best["score"] == pytest.approx(2 / 61, rel=1e-4)


def test_a_prompt_without_a_word_has_vectors_too(serve):
    answer = query(serve(), "?")
    assert answer["retrieval"]["mode"] == "hybrid"
    assert len(answer["chunks"]) == 5


def test_project_is_searched_alone(serve):
    daemon = serve()
    assert files(query(daemon, "automobile", project="wheels")) == {
        "wheels/car.md", "wheels/far/bike.md", "one.md"}
    assert files(query(daemon, "automobile", project="house")) == {"house/garage.md"}
    nothing = query(daemon, "automobile", project="void")
    assert nothing["chunks"] == [] and nothing["retrieval"]["mode"] == "hybrid"


def test_top_k_holds(serve):
    daemon = serve()
    assert len(query(daemon, "car", top_k=2)["chunks"]) == 2
    assert len(query(daemon, "car", top_k=1000)["chunks"]) == 5


def test_without_configuration_there_are_no_vectors(filled, daemon):
    answer = query(daemon, "automobile")
    assert answer["chunks"] == [] and answer["retrieval"]["mode"] == "lexical"
    assert answer["retrieval"]["degraded"] == []
    assert daemon.get("/health").json["checks"]["vectors"] == {
        "status": "ok", "detail": "None are configured"}
    assert "libcurl.so" not in maps(daemon)


def maps(daemon):
    with open(f"/proc/{daemon.process.pid}/maps", encoding="utf-8") as file:
        return file.read()


def test_libcurl_is_loaded_with_the_first_question(serve):
    daemon = serve()
    assert "libcurl.so" not in maps(daemon)
    query(daemon, "car")
    assert "libcurl.so" in maps(daemon) and "atocore-http.so" in maps(daemon)


def test_health_counts_vectors(serve):
    assert serve().get("/health").expect(200).json["checks"]["vectors"] == {
        "status": "ok", "detail": "Vectors: 5"}


def test_stale_vectors_are_dropped_and_named(serve, filled, vectors, run_op):
    daemon = serve()
    [gone] = [chunk["chunk_id"] for chunk in query(daemon, "bike")["chunks"]
              if chunk["source_file"].endswith("bike.md")]
    with sqlite3.connect(filled.database) as db:
        changed = db.execute("SELECT chunks.id FROM chunks JOIN documents ON document_id ="
                             " documents.id WHERE path = 'two.md'").fetchone()[0]
    (filled.path / "sources/vault/wheels/far/bike.md").unlink()
    run_op("atocore-ingest").expect(0)  # without the configuration: vectors stay
    with sqlite3.connect(filled.database) as db:
        db.execute("UPDATE chunks SET content = 'other' WHERE id = ?", (changed,))
    answer = daemon.post("/context/build", {"prompt": "automobile"}).expect(200).json
    stale = {entry["chunk_id"] for entry in answer["dropped"] if entry["reason"] == "stale"}
    assert stale == {gone, changed}
    assert answer["retrieval"]["mode"] == "hybrid"


def poison(data):
    data[0]["embedding"][0] = 1e300
    return data


@pytest.mark.parametrize("name, code", [
    ("html", "embedding_failed"), ("nothing", "embedding_failed"), ("die", "embedding_failed"),
    ("infinity", "embedding_failed"), ("short", "embedding_dimension")])
def test_embedding_that_fails_is_told(serve, vectors, name, code):
    embedder = vectors.embedder
    embedder.misbehave = {
        "infinity": embedder.with_vector(poison),
        "short": embedder.with_vector(lambda data: [
            {"embedding": entry["embedding"][1:]} for entry in data])}.get(
                name) or getattr(embedder, name)
    answer = query(serve(), "car")
    lexical(answer, code)
    assert len(answer["chunks"]) >= 3


def test_embedding_server_that_is_slow_is_not_waited_for(serve, vectors):
    vectors.configure(vector_timeout_ms=50)
    vectors.embedder.misbehave = vectors.embedder.hang
    reason = lexical(query(serve(), "car"), "vector_timeout")
    assert re.search(r"no answer within \d+ ms", reason)


def test_those_who_wait_for_a_server_hold_up_nobody_else(serve, vectors):
    vectors.configure(vector_timeout_ms=60000)
    daemon = serve()
    vectors.embedder.requests.clear()
    vectors.embedder.misbehave = vectors.embedder.hang
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        waiting = [pool.submit(query, daemon, "car") for _ in range(READERS)]
        try:
            wait_until(lambda: len(vectors.embedder.requests) == READERS)
            daemon.get("/projects").expect(200)
            assert not any(query.done() for query in waiting)
        finally:
            vectors.embedder.kill()
    for each in waiting:
        lexical(each.result(), "embedding_failed")


@pytest.mark.parametrize("name, code", [
    ("hang", "vector_timeout"), ("html", "vector_store_failed"),
    ("die", "vector_store_unreachable")])
def test_vector_store_that_misbehaves_is_told(serve, vectors, name, code):
    fake = vectors.only_fake()
    if name == "hang":
        vectors.configure(vector_timeout_ms=500)
    fake.misbehave = getattr(fake, name)
    assert len(query_lexical(serve(), code)["chunks"]) >= 3


def query_lexical(daemon, code):
    answer = query(daemon, "car")
    lexical(answer, code)
    return answer


def test_vector_store_that_is_gone_is_told_and_not_asked_again_at_once(serve, vectors):
    vectors.only_fake().kill()
    daemon = serve()
    first = lexical(query(daemon, "car"), "vector_store_unreachable")
    asked = len(vectors.embedder.requests)
    again = lexical(query(daemon, "car"), "vector_store_unreachable")
    assert "not asked again" in again and "not asked again" not in first
    assert len(vectors.embedder.requests) == asked

    health = daemon.get("/health").expect(200).json
    assert health["status"] == "degraded"
    assert health["checks"]["vectors"]["status"] == "degraded"
    assert "vector_store_unreachable" in health["checks"]["vectors"]["detail"]
    assert len(daemon.events("vectors_unavailable")) == 1


def test_vector_store_that_comes_back_is_used_again(serve, vectors):
    fake = vectors.only_fake()
    fake.kill()
    daemon = serve(now=None)
    lexical(query(daemon, "car"), "vector_store_unreachable")
    fake.start()
    wait_until(lambda: query(daemon, "car")["retrieval"]["mode"] == "hybrid")
    assert len(daemon.events("vectors_unavailable")) == len(daemon.events("vectors_back")) == 1
    assert daemon.get("/health").json["checks"]["vectors"]["status"] == "ok"


def test_prompt_that_is_too_long_for_the_model_is_not_held_against_the_server(serve, vectors):
    daemon = serve()
    vectors.embedder.too_long = "interminable"
    reason = lexical(query(daemon, "a car " + "interminable " * 100), "embedding_failed")
    assert "too long" in reason
    assert query(daemon, "a car")["retrieval"]["mode"] == "hybrid"
    assert daemon.events("vectors_unavailable") == []


def test_collection_that_was_made_anew_is_found(serve, vectors, run_op):
    daemon = serve()
    query(daemon, "car")
    run_op("atocore-ingest", "--config", vectors.config, "--reembed").expect(0)
    assert query(daemon, "car")["retrieval"]["mode"] == "hybrid"


@pytest.mark.parametrize("metadata, code", [
    ({"atocore_store": "0" * 32}, "vector_store_foreign"),
    ({"atocore_model": "another"}, "embedding_model_changed")])
def test_collection_that_does_not_fit_is_told(serve, vectors, metadata, code):
    vectors.chroma.describe(**metadata)
    lexical(query(serve(), "car"), code)


@pytest.mark.parametrize("dimension", [None, 0, -1, 64.0, 2**40])
def test_collection_that_does_not_know_its_dimension_is_told(serve, vectors, run_op, dimension):
    vectors.chroma.describe(atocore_dimension=dimension)
    daemon = serve()
    assert "--reembed" in lexical(query(daemon, "car"), "embedding_dimension")
    check = daemon.get("/health").expect(200).json["checks"]["vectors"]
    assert check["status"] == "degraded" and "embedding_dimension" in check["detail"]
    run_op("atocore-ingest", "--config", vectors.config, "--reembed").expect(0)
    assert query(serve(), "car")["retrieval"]["mode"] == "hybrid"


def test_no_collection_yet_is_told(serve, vectors):
    vectors.chroma.drop()
    assert "run atocore-ingest" in lexical(query(serve(), "car"), "vector_store_empty")


def test_ingest_over_http_makes_vectors_too(serve, filled):
    daemon = serve()
    filled.write("sources/vault/new.md", "# New\n\nA lorry.\n")
    answer = daemon.post("/ingest").expect(200).json
    assert answer["vectors"] == {"embedded": 1, "from_cache": 0, "removed": 0, "pending": 0,
                                 "problem": None}
    assert "new.md" in files(query(daemon, "automobile"))
