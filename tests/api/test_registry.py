# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project registry over HTTP: projects are registered and replaced in the file, which somebody
may edit by hand at the same time."""

import concurrent.futures
import fcntl
import json
import os
import re

import pytest

from support.api import PROJECTS, problem
from support.locks import held
from support.mounts import remount, tmpfs
from support.wait import wait_until

NEW = {"id": "p07-mount", "aliases": ["p07"], "description": "A mount",
       "ingest_roots": [{"source": "drive", "subpath": "p07/", "label": "cad"}]}


def previous(root):
    return root.registry.with_name("project-registry.json.previous")


def projects(root):
    return json.loads(root.registry.read_text())["projects"]


def register(daemon, project, **options):
    return daemon.post("/projects/register", project, **options)


def replace(daemon, name, project):
    return daemon.request("PUT", f"/projects/{name}", project)


def registry_check(daemon):
    return daemon.get("/health").expect(200).json["checks"]["registry"]


def wait_for_registry(daemon, status):
    """Until /health, whose answer may be a second old, says so; returns its detail."""
    wait_until(lambda: registry_check(daemon)["status"] == status, f"registry to be {status}")
    return registry_check(daemon)["detail"]


def wait_for_projects(daemon, n):
    """Until the answer of /health is of a registry with as many."""
    wait_until(lambda: registry_check(daemon)["detail"] == f"Projects: {n}", f"{n} projects")


# Writing.

def test_registered_project_is_in_the_file_and_served_at_once(filled, daemon):
    before = filled.registry.read_text()
    answer = register(daemon, NEW).expect(201).json
    warnings = answer.pop("warnings")
    assert answer == {**NEW, "documents": 0, "chunks": 0, "ingest_roots": [
        {"source": "drive", "subpath": "p07", "label": "cad"}]}
    assert len(warnings) == 1 and str(filled.drive / "p07") in warnings[0]

    assert projects(filled) == [*PROJECTS, NEW]
    assert previous(filled).read_text() == before
    assert filled.registry.stat().st_mode & 0o7777 == 0o640
    assert [project["id"] for project in daemon.get("/projects").json["projects"]] == [
        "p05-interferometer", "p06-polisher", "p07-mount"]
    filled.write("sources/drive/p07/a.md", "# Gears\n\nTeeth.\n")
    daemon.post("/projects/P07/refresh").expect(200)
    daemon.post("/query", {"prompt": "teeth", "project": "p07"}).expect(200)
    assert len(daemon.events("registry_written")) == 1
    assert "p07-mount" in daemon.events("registry_written")[0]


def test_template_is_accepted(filled, daemon):
    template = daemon.get("/projects/template").expect(200).json
    assert set(template) == {"id", "aliases", "description", "ingest_roots"}
    filled.write(f"sources/vault/{template['ingest_roots'][0]['subpath']}/a.md", "# A\n\nWords.\n")
    daemon.post("/ingest").expect(200)
    answer = register(daemon, template).expect(201).json
    assert answer["documents"] == 1 and answer["warnings"] == []
    assert {name: answer[name] for name in template} == template


def test_what_is_shown_can_be_sent_back(filled, daemon):
    shown = daemon.get("/projects").json["projects"][0]
    assert replace(daemon, "p05-interferometer", shown).expect(200).json == {
        **shown, "warnings": []}
    assert projects(filled)[1] == PROJECTS[1]


def test_replaced_project_keeps_its_place_its_id_and_what_is_not_ours(filled, daemon):
    filled.write_registry({"note": [1], "projects": [{**PROJECTS[0], "owner": "Ann"}, PROJECTS[1]]})
    new = {"aliases": ["ifm"], "ingest_roots": [{"source": "vault", "subpath": "projects/p06"}]}
    answer = replace(daemon, "P05", new).expect(200).json
    assert (answer["id"], answer["aliases"]) == ("p05-interferometer", ["ifm"])
    assert answer["description"] is None and answer["documents"] == 1
    document = json.loads(filled.registry.read_text())
    assert document["note"] == [1] and document["projects"][1] == PROJECTS[1]
    assert document["projects"][0] == {"id": "p05-interferometer", "owner": "Ann", **new}
    problem(daemon.post("/query", {"prompt": "x", "project": "p05"}), 404, "project_unknown")


def test_replaced_project_keeps_every_number_that_is_not_ours(filled, daemon):
    theirs = ['"n": 123456789012345678901234567890', '"m": -99999999999999999999', '"z": -0',
              '"d": 0.1000000000000000055511151231257827', '"e": 1E400', '"t": 1.10']
    root = '{"source": "vault", "subpath": "projects/p05", "r": 99999999999999999999}'
    filled.registry.write_text('{"top": 99999999999999999999, "projects": [{"id": "p05", '
                               f'{", ".join(theirs)}, "ingest_roots": [{root}]}}]}}')
    shown = daemon.get("/projects").expect(200).json
    assert shown["warnings"] == []
    replace(daemon, "p05", {**shown["projects"][0], "aliases": ["ifm"]}).expect(200)
    text = filled.registry.read_text()
    assert '"ifm"' in text and '"top": 99999999999999999999,' in text
    for member in (*theirs, '"r": 99999999999999999999'):
        assert member in re.split(r",?\n *", text)


def test_first_project_of_a_new_root(root, daemon):
    """Before there is a database, too: then nothing can be counted."""
    answer = register(daemon, NEW).expect(201).json
    assert answer["documents"] is None and answer["chunks"] is None
    assert any("database" in warning for warning in answer["warnings"])
    assert projects(root) == [NEW] and not previous(root).exists()
    wait_for_registry(daemon, "ok")


# Roots from which nothing comes.

def test_root_may_be_a_single_document(filled, daemon):
    answer = register(daemon, {"id": "one", "ingest_roots": [
        {"source": "vault", "subpath": "general.md"}]}).expect(201).json
    assert (answer["documents"], answer["warnings"]) == (1, [])
    assert daemon.post("/ingest", {"project": "one"}).expect(200).json["errors"] == []
    wait_for_projects(daemon, 3)
    assert daemon.get("/health").json["checks"]["sources"]["status"] == "ok"


@pytest.mark.parametrize("subpath, words", [
    (".hidden", "is hidden"), ("projects/.hidden/p", "is hidden"),
    ("link", "links are not followed"), ("link/below", "links are not followed"),
    ("picture.png", "no document's")])
def test_root_that_ingest_passes_over_is_told_in_its_words(filled, daemon, subpath, words):
    for name in (".hidden", "projects/.hidden/p", "real/below"):
        filled.write(f"sources/vault/{name}/a.md", "# A\n\nWords.\n")
    filled.write("sources/vault/picture.png", "none")
    (filled.vault / "link").symlink_to("real")
    answer = register(daemon, {"id": "one", "ingest_roots": [
        {"source": "vault", "subpath": subpath}]}).expect(201).json
    [warning] = answer["warnings"]
    assert words in warning and str(filled.vault / subpath) in warning
    [error] = daemon.post("/ingest", {"project": "one"}).expect(200).json["errors"]
    assert words in str(error)
    wait_for_projects(daemon, 3)
    sources = daemon.get("/health").json["checks"]["sources"]
    assert sources["status"] == "degraded"
    assert words in sources["detail"] and str(filled.vault / subpath) in sources["detail"]


# Refusing.

def root_(**more):
    return {"id": "c", "ingest_roots": [{"source": "vault", "subpath": "a", **more}]}


@pytest.mark.parametrize("body, status, code, field", [
    ({"ingest_roots": []}, 400, "field_missing", "id"),
    ({"id": "c"}, 400, "field_missing", "ingest_roots"),
    ({"id": "c", "ingest_roots": [{"source": "vault"}]}, 400, "field_missing",
     "ingest_roots[0].subpath"),
    ({"id": 7, "ingest_roots": []}, 400, "field_type", "id"),
    ({"id": "c", "aliases": "x", "ingest_roots": []}, 400, "field_type", "aliases"),
    ({"id": "c", "aliases": ["x", 1], "ingest_roots": []}, 400, "field_type", "aliases[1]"),
    ({"id": "c", "ingest_roots": [1]}, 400, "field_type", "ingest_roots[0]"),
    ({"id": "c", "description": [[[[1]]]], "ingest_roots": []}, 400, "field_type", "description"),
    ({"id": "c", "roots": [], "ingest_roots": []}, 400, "field_unknown", "roots"),
    (root_(path="x"), 400, "field_unknown", "ingest_roots[0].path"),
    ({"id": "", "ingest_roots": []}, 422, "field_range", "id"),
    ({"id": "a\nb", "ingest_roots": []}, 422, "field_range", "id"),
    ({"id": "a/b", "ingest_roots": []}, 422, "field_range", "id"),
    ({"id": "c", "aliases": ["\u200b"], "ingest_roots": []}, 422, "field_range", "aliases[0]"),
    ({"id": "c", "aliases": ["C"], "ingest_roots": []}, 422, "field_range", "aliases[0]"),
    (root_(source="nas"), 422, "field_range", "ingest_roots[0].source"),
    (root_(subpath="a/../../b"), 422, "field_range", "ingest_roots[0].subpath"),
    (root_(subpath="/etc"), 422, "field_range", "ingest_roots[0].subpath"),
    (root_(subpath="a\0b"), 422, "field_range", "ingest_roots[0].subpath"),
    ({"id": "c", "ingest_roots": [{"source": "vault", "subpath": str(i)} for i in range(1001)]},
     422, "field_range", "ingest_roots"),
    ({"id": "P05", "ingest_roots": []}, 409, "name_taken", "id"),
    ({"id": "c", "aliases": ["d", "INTERFEROMETER"], "ingest_roots": []}, 409, "name_taken",
     "aliases[1]"),
])
def test_project_that_is_not_as_it_must_be(filled, daemon, body, status, code, field):
    before = filled.registry.read_bytes()
    document = problem(register(daemon, body), status, code)
    assert document["field"] == field and field in document["detail"]
    if status == 409:
        assert document["owner"] == "p05-interferometer"
        assert "p05-interferometer" in document["detail"]
    assert filled.registry.read_bytes() == before and not previous(filled).exists()


def test_body_must_be_a_json_object_for_put_too(filled, daemon):
    problem(replace(daemon, "p05", "[]"), 400, "json_no_object")
    problem(replace(daemon, "p05", "{"), 400, "json_malformed")
    problem(replace(daemon, "p05", None), 400, "body_missing")
    problem(daemon.request("PUT", "/projects/p05", "{}", headers={"Content-Type": "text/plain"}),
            415, "media_type_unsupported")
    problem(replace(daemon, "p05", "x" * (1 << 20) + "x"), 413, "body_too_large")


def test_replacing_refuses_other_ids_names_of_others_and_unknown_projects(filled, daemon):
    document = problem(replace(daemon, "p99", NEW), 404, "project_unknown")
    assert document["known"] == ["p05-interferometer", "p06-polisher"]
    document = problem(replace(daemon, "p05", NEW), 422, "field_range")
    assert document["field"] == "id" and "p05-interferometer" in document["detail"]
    document = problem(replace(daemon, "p05", {**PROJECTS[0], "aliases": ["P06"]}),
                       409, "name_taken")
    assert (document["field"], document["owner"]) == ("aliases[0]", "p06-polisher")
    assert projects(filled) == PROJECTS


def test_writing_is_for_administrators(filled, start_daemon, tmp_path):
    (tmp_path / "admin-token").write_text("secret\n")
    daemon = start_daemon(env={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    daemon.get("/projects/template").expect(200)
    problem(register(daemon, NEW), 401, "token_missing")
    problem(replace(daemon, "p05", PROJECTS[0]), 401, "token_missing")
    register(daemon, NEW, headers={"Authorization": "Bearer secret"}).expect(201)


# Others who write.

def test_writers_at_once_are_all_kept(filled, daemon):
    names = [f"q{i}" for i in range(20)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(
            lambda name: register(daemon, {"id": name, "ingest_roots": []}), names))
    assert [answer.status for answer in answers] == [201] * len(names)
    assert {project["id"] for project in projects(filled)} == {
        "p05-interferometer", "p06-polisher", *names}


def test_one_name_is_registered_once(filled, daemon):
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: register(daemon, NEW), range(10)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 9


def test_writer_in_another_process_is_named(filled, daemon):
    with held(filled.locks / "registry.lock", fcntl.LOCK_EX):
        assert "registry.lock" in problem(register(daemon, NEW), 409, "lock_busy")["detail"]
    register(daemon, NEW).expect(201)


# What is in the way.

def test_broken_registry_is_not_written_over(filled, daemon):
    daemon.get("/projects").expect(200)
    filled.registry.write_text('{"projects": [}')
    assert "line 1" in problem(register(daemon, NEW), 503, "registry_invalid")["detail"]
    problem(replace(daemon, "p05", PROJECTS[0]), 503, "registry_invalid")
    assert filled.registry.read_text() == '{"projects": [}'


def test_registry_that_disappeared_is_not_begun_anew(filled, start_daemon):
    daemon = start_daemon()
    register(daemon, NEW).expect(201)
    filled.registry.unlink()
    problem(register(daemon, {"id": "other", "ingest_roots": []}), 503, "registry_missing")
    daemon.stop()
    daemon = start_daemon()  # which knows of it by .previous
    document = problem(register(daemon, {"id": "other", "ingest_roots": []}),
                       503, "registry_missing")
    assert str(previous(filled)) in document["detail"]
    previous(filled).rename(filled.registry)
    register(daemon, {"id": "other", "ingest_roots": []}).expect(201)


def test_full_and_read_only_disks_leave_the_registry(root, start_daemon):
    with tmpfs(root.path / "config", "64k"):
        root.write_registry(PROJECTS)
        daemon = start_daemon()
        before = root.registry.read_bytes()
        large = {**NEW, "description": "x" * 100000}
        problem(register(daemon, large), 507, "no_space")
        assert len(daemon.events("no_space")) == 1
        remount(root.path / "config", "ro")
        problem(register(daemon, NEW), 500, "write_failed")
        assert len(daemon.events("write_failed")) == 1
        remount(root.path / "config", "rw")
        assert root.registry.read_bytes() == before
        assert not list(root.registry.parent.glob(".*"))
        register(daemon, NEW).expect(201)
        daemon.stop()


def test_link_is_not_replaced(filled, daemon):
    elsewhere = filled.path / "elsewhere.json"
    filled.registry.rename(elsewhere)
    filled.registry.symlink_to(elsewhere)
    assert len(daemon.get("/projects").expect(200).json["projects"]) == 2
    assert "link" in problem(register(daemon, NEW), 500, "write_failed")["detail"]
    assert filled.registry.is_symlink()


# Edits by hand.

def test_edit_is_served_without_a_restart(filled, daemon):
    daemon.get("/projects").expect(200)
    text = filled.registry.read_text()
    filled.registry.write_text(text.replace("p06-polisher", "p06-POLISHER"))  # of the same size
    assert daemon.get("/projects").json["projects"][1]["id"] == "p06-POLISHER"


@pytest.mark.parametrize("text, words", [
    ('{"projects": [\n  {"id": "a",}\n]}\n', "line 2"),
    ('{"projects": [\n  {"id": "a", "ingest_roots": []},\n  {"id": "b",\n   "aliases": ["A"],\n'
     '   "ingest_roots": []}]}', 'line 4: project "b": aliases[0] "A" is an id or alias of'),
    ('{"projects": [\n {"id": "a", "ingest_roots": [],\n  "id": "b"}]}', 'line 3: the field "id"'),
    ('[]', "line 1"), ("\0", "line 1"), ("", "line 1"),
    ('{"projects": [{"id": "a", "ingest_roots": [\n{"source": "vault", "subpath": "../x"}]}]}',
     'line 2: project "a": ingest_roots[0].subpath "../x" leaves its source'),
], ids=["comma", "alias", "twice", "array", "nul", "empty", "subpath"])
def test_broken_edit_is_told_and_the_last_good_one_served(filled, daemon, text, words):
    good = daemon.get("/projects").expect(200).json
    assert good["warnings"] == []
    filled.registry.write_text(text)
    for _ in range(3):
        served = daemon.get("/projects").expect(200).json
        assert served["projects"] == good["projects"]
        assert len(served["warnings"]) == 1 and words in served["warnings"][0]
    [event] = daemon.events("registry_invalid")
    assert words in event and str(filled.registry) in event

    filled.write_registry(PROJECTS[:1])
    assert len(daemon.get("/projects").json["projects"]) == 1
    assert len(daemon.events("registry_mended")) == len(daemon.events("registry_invalid")) == 1


def test_broken_edit_degrades_health_and_every_answer_that_depends_on_it(filled, daemon):
    daemon.get("/projects").expect(200)
    filled.registry.write_text("{\n]")
    pack = daemon.post("/context/build", {"prompt": "isopropanol", "project": "p05"}).expect(200)
    assert pack.json["chunks_used"] == 1
    [degraded] = pack.json["retrieval"]["degraded"]
    assert degraded.startswith("registry_invalid: ") and "line 2" in degraded
    daemon.post("/projects/p05/refresh").expect(200)
    assert daemon.get("/stats").expect(200).json["projects"] == 2
    detail = wait_for_registry(daemon, "degraded")
    assert "line 2" in detail and str(filled.registry) in detail
    filled.write_registry(PROJECTS)
    wait_for_registry(daemon, "ok")


def test_registry_that_disappears_is_served_on_until_it_is_back(filled, daemon):
    daemon.get("/projects").expect(200)
    text = filled.registry.read_text()
    filled.registry.unlink()
    for _ in range(3):
        served = daemon.get("/projects").expect(200).json
        assert len(served["projects"]) == 2 and str(filled.registry) in served["warnings"][0]
    assert str(filled.registry) in wait_for_registry(daemon, "degraded")
    assert len(daemon.events("registry_missing")) == 1
    filled.registry.write_text(text)
    assert daemon.get("/projects").json["warnings"] == []
    wait_for_registry(daemon, "ok")
    assert len(daemon.events("registry_mended")) == 1


def test_daemon_that_starts_has_only_the_file(filled, start_daemon):
    filled.registry.write_text("{")
    daemon = start_daemon()
    problem(daemon.get("/projects"), 503, "registry_invalid")
    assert daemon.events("registry_invalid")


def test_daemon_does_not_end_while_it_alone_has_the_registry(filled, activate, tcp_socket):
    daemon = activate({"http": tcp_socket}, "--idle-timeout", 1)
    filled.registry.unlink()
    daemon.get("/projects").expect(200)
    with pytest.raises(AssertionError):
        wait_until(lambda: daemon.process.poll() is not None, deadline=2.5)
    filled.write_registry(PROJECTS)
    daemon.get("/projects").expect(200)
    assert daemon.process.wait(timeout=60) == 0


def test_backup_and_restore_know_only_the_registry(filled, run_op, start_daemon):
    daemon = start_daemon()
    register(daemon, NEW).expect(201)
    daemon.stop()
    kept = previous(filled).read_bytes()
    stamp = run_op("atocore-backup", "--json").expect(0).json["stamp"]
    assert os.listdir(filled.snapshots / stamp / "config") == ["project-registry.json"]
    filled.write_registry([])
    run_op("atocore-restore", stamp).expect(0)
    assert projects(filled) == [*PROJECTS, NEW]
    assert previous(filled).read_bytes() == kept
