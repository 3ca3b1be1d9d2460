#!/usr/bin/env bash
# Which Debian 12 packages what needs. Prints them for the purposes named, all without:
#     scripts/packages.sh [build] [test] [npm]
# Sourced, it gives package_list, missing_packages and install_packages.

package_list() {
    local purpose
    for purpose in "$@"; do
        case $purpose in
        build) # the program itself
            echo gcc libc6-dev meson ninja-build pkg-config
            echo libjansson-dev libcyaml-dev libyaml-dev libxxhash-dev libutf8proc-dev
            echo libpcre2-dev libedit-dev libmicrohttpd-dev libgnutls28-dev libsodium-dev
            echo libcurl4-gnutls-dev libsqlite3-dev libpq-dev libseccomp-dev tzdata
            ;;
        test) # the second compiler, sanitizers, fuzzers, checkers; locales to test numbers in
            echo libcmocka-dev clang-14 libclang-rt-14-dev llvm-14 clang-format-14
            echo binutils locales openssl python3 python3-numpy python3-jinja2
            echo python3-jsonschema python3-torch libopenblas0-pthread curl
            echo postgresql
            ;;
        npm) # oracles, clients, a browser; node itself comes from the lock file of tests/oracle
            command -v npm > /dev/null || echo npm
            echo chromium
            ;;
        *)
            echo "packages.sh: no packages for '$purpose'" >&2
            return 1
            ;;
        esac
    done
}

missing_packages() {
    local package
    for package in $(package_list "$@"); do
        if [[ $(dpkg-query -W -f '${Status}' "$package" 2> /dev/null) != *"ok installed" ]]; then
            echo "$package"
        fi
    done
}

# install_packages yes|no PURPOSE...: installs what is missing, or says what it would be.
install_packages() {
    local wanted=$1
    shift
    if ! command -v dpkg-query > /dev/null; then
        echo "This is no Debian system. Needed are the equivalents of:" $(package_list "$@") >&2
        return 0
    fi
    local missing
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]} == 0)); then
        return 0
    fi
    if [[ $wanted == no ]]; then
        echo "Missing packages: ${missing[*]}"
        return 1
    fi
    local as_root=()
    if ((EUID != 0)); then
        if ! command -v sudo > /dev/null; then
            echo "Not root and no sudo. As root: apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "Installing ${missing[*]}"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get -qq -o DPkg::Lock::Timeout=120)
    "${apt[@]}" update > /dev/null ||
        echo "apt-get update failed; trying with the lists there are" >&2
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" > /dev/null
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    if (($# == 0)); then
        set -- build test npm
    fi
    package_list "$@"
fi
