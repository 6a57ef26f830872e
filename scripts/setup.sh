#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make setup`: everything that the build and the tests need, inside the checkout.
#
#   scripts/setup.sh [requirements file]      default: requirements/dev.txt
#
# Creates .venv and installs the pinned Python packages into it. What only the distribution has (a compiler, GoogleTest)
# is installed when this user may (root with apt-get); otherwise the script stops with the one line to run.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=${1:-requirements/dev.txt}
python=${PYTHON:-python3}

say() { printf '\033[1m%s\033[0m\n' "setup: $*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# --- 1. the distribution's packages ---------------------------------------------------------------------------------
missing=()
command -v git >/dev/null || missing+=(git)
command -v g++ >/dev/null || missing+=(g++)
[ -e /usr/include/gtest/gtest.h ] || [ -e /usr/local/include/gtest/gtest.h ] || missing+=(libgtest-dev)
# Only makes building again faster; installed when something else has to be anyway.
[ ${#missing[@]} -eq 0 ] || command -v ccache >/dev/null || missing+=(ccache)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "installing ${missing[*]} with apt-get"
    apt-get update -q || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
  else
    die "missing: ${missing[*]}. Install with:  sudo apt-get install -y ${missing[*]}   (or your system's equivalents)"
  fi
fi
gcc_major=$(g++ -dumpversion | cut -d. -f1)
[ "$gcc_major" -ge 12 ] || die "g++ 12 or newer is needed for C++20, found $(g++ -dumpversion)"

# --- 2. Python ------------------------------------------------------------------------------------------------------
if [ ! -x .venv/bin/python ]; then
  command -v "$python" >/dev/null || die "$python was not found; name one with: make setup PYTHON=/path/to/python3"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "Python 3.11 or newer is needed (torch 2.15 has no older wheels), $python is $("$python" -V); name another with: make setup PYTHON=/path/to/python3"
  say "creating .venv with $("$python" -V)"
  "$python" -m venv .venv || die "$python cannot create virtual environments; install its venv module (Debian: apt-get install python3-venv)"
fi
say "installing $requirements into .venv (torch and its libraries are about 5 GB on the first run)"
.venv/bin/python -m pip install --disable-pip-version-check --no-input -r "$requirements" -c requirements/lock.txt |
  { grep -v '^Requirement already satisfied' || true; }

# --- 3. the checkout's own package, importable without being installed ----------------------------------------------
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
printf '%s\n' "$PWD/py" > "$site/torchtrt_checkout.pth"
say "done"
