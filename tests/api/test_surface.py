# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each endpoint gives what the contract says, in the shape it says."""

import json
import re
import sqlite3

from support import build
from support.api import is_time, problem
from support.run import run

CHUNK = {"chunk_id", "source_file", "title", "heading_path", "start_line", "end_line", "score",
         "char_count", "content"}


def keys(document, *names):
    assert set(document) >= set(names), set(names) - set(document)
    return document


def test_the_daemon_carries_no_library_that_only_operations_need():
    """libcurl brings two dozen others along, each of which costs at every start."""
    linked = run(["ldd", build.program("atocored")]).expect(0).stdout
    assert "libmicrohttpd" in linked and "libcurl" not in linked


def test_stats(filled, daemon):
    stats = keys(daemon.get("/stats").expect(200).json, "documents", "chunks", "projects",
                 "interactions", "memories", "db_bytes", "last_ingest_at", "last_backup",
                 "last_validated_backup", "last_drill")
    assert (stats["documents"], stats["projects"], stats["interactions"]) == (3, 2, 0)
    assert stats["chunks"] >= 4 and stats["db_bytes"] > 0
    assert is_time(stats["last_ingest_at"])
    assert stats["last_backup"] is stats["last_validated_backup"] is stats["last_drill"] is None

    stamp = daemon.post("/admin/backup").expect(201).json["stamp"]
    daemon.post("/interactions", {"prompt": "x"}).expect(201)
    stats = daemon.get("/stats").expect(200).json
    assert stats["interactions"] == 1
    assert stats["last_backup"] == stats["last_validated_backup"] == stamp
    (filled.state / f"{stamp}.json").write_text(json.dumps(
        {"validation": {"valid": False, "validated_at": "2026-04-07T06:30:00Z", "errors": ["x"]}}))
    assert daemon.get("/stats").expect(200).json["last_validated_backup"] is None


def test_projects(filled, daemon):
    first, second = daemon.get("/projects").expect(200).json["projects"]
    assert first["id"] == "p05-interferometer"
    assert first["aliases"] == ["p05", "Interferometer"]
    assert first["description"] == "Optics on the bench"
    assert first["ingest_roots"] == [
        {"source": "vault", "subpath": "projects/p05", "label": "notes"}]
    assert first["documents"] == 1 and first["chunks"] >= 2
    assert second["ingest_roots"][0]["label"] is None
    assert second["documents"] == 1


def test_ingest(filled, daemon):
    unchanged = keys(daemon.post("/ingest").expect(200).json, "files_seen", "files_indexed",
                     "files_unchanged", "files_removed", "chunks_added", "chunks_removed",
                     "duration_ms", "errors")
    assert (unchanged["files_seen"], unchanged["files_unchanged"]) == (3, 3)
    assert unchanged["errors"] == []

    filled.write("sources/vault/projects/p05/new.md", "# New\n\nWords.\n")
    filled.write("sources/vault/projects/p06/bad.md", b"\xff\xfe\x00")
    (filled.vault / "general.md").unlink()
    changed = daemon.post("/ingest", {}).expect(200).json
    assert (changed["files_indexed"], changed["files_removed"]) == (1, 1)
    assert [set(error) for error in changed["errors"]] == [{"path", "error"}]
    assert changed["errors"][0]["path"] == "sources/vault/projects/p06/bad.md"


def test_ingest_of_one_project_leaves_the_others(filled, daemon):
    filled.write("sources/vault/projects/p05/new.md", "# New\n\nWords.\n")
    filled.write("sources/vault/projects/p06/new.md", "# New\n\nWords.\n")
    for path, body in (("/ingest", {"project": "P05"}), ("/projects/INTERFEROMETER/refresh", None)):
        done = daemon.post(path, body).expect(200).json
        assert done["files_seen"] == 2
    assert daemon.post("/projects/p06-polisher/refresh", {}).expect(200).json["files_indexed"] == 1


def test_query(filled, daemon):
    answer = keys(daemon.post("/query", {"prompt": "isopropanol"}).expect(200).json,
                  "chunks", "retrieval", "duration_ms")
    assert len(answer["chunks"]) == 2
    for chunk in answer["chunks"]:
        assert set(chunk) >= CHUNK
        assert "isopropanol" in chunk["content"]
        assert chunk["char_count"] == len(chunk["content"])
        assert chunk["source_file"].startswith("sources/vault/projects/")
        assert isinstance(chunk["heading_path"], list)
        assert 1 <= chunk["start_line"] <= chunk["end_line"]
    scores = [chunk["score"] for chunk in answer["chunks"]]
    assert scores == sorted(scores, reverse=True)
    assert keys(answer["retrieval"], "mode", "candidates", "degraded")["mode"] == "lexical"
    assert answer["retrieval"]["candidates"] == 2 and answer["retrieval"]["degraded"] == []
    assert len(daemon.post("/query", {"prompt": "isopropanol", "top_k": 1}).json["chunks"]) == 1


