# The base of the shell tests in this folder. scripts/run-tests sets the environment.
# shellcheck shell=bash
set -euo pipefail
: "${VHUSHMEM_SOURCE:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
: "${VHUSHMEM_STAGE:=$VHUSHMEM_SOURCE/build/stage}"
: "${VHUSHMEM_LIBRARY:=$VHUSHMEM_STAGE/lib/libvhushmem.so}"
export PKG_CONFIG_PATH=$VHUSHMEM_STAGE/lib/pkgconfig
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$*"
    exit 1
}
