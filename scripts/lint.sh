#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make lint`: runs every check, reports all of them, fails if one failed. `make format` mends what can be mended.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
failed=()
check() {
  local name=$1
  shift
  printf -- '--- %s\n' "$name"
  "$@" || failed+=("$name")
}
check clang-format  bash -c "git ls-files -z '*.h' '*.cpp' | xargs -0 -r clang-format --dry-run -Werror"
check ruff          ruff check .
check ruff-format   ruff format --check .
check mypy          mypy
check layering      python scripts/check_layering.py
check conventions   python scripts/check_conventions.py
if [ ${#failed[@]} -gt 0 ]; then
  printf 'lint: failed: %s\n' "${failed[*]}" >&2
  exit 1
fi
printf 'lint: all passed\n'