def test_context_build(filled, daemon):
    pack = keys(
        daemon.post("/context/build", {"prompt": "isopropanol", "project": "P05"}).expect(200).json,
        "formatted_context", "full_prompt", "chunks_used", "total_chars", "budget",
        "budget_remaining", "duration_ms", "project", "retrieval", "chunks", "dropped")
    assert pack["project"] == {"id": "p05-interferometer", "matched": "P05"}
    assert pack["budget"] == 3000
    assert pack["total_chars"] == len(pack["formatted_context"]) <= 3000
    assert pack["budget_remaining"] == 3000 - pack["total_chars"]
    assert pack["chunks_used"] == len(pack["chunks"]) == 1
    assert pack["full_prompt"].endswith("isopropanol") or "isopropanol" in pack["full_prompt"]
    assert "sources/vault/projects/p05/flat.md" in pack["formatted_context"]
    assert "p06" not in pack["formatted_context"]
    assert pack["dropped"] == []


def test_context_within_budget(filled, daemon):
    filled.write("sources/vault/projects/p05/twin.md",
                 (filled.vault / "projects/p05/flat.md").read_text())
    daemon.post("/ingest").expect(200)
    pack = daemon.post("/context/build", {"prompt": "isopropanol flat", "budget": 100000}).json
    assert "duplicate" in [dropped["reason"] for dropped in pack["dropped"]]
    for budget in (1, 50, 200, 400):
        pack = daemon.post("/context/build", {"prompt": "isopropanol flat", "budget": budget}).json
        assert pack["total_chars"] == len(pack["formatted_context"]) <= budget
        for dropped in pack["dropped"]:
            assert set(dropped) == {"chunk_id", "reason"}
            assert dropped["reason"] in ("budget", "duplicate", "stale")


def test_no_hit_is_200_with_nothing(filled, daemon):
    pack = daemon.post("/context/build", {"prompt": "xyzzy", "project": "p05"}).expect(200).json
    assert (pack["chunks_used"], pack["chunks"], pack["formatted_context"]) == (0, [], "")
    assert pack["total_chars"] == 0
    pack = daemon.post("/context/build", {"prompt": "xyzzy"}).expect(200).json
    assert pack["project"] is None


def test_no_chunk_of_another_project(filled, daemon):
    for project, inside in (("p05", "/p05/"), ("p06-POLISHER", "/p06/")):
        chunks = daemon.post("/query", {"prompt": "isopropanol", "project": project}).json["chunks"]
        assert chunks and all(inside in chunk["source_file"] for chunk in chunks)


def test_text_comes_back_as_it_was_written(filled, daemon):
    text = '# Ünïcode/slash\n\n"Quotes" \\ back 🙂 \u2028 </script> isopropanol\n'
    filled.write("sources/vault/projects/p05/odd name \"q\".md", text)
    daemon.post("/ingest").expect(200)
    answer = daemon.post("/query", {"prompt": "Ünïcode"})
    assert b"\\/" not in answer.body and "🙂".encode() in answer.body
    [chunk] = answer.json["chunks"]
    assert '"Quotes" \\ back 🙂 \u2028 </script> isopropanol' in chunk["content"]
    assert chunk["source_file"] == 'sources/vault/projects/p05/odd name "q".md'


# Interactions.

FULL = {"prompt": "What cleans the flat?", "response": "Isopropanol.\n", "response_summary": "IPA",
        "project": "P05", "client": "test", "session_id": "s-1",
        "chunks_used": [1, "a/b", {"c": None}], "context_pack": {"total_chars": 12, "x": "é/"}}


def test_interaction_is_kept_and_found(filled, daemon):
    answer = daemon.post("/interactions", FULL).expect(201)
    record = answer.json
    assert isinstance(record["id"], int) and is_time(record["created_at"])
    assert record["project"] == "p05-interferometer"
    assert {name: record[name] for name in FULL if name != "project"} == {
        name: value for name, value in FULL.items() if name != "project"}
    assert answer.headers["Location"] == f"/interactions/{record['id']}"
    assert daemon.get(answer.headers["Location"]).expect(200).json == record


def test_interaction_keeps_every_number_as_it_was_sent(filled, daemon):
    used = "[1,123456789012345678901234567890,-99999999999999999999]"
    pack = ('{"n":123456789012345678901234567890,"u":18446744073709551615,"z":-0,"e":1E400,'
            '"d":0.1000000000000000055511151231257827,"t":1.10}')
    answer = daemon.post("/interactions", f'{{"prompt":"p","chunks_used":{used},'
                         f'"context_pack":{pack}}}').expect(201)
    for shown in (answer, daemon.get(f"/interactions/{answer.json['id']}").expect(200),
                  daemon.get("/interactions").expect(200)):
        text = "".join(shown.body.decode().split())
        assert f'"chunks_used":{used}' in text and f'"context_pack":{pack}' in text


