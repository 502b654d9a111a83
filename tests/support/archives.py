# SPDX-License-Identifier: LGPL-2.1-or-later
"""Archives as others would put them together: a list of [(header, content)]."""

import hashlib
import io
import os
import tarfile


def members_of(path):
    with tarfile.open(path) as archive:
        return [(member, archive.extractfile(member).read()) for member in archive.getmembers()]


def header(name, kind=tarfile.REGTYPE, size=0, link=""):
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, link
    return made


def put_together(path, members):
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
        for member, content in members:
            out.addfile(member, io.BytesIO(content))
        end = out.offset + 1024  # tarfile writes more zeroes than the two blocks of the end
    os.truncate(path, end)
    return path


def replace(members, changes):
    """With other contents ({path in the snapshot: bytes, or None for none}), and sums of these."""
    stamp = members[0][0].name.split("/")[0]
    files = [(member.name.split("/", 1)[1], content) for member, content in members[1:]]
    files = [(name, changes.get(name, content)) for name, content in files]
    files = [(name, content) for name, content in files if content is not None]
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files)
    return [(header(f"{stamp}/{name}", size=len(content)), content)
            for name, content in [("SHA256SUMS", sums.encode()), *files]]
