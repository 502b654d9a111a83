# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests share; conftest.py makes fixtures of it."""