def test_half_a_surrogate_pair_is_a_replacement_character(filled, daemon):
    answer = daemon.post("/interactions", r'{"prompt":"cut \ud83d","context_pack":{"x":"\ude00"}}')
    assert answer.expect(201).json["prompt"] == "cut \ufffd"
    assert answer.json["context_pack"] == {"x": "\ufffd"}


def test_interaction_of_a_prompt_alone(filled, daemon):
    record = daemon.post("/interactions", {"prompt": "x", "response": None}).expect(201).json
    assert record["project"] is record["response"] is record["chunks_used"] is None


def test_interaction_is_on_disk_when_it_is_answered(filled, daemon):
    record = daemon.post("/interactions", {"prompt": "keep me"}).expect(201).json
    daemon.kill()
    with sqlite3.connect(filled.database) as connection:
        rows = connection.execute("SELECT id, prompt FROM interactions").fetchall()
    assert rows == [(record["id"], "keep me")]


def test_interactions_are_listed_newest_first_in_pages(filled, daemon):
    ids = [daemon.post("/interactions", {"prompt": f"number {n}"}).expect(201).json["id"]
           for n in range(60)]
    found, query = [], ""
    pages = []
    while True:
        page = daemon.get(f"/interactions?limit=25{query}").expect(200).json
        pages.append(len(page["interactions"]))
        found += [record["id"] for record in page["interactions"]]
        if page["next"] is None:
            break
        query = f"&before={page['next']}"
    assert pages == [25, 25, 10]
    assert found == ids[::-1]
    assert len(daemon.get("/interactions").expect(200).json["interactions"]) == 50
    assert len(daemon.get("/interactions?limit=500").expect(200).json["interactions"]) == 60


def test_page_of_large_records_ends_early_and_goes_on(filled, daemon):
    for n in range(40):
        record = {"prompt": "x", "response": f"{n}" + "y" * 500_000}
        daemon.post("/interactions", record).expect(201)
    found, query = [], ""
    while True:
        answer = daemon.get(f"/interactions?limit=40{query}").expect(200)
        assert len(answer.body) < 16 << 20
        found += [record["id"] for record in answer.json["interactions"]]
        if answer.json["next"] is None:
            break
        query = f"&before={answer.json['next']}"
    assert len(found) == len(set(found)) == 40


def test_interactions_are_filtered(filled, start_daemon):
    early = start_daemon(now="20260407T060000Z")
    early.post("/interactions", {"prompt": "a", "project": "p05", "client": "one"}).expect(201)
    early.stop()
    daemon = start_daemon(now="20260408T060000Z")
    daemon.post("/interactions", {"prompt": "b", "project": "p06", "client": "one"}).expect(201)
    daemon.post(
        "/interactions", {"prompt": "c", "session_id": "s 1&2", "client": "two"}).expect(201)

    def prompts(query):
        page = daemon.get(f"/interactions?{query}").expect(200).json
        return "".join(record["prompt"] for record in page["interactions"])

    assert prompts("") == "cba"
    assert prompts("project=P05") == "a"
    assert prompts("project=p06-polisher&client=one") == "b"
    assert prompts("client=one") == "ba"
    assert prompts("session_id=s+1%262") == "c"
    assert prompts("since=2026-04-08T00:00:00Z") == "cb"
    assert prompts("since=2026-04-08T08:00:00%2B02:00") == "cb"
    assert prompts("since=2026-04-09T00:00:00Z") == ""
    assert prompts("client=three") == ""


# Backups.

def test_a_backup_with_an_archive_says_where_it_is(filled, daemon):
    document = daemon.post("/admin/backup", {"archive": True}).expect(201).json
    path = filled.backups / "archives" / f"{document['stamp']}.tar.zst"
    assert document["archive"] == str(path) and path.stat().st_size > 0


def test_an_archive_is_encrypted_as_configured(filled, start_daemon, run_op, tmp_path):
    key, config = tmp_path / "key", tmp_path / "atocore.conf"
    run(["age-keygen", "-o", key]).expect(0)
    recipient = run(["age-keygen", "-y", key]).expect(0).stdout.strip()
    config.write_text(f"archive_encrypt=age:{recipient}\n")
    daemon = start_daemon("--config", config)
    path = daemon.post("/admin/backup", {"archive": True}).expect(201).json["archive"]
    assert path.endswith(".tar.zst.age") and daemon.events("archive_done")
    run_op("atocore-validate", "--identity", key, path).expect(0)


