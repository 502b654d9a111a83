# SPDX-License-Identifier: LGPL-2.1-or-later
"""Vectors in the sandbox: by the drop-in that is ready to copy, and not without it."""

import pytest

from support import build
from support.wait import wait_until

UNITS = ("atocore.service", "atocore-ingest.service")
SERVERS = "/var/lib/vector-servers"
CHROMA, EMBEDDER = 8198, 8197
MAIN = f"""
import signal, vectors
servers = vectors.FakeChroma({CHROMA}), vectors.Embedder({EMBEDDER})
signal.pause()
"""


@pytest.fixture
def configured(filled):
    """Both servers run, the configuration names them, and a chunk has been ingested without."""
    filled.write(f"{SERVERS}/vectors.py", (build.PROJECT / "tests/support/vectors.py").read_text())
    filled.write("/etc/atocore/atocore.conf",
                 f"vector_store=chroma:http://127.0.0.1:{CHROMA}\n"
                 f"embedding=openai:http://127.0.0.1:{EMBEDDER}/v1/embeddings\n"
                 "vector_timeout_ms=60000\n")
    filled.run("systemd-run", "--quiet", "--unit=vector-servers", "--collect",
               f"--working-directory={SERVERS}", "/usr/bin/python3", "-c", MAIN)
    for port in (CHROMA, EMBEDDER):
        wait_until(lambda port=port: filled.run(
            "curl", "--silent", "--output", "/dev/null", f"http://127.0.0.1:{port}/",
            check=False).status == 0, "the servers")
    yield filled
    filled.systemctl("stop", "vector-servers.service", check=False)


def ask(container):
    return container.post("/query", {"prompt": "alignment"})["retrieval"]


def test_drop_in_opens_the_way_and_the_sandbox_stays(configured):
    assert ask(configured)["mode"] == "lexical"
    configured.systemctl("stop", "atocore.service")

    configured.drop_in_example("vectors", *UNITS)
    configured.path("/etc/credstore").mkdir(mode=0o700, exist_ok=True)
    configured.write("/etc/credstore/embedding-api-key", "secret\n", mode=0o600)
    configured.systemctl("start", "atocore-ingest.service")
    assert "vectors_pending" not in configured.events(UNITS[1])
    assert ask(configured) == {"mode": "hybrid", "candidates": 2, "degraded": []}
    assert configured.get("/health")["checks"]["vectors"]["status"] == "ok"

    text = configured.run("systemd-analyze", "--no-pager", "security", *UNITS).stdout
    ratings = [float(line.split(":")[1].split()[0]) for line in text.splitlines()
               if "Overall exposure level" in line]
    assert len(ratings) == 2 and max(ratings) <= 1.3
