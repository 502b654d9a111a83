# SPDX-License-Identifier: LGPL-2.1-or-later
"""Storage roots with a large vault that was made and ingested, and what asks them."""

import hashlib
import json
import pathlib

import made_vault
import measure
from measure import Skip
from support import build
from support.root import Root

VAULT = build.DATA / "vault"
BYTES_PER_CHUNK = 4000  # on the disk, with its share of the vault and of all indexes


def make_vault():
    if not VAULT.is_dir():
        raise Skip(f"no test data at {VAULT}")
    return made_vault.MadeVault(VAULT)


def write_pages(vault, root, enough, page_bytes=None):
    """Pages into the vault of a storage root, until enough(pages, sections, bytes); these three.
    With page_bytes, pages get more sections so that they are at least so long in the mean."""
    pages = sections = size = 0
    while not enough(pages, sections, size):
        page = vault.page(page_bytes * (pages + 1) - size if page_bytes else 0)
        path = root.vault / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        content = page.text.encode()
        path.write_bytes(content)
        pages, sections, size = pages + 1, sections + page.sections, size + len(content)
    return pages, sections, size


class MadeRoot:
    """Of about so many chunks. What an earlier run of the same maker kept is ingested again: that
    brings its database up to date, and finds nothing to do where nothing changed."""

    def __init__(self, report, scratch, inputs, chunks):
        maker = hashlib.sha256(pathlib.Path(made_vault.__file__).read_bytes()).hexdigest()[:8]
        self.directory = (inputs.keep or scratch).resolve() / f"vault-{chunks}-{maker}"
        whole = self.directory / "made.json"
        vault = make_vault()
        if not whole.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            measure.need_space(self.directory, chunks * BYTES_PER_CHUNK)
        self.root = Root(self.directory / "root")
        if not whole.exists():
            made = write_pages(vault, self.root, lambda _, sections, __: sections >= chunks)
            whole.write_text(json.dumps(made))
        ingest = measure.operation("atocore-ingest", self.root, "--quiet", "--json")
        added = json.loads(ingest.output)["chunks_added"]
        self.pages, sections, size = json.loads(whole.read_text())
        report.say(f"{self.pages} pages, {sections} sections, {size / 1e6:.0f} MB; ingest in "
                   f"{ingest.seconds:.0f} s adds {added} chunks, "
                   f"{ingest.memory / measure.MIB:.0f} MiB of memory")
        self.vault = vault

    def prompts(self, count):
        return self.vault.prompts(count, self.pages)

    def write_prompts(self, path, count):
        path.write_text("".join(prompt + "\n" for prompt in self.prompts(count)))
        return path
