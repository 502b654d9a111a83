# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-ingest keeps the vector store in step with the database, and goes on without it."""

import json
import signal
import sqlite3

import pytest

from support import build
from support.run import run
from support.wait import wait_until

NOTES = {
    "garage.md": "# Garage\n\nThe car is in the garage.\n",
    "kitchen.md": "# Kitchen\n\nThe kettle is on the stove.\n",
    "deep/er/attic.md": "# Attic\n\nOld books, and a trunk.\n",
}


@pytest.fixture
def vault(root):
    for name, text in NOTES.items():
        root.write(f"sources/vault/{name}", text)
    return root


@pytest.fixture
def ingest(run_op, vectors):
    def call(*arguments, **options):
        return run_op("atocore-ingest", "--config", vectors.config, "--json", *arguments,
                      **options)
    return call


def chunks(root):
    with sqlite3.connect(root.database) as db:
        return {row[0] for row in db.execute("SELECT id FROM chunks")}


def counts(result):
    found = result.expect(0).json["vectors"]
    return found["embedded"], found["from_cache"], found["removed"], found["pending"]


def test_without_configuration_nothing_is_loaded_or_asked(vault, run_op):
    linked = run(["ldd", build.program("atocore-ingest")]).expect(0).stdout
    assert "libcurl" not in linked
    assert run_op("atocore-ingest", "--json").expect(0).json["vectors"] is None
    run_op("atocore-ingest", "--reembed").expect(78)


def test_each_chunk_gets_a_vector_and_a_second_run_does_nothing(vault, ingest, vectors):
    assert counts(ingest()) == (3, 0, 0, 0)
    records = vectors.chroma.records
    assert set(records) == chunks(vault)
    assert {record["directory"] for record in records.values()} == {"vault/", "vault/deep/er/"}
    assert all(len(record["digest"]) == 64 for record in records.values())
    assert "Garage\nGarage\n\n# Garage\n\nThe car is in the garage." in vectors.embedder.texts

    asked = len(vectors.embedder.requests)
    assert counts(ingest()) == (0, 0, 0, 0)
    assert len(vectors.embedder.requests) == asked
    if vectors.fake:
        assert [path.rsplit("/", 1)[1] for _, path, _ in vectors.fake.requests[-2:]] == [
            "atocore", "count"]


def test_what_changes_is_exchanged(vault, ingest, vectors):
    ingest().expect(0)
    before = set(vectors.chroma.records)
    vault.write("sources/vault/garage.md", "# Garage\n\nThe lorry is in the garage.\n")
    (vault.path / "sources/vault/kitchen.md").unlink()
    assert counts(ingest()) == (1, 0, 2, 0)
    assert set(vectors.chroma.records) == chunks(vault) != before


def test_many_chunks_go_in_batches(root, ingest, vectors):
    for i in range(100):
        root.write(f"sources/vault/{i}.md", f"# Note {i}\n\nWord{i} and more.\n")
    assert counts(ingest()) == (100, 0, 0, 0)
    assert max(len(body["input"]) for _, _, body in vectors.embedder.requests) == 32
    assert set(vectors.chroma.records) == chunks(root)


def test_reembed_makes_all_anew_out_of_the_cache(vault, ingest, vectors):
    ingest().expect(0)
    first = vectors.chroma.collection["id"]
    texts = len(vectors.embedder.texts)
    assert counts(ingest("--reembed")) == (0, 3, 0, 0)
    assert vectors.chroma.collection["id"] != first
    assert set(vectors.chroma.records) == chunks(vault)
    assert len(vectors.embedder.texts) == texts + 1  # what the dimension is
    # And what nobody needs any more leaves the cache.
    (vault.path / "sources/vault/kitchen.md").unlink()
    ingest().expect(0)
    ingest("--reembed").expect(0)
    with sqlite3.connect(vault.path / "data/cache/embeddings.db") as db:
        assert db.execute("SELECT count(*) FROM embeddings").fetchone() == (2,)


