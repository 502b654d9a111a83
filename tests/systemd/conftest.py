# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests on a real systemd: one container is booted for all of them."""

import pytest

from support.container import Container, unavailable


@pytest.fixture(scope="session")
def container():
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    container = Container()
    try:
        yield container
    finally:
        container.close()
