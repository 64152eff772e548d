# The functions that the tests of this folder share, to make packages and builds in other folders. scripts/run-tests sets the environment.
# shellcheck shell=bash
set -euo pipefail
: "${VHUSHMEM_SOURCE:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$*"
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

need() {
    local program
    for program; do
        command -v "$program" >/dev/null || skip "there is no $program"
    done
}

# Copies the tree as it is to a folder, without the files that a build made.
copy_tree() {
    mkdir -p "$1"
    (cd "$VHUSHMEM_SOURCE" && git ls-files -z --cached --others --exclude-standard | grep -zv '^Tests/fuzz/corpus/' |
        xargs -0 sh -c 'for name; do [ ! -e "$name" ] || printf "%s\0" "$name"; done' - | tar -c --null -T -) | tar -x -C "$1"
}