def test_cache_may_be_deleted(vault, ingest):
    ingest().expect(0)
    for path in (vault.path / "data/cache").iterdir():
        path.unlink()
    assert counts(ingest("--reembed")) == (3, 0, 0, 0)
    assert counts(ingest("--reembed")) == (0, 3, 0, 0)


@pytest.mark.parametrize("how", ["no database", "a flipped bit"])
def test_cache_that_is_damaged_is_discarded(vault, ingest, how):
    ingest().expect(0)
    cache = vault.path / "data/cache/embeddings.db"
    if how == "no database":
        for name in ("embeddings.db-wal", "embeddings.db-shm"):
            (cache.parent / name).unlink(missing_ok=True)
        cache.write_bytes(b"x" * 100000)
    else:
        with sqlite3.connect(cache) as db:
            db.execute("UPDATE embeddings SET vector = zeroblob(length(vector))")
        db.close()
    result = ingest("--reembed")
    assert result.codes.count("vector_cache_discarded") == 1
    assert counts(result) == (3, 0, 0, 0)
    assert counts(ingest("--reembed")) == (0, 3, 0, 0)


def test_cache_that_cannot_be_written_is_done_without(vault, ingest, root):
    cache = vault.path / "data/cache"
    cache.rmdir()
    cache.write_text("in the way")
    result = ingest()
    assert counts(result) == (3, 0, 0, 0)
    assert "vector_cache_discarded" in result.codes


def assert_made_up_for(vault, ingest, vectors, pending=3):
    """The texts are in, the event says what is missing, and the next run gets it done."""
    result = ingest().expect(0)
    assert result.json["files_indexed"] == 3
    assert result.json["vectors"]["pending"] == pending
    assert "vectors_pending" in result.codes
    vectors.embedder.misbehave = None
    if vectors.fake:
        vectors.fake.misbehave = None
    again = ingest().expect(0)
    assert again.json["files_indexed"] == 0
    assert again.json["vectors"]["pending"] == 0 and again.json["vectors"]["problem"] is None
    assert set(vectors.chroma.records) == chunks(vault)
    return result.json["vectors"]["problem"]


def drop_last(data):
    data[-1]["embedding"].pop()
    return data


def poison(value):
    def change(data):
        data[-1]["embedding"][3] = value
        return data
    return change


