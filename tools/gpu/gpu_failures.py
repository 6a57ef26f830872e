# SPDX-License-Identifier: Apache-2.0
"""A plugin of pytest: prints what failed when it fails, since a machine with a GPU may be gone before the run ends."""

from __future__ import annotations

import sys

import pytest

_MOST_CHARACTERS = 2000


class _Failures:
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            text = report.longreprtext[-_MOST_CHARACTERS:]
            print(f"\nfailed: {report.nodeid} ({report.when})\n{text}", file=sys.stderr, flush=True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of xdist's, whose reports reach the process that started it
        config.pluginmanager.register(_Failures())
