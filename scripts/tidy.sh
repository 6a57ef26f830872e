#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make tidy`: clang-tidy over the sources that include no torch header (those take minutes each).
#
#   scripts/tidy.sh [file...]      BUILD=<folder with compile_commands.json>, default build
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(git ls-files 'src/*.cpp' | grep -vE '^src/(torch|python)/|_test\.cpp$')
fi
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy -p "${BUILD:-build}" --quiet
