# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pairs of keys to encrypt archives with."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile

from support.run import run
from support.wait import wait_until


@dataclasses.dataclass
class Keys:
    kind: str
    recipient: str
    secret: pathlib.Path  # what --identity takes
    public: pathlib.Path  # None: the recipient is all there is to it

    @property
    def settings(self):
        """Lines of atocore.conf."""
        key = f"archive_gpg_key={self.public}\n" if self.public else ""
        return f"archive_encrypt={self.kind}:{self.recipient}\n{key}"


@contextlib.contextmanager
def gpg_home():
    """gpg and its options, with a home of its own: the socket of its agent needs a short name."""
    home = tempfile.mkdtemp(prefix="gpg-", dir="/tmp")
    try:
        yield ["gpg", "--homedir", home, "--batch", "--no-tty", "--quiet"]
    finally:
        run(["gpgconf", "--homedir", home, "--kill", "all"])
        # The agent removes its sockets while it ends.
        wait_until(lambda: shutil.rmtree(home, ignore_errors=True) or not os.path.exists(home))


def make_age(directory, name):
    secret = directory / f"{name}.age-key"
    run(["age-keygen", "-o", secret]).expect(0)
    recipient = run(["age-keygen", "-y", secret]).expect(0).stdout.strip()
    return Keys("age", recipient, secret, None)


def make_gpg(directory, name):
    public, secret = directory / f"{name}.asc", directory / f"{name}.gpg-key"
    with gpg_home() as gpg:
        run([*gpg, "--passphrase", "", "--quick-generate-key", f"{name}@example.org",
             "future-default", "default", "never"]).expect(0)
        listed = run([*gpg, "--list-keys", "--with-colons"]).expect(0).stdout
        recipient = next(line.split(":")[9] for line in listed.splitlines()
                         if line.startswith("fpr"))
        public.write_text(run([*gpg, "--armor", "--export"]).expect(0).stdout)
        secret.write_text(run([*gpg, "--armor", "--export-secret-keys"]).expect(0).stdout)
    return Keys("gpg", recipient, secret, public)


MAKE = {"age": make_age, "gpg": make_gpg}
