# SPDX-License-Identifier: Apache-2.0
"""The locale of the process and the random numbers of each test, for all tests."""

from __future__ import annotations

import atexit
import ctypes
import locale
import os
import shutil
import tempfile

import pytest

pytest.register_assert_rewrite("tests.conformance.harness")  # a failure there says what differs


def _set_locale(name: str) -> None:
    """As a program does that takes its user's locale: for C, and for C++, which Python itself leaves alone."""
    library = ctypes.CDLL("libstdc++.so.6")
    chosen, before = ctypes.c_void_p(), ctypes.c_void_p()  # a std::locale is a pointer
    library._ZNSt6localeC1EPKc(ctypes.byref(chosen), name.encode())
    library._ZNSt6locale6globalERKS_.restype = None
    library._ZNSt6locale6globalERKS_(ctypes.byref(before), ctypes.byref(chosen))
    locale.setlocale(locale.LC_ALL, name)


if _name := os.environ.get("TORCHTRT_TEST_LOCALE"):
    _set_locale(_name)


# Timings of a GPU's kernels are a file that all processes share by default. Processes that build thousands of small
# engines would queue for it, and a test would find what others left there.
if "TORCHTRT_CACHE_DIR" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["TORCHTRT_CACHE_DIR"] = tempfile.mkdtemp(prefix="torchtrt-tests-")
    atexit.register(shutil.rmtree, os.environ["TORCHTRT_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """The same inputs in every run: what exceeds a tolerance once in a thousand draws is no finding about a change."""
    import torch  # not before the locale is set

    torch.manual_seed(0)
