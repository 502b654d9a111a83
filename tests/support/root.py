# SPDX-License-Identifier: LGPL-2.1-or-later
"""A scratch storage root: the tree of docs/architecture.md, as tmpfiles makes it."""

import json
import os
import sqlite3

DIRECTORIES = (
    "config", "data/db", "data/cache", "data/tmp", "data/locks", "sources/vault", "sources/drive",
    "logs", "backups/snapshots", "backups/archives", "backups/pre-restore", "backups/state",
)


class Root:
    def __init__(self, path):
        self.path = path
        self.registry = path / "config" / "project-registry.json"
        self.database = path / "data" / "db" / "atocore.db"
        self.chroma = path / "data" / "chroma"
        self.locks = path / "data" / "locks"
        self.vault = path / "sources" / "vault"
        self.drive = path / "sources" / "drive"
        self.backups = path / "backups"
        self.snapshots = path / "backups" / "snapshots"
        self.state = path / "backups" / "state"
        path.mkdir(mode=0o750, exist_ok=True)
        for name in DIRECTORIES:
            directory = path
            for part in name.split("/"):
                directory = directory / part
                directory.mkdir(exist_ok=True)
                directory.chmod(0o750)

    def write(self, name, content):
        """A file below the root, directories made as needed; text or bytes."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o640)
        return path

    def write_registry(self, projects):
        """projects: the list of the registry, or anything else to be written as it is."""
        document = {"projects": projects} if isinstance(projects, list) else projects
        return self.write("config/project-registry.json", json.dumps(document, indent=2) + "\n")

    def make_database(self, script="CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
                                   "INSERT INTO notes(body) VALUES ('one'), ('two'), ('three');"):
        """A live database that AtoCore did not make."""
        with sqlite3.connect(self.database) as connection:
            connection.executescript(script)
        connection.close()
        self.database.chmod(0o640)
        return self.database

    def stamps(self):
        """Published snapshots, oldest first."""
        return sorted(entry.name for entry in self.snapshots.iterdir()
                      if not entry.name.startswith("."))

    def leftovers(self):
        """What unfinished operations left in backups/snapshots."""
        return sorted(entry.name for entry in self.snapshots.iterdir()
                      if entry.name.startswith("."))


def tree(path):
    """{relative name: (mode, content)} of everything below a directory: to compare before with
    after. Links are given by their target, directories by None."""
    found = {}
    for directory, directories, files in os.walk(path):
        for name in directories + files:
            full = os.path.join(directory, name)
            status = os.lstat(full)
            if os.path.islink(full):
                content = os.readlink(full)
            elif os.path.isfile(full):
                with open(full, "rb") as file:
                    content = file.read()
            else:
                content = None
            found[os.path.relpath(full, path)] = (status.st_mode, content)
    return found
