# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting for a condition. The one place in the tests that sleeps."""

import time

# Long enough for a loaded machine under sanitizers: it is only reached when something is wrong.
DEADLINE = 60.0


def wait_until(condition, what=None, deadline=DEADLINE, interval=0.01):
    """Calls condition() until it returns something true, which is returned. Past the deadline
    (seconds) the test fails, naming `what`."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(
                f"waited {deadline:g} s in vain for {what or condition.__name__}")
        time.sleep(interval)
