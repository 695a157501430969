#!/bin/sh
# Unpacks Debian's libjpeg-turbo for AArch64 into a folder; needs no root and leaves the system's packages alone.
set -eu

mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial"
cd "$1"

apt() {
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
        -o Dir::State="$PWD/apt" -o Dir::State::status=/dev/null -o Dir::Cache="$PWD/apt" "$@"
}

apt update
apt download libjpeg62-turbo-dev
dpkg-deb -x libjpeg62-turbo-dev_*_arm64.deb .
rm -r apt
