# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many context packs a second one processor makes, and how long each of many clients waits."""

import json
import os
import pathlib
import re
import statistics

from made_root import MadeRoot
from measure import Broken, Skip, need, run, spread
from serve import memory, serving

CHUNKS = 30_000
PROMPTS = 200
CONNECTIONS = 32
ROUNDS = 3
SECONDS = 8
SECONDS_BEFORE = 2  # so that files are in memory and all threads are there
SCRIPT = pathlib.Path(__file__).with_name("context-build.lua")


def two_processors():
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise Skip("the daemon and wrk need a processor each")
    return processors[0], processors[-1]


def wrk(url, bodies, processor, seconds):
    """Requests per second, and the milliseconds within which 99 % were answered."""
    output = run(need("taskset"), "-c", processor, need("wrk"), "-t1", f"-c{CONNECTIONS}",
                 f"-d{seconds}", "--timeout", "30", "--latency", "-s", SCRIPT, url, "--",
                 bodies).output
    found = re.search(r"^measured ([\d.]+) (\d+) (\d+) ([\d.]+)$", output, re.MULTILINE)
    if not found or found[2] != "0" or found[3] != "0":
        raise Broken(f"wrk {url}: {output}")
    return float(found[1]), float(found[4])


def measure_throughput(report, scratch, inputs):
    own_processor, other = two_processors()
    need("wrk")
    made = MadeRoot(report, scratch, inputs, CHUNKS)
    bodies = scratch / "bodies"
    bodies.write_text("".join(json.dumps({"prompt": prompt}) + "\n"
                              for prompt in made.prompts(PROMPTS)))
    with serving(made.root, scratch, preexec_fn=lambda: os.sched_setaffinity(
            0, {own_processor})) as daemon:
        url = daemon.url + "/context/build"
        wrk(url, bodies, other, SECONDS_BEFORE)
        rates, waits = zip(*(wrk(url, bodies, other, SECONDS) for _ in range(ROUNDS)))
        resident, anonymous = memory(daemon.process.pid)
    report.say(f"{spread(rates, 'requests/s')}, 99 % within {spread(waits, 'ms')}; "
               f"RSS {resident:.1f} MiB, RssAnon {anonymous:.1f} MiB")
    report.value("POST /context/build on one processor", statistics.median(rates), "requests/s",
                 at_least=1000)
    report.value("POST /context/build, 99 % within", statistics.median(waits), "ms", at_most=80)
    report.value("atocored under load, RSS", resident, "MiB", at_most=64)
