# shellcheck shell=bash
# Bash scripts source this to run a VMM of demo/ or examples/ against its device. Both are compiled against the library in build/stage, as a user
# would do it. It changes to the folder of the tree, and makes a folder whose content goes when the script ends.
stage=$PWD/build/stage
folder=$(mktemp -d)
device=
clean_up() {
    if [[ -n $device ]]; then
        kill "$device" 2>/dev/null || true
        wait "$device" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# compile NAME SOURCE...: the program is $folder/NAME.
compile() {
    # shellcheck disable=SC2046 # each word of pkg-config is an argument
    cc -Wall -Wextra -O2 -g -I examples "${@:2}" -o "$folder/$1" $(PKG_CONFIG_PATH=$stage/lib/pkgconfig pkg-config --cflags --libs vhushmem) \
        -pthread "-Wl,-rpath,$stage/lib"
}

# start_device PROGRAM ARGUMENT...: runs PROGRAM, with the path of a socket before its arguments, and waits until it listens there.
start_device() {
    socket=$folder/vhost-user.sock
    "$1" "$socket" "${@:2}" &
    device=$!
    local i
    for ((i = 0; i < 2400; i++)); do
        [[ ! -S $socket ]] || return 0
        kill -0 "$device" 2>/dev/null || break
        sleep 0.05
    done
    echo "${0##*/}: the device did not listen at its socket" >&2
    exit 1
}

# run_vmm PROGRAM ARGUMENT...: the same for the VMM. It fails if the VMM or the device fails.
run_vmm() {
    local vmm_status=0 device_status=0 i
    timeout 240 "$1" "$socket" "${@:2}" || vmm_status=$?
    # The VMM has gone, so the device has little left to do. It must end by itself soon.
    for ((i = 0; i < 1200; i++)); do
        kill -0 "$device" 2>/dev/null || break
        sleep 0.1
    done
    kill "$device" 2>/dev/null || true
    wait "$device" || device_status=$?
    device=
    if ((vmm_status || device_status)); then
        echo "${0##*/}: failed (vmm: status $vmm_status, device: status $device_status)" >&2
        exit 1
    fi
}
