# SPDX-License-Identifier: Apache-2.0
"""A plugin of pytest: prints what failed when it fails, since a machine with a GPU may be gone before the run ends."""

from __future__ import annotations

import os
import sys

import pytest

_MOST_CHARACTERS = 2000


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        text = report.longreprtext[-_MOST_CHARACTERS:]
        print(f"\nfailed: {report.nodeid} ({report.when})\n{text}", file=sys.stderr, flush=True)
