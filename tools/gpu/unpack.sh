#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Joins and verifies the parts of a library that pack.sh made.
#
#   tools/gpu/unpack.sh <folder with the parts> <library's file name> <target folder>
set -euo pipefail
[ $# -eq 3 ] || { sed -n '3,5s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$3"
parts=$(realpath "$1") name=$2 target=$(realpath "$3")
cd "$parts"
sha256sum --check --quiet "$name.parts.sha256"
cat "$name".xz.* | xz -dc > "$target/$name"
(cd "$target" && sha256sum --check --quiet "$parts/$name.sha256")
printf 'unpack: %s\n' "$target/$name"
