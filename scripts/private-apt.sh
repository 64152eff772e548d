# Scripts that fetch packages into build/ source this. It runs apt with separate package lists and a separate cache, in $folder/apt. It uses the system's
# list of sources and changes nothing in the system. Packages are unpacked, never installed.
# shellcheck shell=bash disable=SC2154

fail() {
    echo "$*"
    exit 1
}

# Makes a configuration of apt that changes nothing in the system. Usage: configure NAME [SOURCES]
# With SOURCES no package counts as installed, so a package comes with all that it needs.
configure() {
    local state=$folder/apt/$1
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    {
        echo "Dir::State::Lists \"$state/lists\";"
        echo "Dir::Cache \"$state/cache\";"
        echo 'Debug::NoLocking "true";'
        echo 'APT::Sandbox::User "root";'
        echo 'Acquire::Languages "none";'
        # A mirror may be some weeks old.
        echo 'Acquire::Check-Valid-Until "false";'
        echo '#clear APT::Update::Pre-Invoke;'
        echo '#clear APT::Update::Post-Invoke;'
        echo '#clear APT::Update::Post-Invoke-Success;'
        if [[ -n ${2:-} ]]; then
            : >"$state/status"
            printf '%s\n' "$2" >"$state/sources.list"
            echo "Dir::State::status \"$state/status\";"
            echo "Dir::Etc::sourcelist \"$state/sources.list\";"
            echo 'Dir::Etc::sourceparts "/dev/null";'
        fi
    } >"$state/apt.conf"
}

apt() {
    local configuration=$folder/apt/$1/apt.conf command=$2
    shift 2
    "$command" -c "$configuration" "$@"
}

# Fetches the lists of packages from the system's sources, once.
system_lists=
update_system() {
    [[ -n $system_lists ]] && return
    configure system
    apt system apt-get -qq update >"$folder/apt.log" 2>&1 || fail "apt-get update fails: $(tail -n 1 "$folder/apt.log")"
    system_lists=yes
}

# Prints lines for sources.list: one release of Debian, from the mirrors of the system.
sources_of() {
    local release=$1 uri suite keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
    if [[ -f $keyring ]]; then
        signed="[signed-by=$keyring] "
    fi
    # shellcheck disable=SC2016
    apt system apt-get indextargets --format '$(REPO_URI) $(RELEASE)' \
        "Created-By: Packages" "Origin: Debian" "Component: main" "Architecture: amd64" | sort -u |
        while read -r uri suite; do
            case $suite in
            *-security) suite=$release-security ;;
            *-updates | *-backports | *-proposed-updates) continue ;;
            *) suite=$release ;;
            esac
            # The mirror has no such suite.
            [[ $suite == sid-security ]] || echo "deb $signed$uri $suite main"
        done
}

# Makes a configuration for another release of Debian, with its name.
update_release() {
    local release=$1 sources
    update_system
    sources=$(sources_of "$release")
    [[ -n $sources ]] || fail "apt's sources name no mirror of Debian that answers: $(tail -n 1 "$folder/apt.log")"
    configure "$release" "$sources"
    # The mirror may have lost one suite and still have the other. What counts is that the package is found.
    apt "$release" apt-get -qq update >"$folder/apt.log" 2>&1 || true
}

# Prints these packages, and all that they need and the configuration does not have.
closure() {
    local configuration=$1 packages
    shift
    packages=$(apt "$configuration" apt-get -s install --reinstall --no-install-recommends "$@" 2>"$folder/apt.log" |
        sed -n 's/^Inst \([^ ]*\).*/\1/p') || true
    [[ -n $packages ]] || fail "no package $1: $(tail -n 1 "$folder/apt.log")"
    echo "$packages"
}

# Unpacks packages. Usage: unpack CONFIGURATION INTO PACKAGE...
unpack() {
    local configuration=$1 into=$2 package
    shift 2
    rm -rf "$folder/debs" "$into.part"
    mkdir -p "$folder/debs" "$into.part"
    (cd "$folder/debs" && apt "$configuration" apt-get -qq download "$@") >"$folder/apt.log" 2>&1 ||
        fail "can't download $1: $(tail -n 1 "$folder/apt.log")"
    for package in "$folder"/debs/*.deb; do
        dpkg -x "$package" "$into.part"
    done
    rm -rf "$folder/debs" "$into"
    mv "$into.part" "$into"
}

command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "there is no apt to fetch it with"