def test_an_archive_that_cannot_be_encrypted_is_none(filled, start_daemon, tmp_path):
    config = tmp_path / "atocore.conf"
    config.write_text("archive_encrypt=age:age1qqqqqq\n")
    daemon = start_daemon("--config", config)
    answer = daemon.post("/admin/backup", {"archive": True}).expect(500)
    assert answer.json["code"] == "archive_key_failed" and "age1qqqqqq" in answer.json["detail"]
    assert list((filled.backups / "archives").iterdir()) == [] and len(filled.stamps()) == 1


def test_backup(filled, daemon):
    answer = daemon.post("/admin/backup", {"include_chroma": False, "archive": False}).expect(201)
    metadata = keys(answer.json, "stamp", "created_at", "db_size_bytes", "validation", "warnings")
    stamp = metadata["stamp"]
    assert re.fullmatch(r"\d{8}T\d{6}Z", stamp)
    assert filled.stamps() == [stamp]
    assert metadata["validation"]["valid"] is True
    assert answer.headers["Location"] == f"/admin/backup/{stamp}"
    assert daemon.events("backup_started") and daemon.events("backup_done")

    assert daemon.get(f"/admin/backup/{stamp}").expect(200).json["stamp"] == stamp
    listed = daemon.get("/admin/backup").expect(200).json
    assert listed["backup_dir"] == str(filled.snapshots)
    assert [backup["stamp"] for backup in listed["backups"]] == [stamp]


def test_backup_without_vector_store_to_include_says_so(filled, daemon):
    metadata = daemon.post("/admin/backup", {"include_chroma": True}).expect(201).json
    assert metadata["chroma_snapshot_included"] is False
    assert metadata["warnings"]


def test_backups_are_listed_oldest_first(filled, daemon, run_op):
    for stamp in ("20260409T060000Z", "20260407T060000Z", "20260408T060000Z"):
        run_op("atocore-backup", now=stamp).expect(0)
    (filled.snapshots / "20260408T060000Z" / "backup-metadata.json").write_text("{")
    listed = daemon.get("/admin/backup").expect(200).json["backups"]
    assert [backup["stamp"] for backup in listed] == [
        "20260407T060000Z", "20260408T060000Z", "20260409T060000Z"]
    assert daemon.get("/admin/backup/20260408T060000Z").expect(200).json["stamp"]


def test_no_backups_is_an_empty_list(root, daemon):
    assert daemon.get("/admin/backup").expect(200).json["backups"] == []


def test_validate(filled, daemon):
    stamp = daemon.post("/admin/backup").expect(201).json["stamp"]
    report = keys(daemon.get(f"/admin/backup/{stamp}/validate").expect(200).json, "stamp", "valid",
                  "errors", "warnings", "findings", "duration_ms")
    assert (report["stamp"], report["valid"], report["errors"]) == (stamp, True, [])
    assert daemon.events("snapshot_valid")

    (filled.snapshots / stamp / "config" / "project-registry.json").write_text("{}")
    report = daemon.get(f"/admin/backup/{stamp}/validate").expect(200).json
    assert report["valid"] is False
    assert report["errors"][0].startswith("checksum_mismatch")
    assert daemon.events("snapshot_invalid")


def test_prune(filled, start_daemon, run_op):
    daemon = start_daemon(now="20260429T060000Z")
    for day in range(1, 29):
        run_op("atocore-backup", now=f"202604{day:02}T060000Z").expect(0)
    before = filled.stamps()
    for body in (None, {}, {"dry_run": True}):
        plan = keys(daemon.post("/admin/prune", body).expect(200).json, "now", "policy", "keep",
                    "delete", "quarantined", "ignored", "dry_run")
        assert plan["dry_run"] is True and filled.stamps() == before
    assert plan["policy"] == {"daily": 7, "weekly": 4, "monthly": 6}
    assert plan["delete"] and plan["keep"][0]["reasons"]
    done = daemon.post("/admin/prune", {"dry_run": False}).expect(200).json
    assert done["dry_run"] is False
    assert filled.stamps() == [kept["stamp"] for kept in done["keep"]]
    assert daemon.events("prune_done")


def test_prune_that_would_leave_nothing_valid_is_409(filled, start_daemon, run_op, tmp_path):
    config = tmp_path / "atocore.conf"
    config.write_text("retention_daily=0\nretention_weekly=0\nretention_monthly=0\n")
    for stamp in ("20260401T060000Z", "20260402T060000Z"):
        run_op("atocore-backup", now=stamp).expect(0)
        (filled.state / f"{stamp}.json").write_text(json.dumps(
            {"validation": {"valid": False, "validated_at": "2026-04-02T07:00:00Z",
                            "errors": ["x"]}}))
    daemon = start_daemon("--config", config, now="20260407T060000Z")
    for dry_run in (True, False):
        document = problem(daemon.post("/admin/prune", {"dry_run": dry_run}), 409, "prune_refused")
        assert document["plan"]["delete"] == []
        assert len(filled.stamps()) == 2