MISBEHAVIOURS = {
    "html": (lambda e: e.html, "no JSON"),
    "nothing": (lambda e: e.nothing, "no JSON"),
    "dies": (lambda e: e.die, "no answer ("),
    "status": (lambda e: e.error(503, {"error": "loading model"}), "503 (loading model)"),
    "key": (lambda e: e.error(401, {"error": {"message": "no key"}}), "embedding-api-key"),
    "nan": (lambda e: e.with_vector(poison(float("nan"))), "no JSON"),
    "infinity": (lambda e: e.with_vector(poison(1e300)), "not finite"),
    "text": (lambda e: e.with_vector(poison("1")), "not of numbers"),
    "short": (lambda e: e.with_vector(drop_last), "63"),
    "few": (lambda e: e.with_vector(lambda data: data[1:]), "vectors for"),
    "twice": (lambda e: e.with_vector(
        lambda data: [{**entry, "index": 0} for entry in data] if len(data) > 1
        else [{**data[0], "index": 5}]), "no vector of a text"),
    "zeros": (lambda e: e.with_vector(
        lambda data: [{**entry, "embedding": [0] * 64} for entry in data]), "zeros"),
    "empty": (lambda e: e.with_vector(
        lambda data: [{**entry, "embedding": []} for entry in data]), "vector of 0 numbers"),
    "list": (lambda e: e.error(200, [1]), "no list of vectors"),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_embedding_server_that_misbehaves_is_told(vault, ingest, vectors, name):
    misbehave, said = MISBEHAVIOURS[name]
    vectors.embedder.misbehave = misbehave(vectors.embedder)
    problem = assert_made_up_for(vault, ingest, vectors)
    assert said in problem
    assert problem.startswith(("embedding_failed: ", "embedding_dimension: "))


def test_embedding_server_that_is_down(vault, ingest, vectors):
    vectors.embedder.kill()
    result = ingest().expect(0)
    assert result.json["files_indexed"] == 3 and result.json["vectors"]["pending"] == 3
    assert result.codes.count("vectors_pending") == 1
    vectors.embedder.start()
    assert counts(ingest()) == (3, 0, 0, 0)


def test_signal_ends_the_wait_and_the_texts_are_in(vault, vectors, run_op):
    vectors.embedder.misbehave = vectors.embedder.hang
    process = run_op.start("atocore-ingest", "--config", vectors.config)
    wait_until(lambda: vectors.embedder.requests, "the first question")
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75, stderr
    assert len(chunks(vault)) == 3


def test_vector_store_that_is_down(vault, ingest, vectors):
    fake = vectors.only_fake()
    fake.kill()
    result = ingest().expect(0)
    assert result.json["vectors"]["problem"].startswith("vector_store_unreachable: ")
    assert result.json["vectors"]["pending"] == 3
    ingest("--reembed").expect(69)
    fake.start()
    assert counts(ingest()) == (3, 0, 0, 0)


@pytest.mark.parametrize("name, code", [
    ("html", "vector_store_failed"), ("nothing", "vector_store_failed"),
    ("die", "vector_store_unreachable")])
def test_vector_store_that_misbehaves_is_told(vault, ingest, vectors, name, code):
    fake = vectors.only_fake()
    fake.misbehave = getattr(fake, name)
    problem = assert_made_up_for(vault, ingest, vectors)
    assert problem.startswith(f"{code}: ")


def test_vector_store_that_is_something_else_is_told(vault, ingest, vectors):
    vectors.configure(vector_store=f"chroma:{vectors.embedder.url}")
    problem = ingest().expect(0).json["vectors"]["problem"]
    assert problem.startswith("vector_store_failed: ") and "not Chroma's API v2" in problem


@pytest.mark.parametrize("verb", ["upsert", "delete"])
def test_vector_store_that_dies_in_mid_flight(vault, ingest, vectors, verb):
    fake = vectors.only_fake()
    ingest().expect(0)
    vault.write("sources/vault/garage.md", "# Garage\n\nThe lorry is in the garage.\n")

    def misbehave(handler, _method, path, body):
        if not path.endswith(verb):
            return False
        fake.respond(Silent(), "POST", path, body)  # done, and nobody is told
        return fake.die(handler)

    fake.misbehave = misbehave
    problem = ingest().expect(0).json["vectors"]["problem"]
    assert problem.startswith("vector_store_unreachable: ")
    fake.misbehave = None
    assert ingest().expect(0).json["vectors"]["pending"] == 0
    assert set(vectors.chroma.records) == chunks(vault)


def without_offset(fake):
    """The first page, for ever."""
    def misbehave(handler, method, path, body):
        if not path.endswith("/get"):
            return False
        fake.respond(handler, method, path, {**body, "offset": 0})
        return True
    return misbehave


def inventing(size):
    """Pages of `size` records that are not there, others each time."""
    def misbehave(handler, _method, path, body):
        if not path.endswith("/get"):
            return False
        first = 1000 + body["offset"]
        handler.answer(200, {
            "ids": [str(first + i) for i in range(size)],
            "metadatas": [{}] * size if body["include"] else None})
        return True
    return misbehave


@pytest.mark.parametrize("name, pages, said", [
    ("the first page for ever", 2, "lists its 3 records without end"),
    ("more than there are", 2, "lists its 3 records without end"),
    ("more than were asked for", 1, "not Chroma's API v2")])
def test_vector_store_that_lists_without_end_is_given_up(
        vault, ingest, vectors, name, pages, said):
    fake = vectors.only_fake()
    ingest().expect(0)
    vault.write("sources/vault/new.md", "# New\n\nText.\n")
    fake.misbehave = {
        "the first page for ever": without_offset(fake),
        "more than there are": inventing(5000),
        "more than were asked for": inventing(5001)}[name]
    fake.requests.clear()
    problem = ingest().expect(0).json["vectors"]["problem"]
    assert problem.startswith("vector_store_failed: ") and said in problem
    assert sum(path.endswith("/get") for _, path, _ in fake.requests) == pages
    fake.misbehave = None
    assert counts(ingest()) == (1, 0, 0, 0)
    assert set(vectors.chroma.records) == chunks(vault)


def in_small_pages(fake):
    """Of two records, the highest id first, and one is seen twice."""
    def misbehave(handler, _method, path, body):
        if not path.endswith("/get"):
            return False
        [collection] = fake.collections.values()
        keys = sorted(collection["records"], key=int, reverse=True)
        keys.insert(2, keys[0])
        keys = keys[body["offset"]:body["offset"] + 2]
        handler.answer(200, {
            "ids": keys, "metadatas": [collection["records"][key][1] for key in keys]})
        return True
    return misbehave


def test_pages_may_be_small_and_overlap(vault, ingest, vectors):
    fake = vectors.only_fake()
    ingest().expect(0)
    vectors.chroma.act("upsert", {
        "ids": ["999"], "embeddings": [[1.0] * 64],
        "metadatas": [{"digest": "x", "directory": "y"}]})
    vault.write("sources/vault/new.md", "# New\n\nText.\n")
    (vault.path / "sources/vault/kitchen.md").unlink()
    fake.misbehave = in_small_pages(fake)
    assert counts(ingest()) == (1, 0, 2, 0)
    fake.misbehave = None
    assert set(vectors.chroma.records) == chunks(vault)


class Silent:
    def answer(self, *_):
        pass


def test_text_that_is_refused_does_not_hold_up_the_others(vault, ingest, vectors):
    vectors.embedder.too_long = "kettle"
    result = ingest()
    assert counts(result) == (2, 0, 0, 1)
    assert "vectors_pending" in result.codes
    assert len(vectors.chroma.records) == 2
    vectors.embedder.too_long = None
    assert counts(ingest("--reembed"))[3] == 0
    assert set(vectors.chroma.records) == chunks(vault)


def test_key_is_a_credential(vault, ingest, vectors, tmp_path):
    (tmp_path / "embedding-api-key").write_text("secret-key\n")
    ingest(env={"CREDENTIALS_DIRECTORY": str(tmp_path)}).expect(0)
    assert {headers["Authorization"] for headers in vectors.embedder.headers} == {
        "Bearer secret-key"}
    (tmp_path / "embedding-api-key").write_text("")
    ingest(env={"CREDENTIALS_DIRECTORY": str(tmp_path)}).expect(78)


def test_model_is_asked_for_and_a_change_of_it_wants_reembed(vault, ingest, vectors):
    ingest().expect(0)
    assert {body["model"] for _, _, body in vectors.embedder.requests} == {"words"}
    vectors.model = "other words"
    vectors.configure()
    vault.write("sources/vault/new.md", "# New\n\nText.\n")
    problem = ingest().expect(0).json["vectors"]["problem"]
    assert problem.startswith("embedding_model_changed: ") and "--reembed" in problem
    assert counts(ingest("--reembed")) == (4, 0, 0, 0)
    assert vectors.chroma.collection["metadata"]["atocore_model"] == "other words"


def test_a_change_of_dimension_wants_reembed(vault, ingest, vectors):
    ingest().expect(0)
    vectors.embedder.dimension = 32
    vault.write("sources/vault/new.md", "# New\n\nText.\n")
    problem = ingest().expect(0).json["vectors"]["problem"]
    assert problem.startswith("embedding_dimension: ") and "--reembed" in problem
    assert counts(ingest("--reembed")) == (4, 0, 0, 0)
    assert vectors.chroma.collection["metadata"]["atocore_dimension"] == 32


@pytest.mark.parametrize("dimension", [None, 0, -1, 64.0, 2**40])
def test_a_collection_that_does_not_know_its_dimension_wants_reembed(
        vault, ingest, vectors, dimension):
    ingest().expect(0)
    vectors.chroma.describe(atocore_dimension=dimension)
    vault.write("sources/vault/new.md", "# New\n\nText.\n")
    problem = ingest().expect(0).json["vectors"]["problem"]
    assert problem.startswith("embedding_dimension: ") and "--reembed" in problem
    assert len(vectors.chroma.records) == 3
    assert counts(ingest("--reembed")) == (1, 3, 0, 0)
    assert vectors.chroma.collection["metadata"]["atocore_dimension"] == 64
    assert set(vectors.chroma.records) == chunks(vault)


def test_collection_of_another_database_is_left_alone(vault, ingest, vectors):
    ingest().expect(0)
    vectors.chroma.describe(atocore_store="0" * 32)
    vault.write("sources/vault/new.md", "# New\n\nText.\n")
    assert ingest().expect(0).json["vectors"]["problem"].startswith("vector_store_foreign: ")
    assert ingest("--reembed").expect(69).codes[-1] == "vector_store_foreign"
    assert len(vectors.chroma.records) == 3


def test_after_a_restore_vectors_are_of_the_texts_that_are_there(vault, ingest, vectors, run_op):
    """Ids that the restored database uses again, for other texts."""
    ingest().expect(0)
    run_op("atocore-backup", now="20260407T060000Z").expect(0)
    vault.write("sources/vault/a.md", "# First\n\nOne thing.\n")
    ingest().expect(0)
    run_op("atocore-restore", "latest", now="20260407T070000Z").expect(0)
    (vault.path / "sources/vault/a.md").unlink()
    vault.write("sources/vault/b.md", "# Second\n\nAnother thing.\n")
    assert counts(ingest())[3] == 0
    with sqlite3.connect(vault.database) as db:
        [(chunk,)] = db.execute("SELECT id FROM chunks WHERE title = 'Second'").fetchall()
    assert set(vectors.chroma.records) == chunks(vault)
    assert json.dumps(vectors.embedder.texts[-1]).count("Another thing") == 1
    assert chunk in vectors.chroma.records


def test_vectors_that_went_missing_or_do_not_belong_are_put_right(vault, ingest, vectors):
    ingest().expect(0)
    victim = max(chunks(vault))
    vectors.chroma.act("delete", {"ids": [str(victim)]})
    assert counts(ingest()) == (0, 1, 0, 0)
    vectors.chroma.act("upsert", {
        "ids": ["999"], "embeddings": [[1.0] * 64],
        "metadatas": [{"digest": "x", "directory": "y"}]})
    assert counts(ingest()) == (0, 0, 1, 0)
    vectors.chroma.drop()
    assert counts(ingest()) == (0, 3, 0, 0)
    assert set(vectors.chroma.records) == chunks(vault)


def test_an_empty_vault_needs_no_collection(root, ingest, vectors):
    assert counts(ingest()) == (0, 0, 0, 0)
    assert vectors.chroma.collection is None


@pytest.mark.parametrize("line, said", [
    ("vector_store=chroma:http://127.0.0.1:1", "without embedding"),
    ("embedding=openai:http://127.0.0.1:1", "without vector_store"),
    ("vector_store=http://127.0.0.1:1", "chroma:http"),
    ("vector_store=chroma:http://user:secret@127.0.0.1:1", "chroma:http"),
    ("embedding=openai:ftp://127.0.0.1", "openai:http"),
    ("vector_timeout_ms=0", "from 1 to 60000"),
])
def test_configuration_that_is_wrong_is_told(run_op, tmp_path, line, said):
    (tmp_path / "wrong.conf").write_text(line + "\n")
    result = run_op("atocore-ingest", "--config", tmp_path / "wrong.conf").expect(78)
    assert result.codes == ["config_invalid"] and said in result.stderr


def test_reembed_is_of_everything(run_op, vectors):
    run_op("atocore-ingest", "--config", vectors.config, "--reembed", "p05").expect(64)
