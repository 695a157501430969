#!/bin/sh
# Makes sure that the tools of one purpose (demo or test) are on this machine.
#
#   scripts/setup-system.sh demo|example|test
#
# As root on Debian or Ubuntu it installs what is missing. Otherwise it says what is missing and how to get it: the demo
# and the example cannot go on without their tools; the tests can (those that need a missing tool are skipped), unless
# MBGEN_REQUIRE_TOOLS=1 asks for all of them.
set -eu

PYTHON=${PYTHON:-python3}

# One tool a line: the Debian package, then a command that succeeds when the tool is there.
demo_tools() {
    cat <<TOOLS
python3       command -v $PYTHON
python3-venv  $PYTHON -c 'import ensurepip, venv'
gcc           command -v gcc
libc6-dev     printf '#include <stdint.h>\n#include <math.h>\n' | gcc -E -
TOOLS
}

example_tools() {
    demo_tools
    cat <<'TOOLS'
make                       command -v make
gcc-arm-none-eabi          command -v arm-none-eabi-gcc
libnewlib-arm-none-eabi    printf '#include <stdint.h>\n' | arm-none-eabi-gcc -E -
qemu-system-arm            command -v qemu-system-arm
TOOLS
}

test_tools() {
    example_tools
    cat <<'TOOLS'
g++                        command -v g++
cmake                      command -v cmake
ninja-build                command -v ninja
clang                      command -v clang
gcc-aarch64-linux-gnu      command -v aarch64-linux-gnu-gcc
g++-aarch64-linux-gnu      command -v aarch64-linux-gnu-g++
libc6-dev-arm64-cross      printf '#include <stdint.h>\n' | aarch64-linux-gnu-gcc -E -
qemu-user                  command -v qemu-aarch64
chromium                   command -v chromium
libjpeg-dev                printf '#include <stdio.h>\n#include <jpeglib.h>\n' | gcc -E -
llvm-19                    command -v llvm-mca-19
openssh-client             command -v ssh
openssh-server             PATH=$PATH:${SBIN:-/usr/sbin}; command -v sshd
cppcheck                   command -v cppcheck
TOOLS
}

missing() {
    separator=
    "${purpose}_tools" | while read -r package probe; do
        sh -c "$probe" >/dev/null 2>&1 || { printf '%s%s' "$separator" "$package" && separator=' '; }
    done
}

purpose=${1:-}
case $purpose in
    demo | example | test) ;;
    *)
        echo "usage: $0 demo|example|test" >&2
        exit 2
        ;;
esac

packages=$(missing)
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing from Debian: $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -o Acquire::Retries=3 update
    # shellcheck disable=SC2086  # one word a package
    apt-get -q -o Acquire::Retries=3 install --yes --no-install-recommends $packages
    packages=$(missing)
fi

if [ -n "$packages" ]; then
    {
        echo "These tools are missing; the names are those of Debian's and Ubuntu's packages:"
        echo "    $packages"
        echo "Install them as root with"
        echo "    apt-get update && apt-get install --yes --no-install-recommends $packages"
    } >&2
    if [ "$purpose" != test ] || [ "${MBGEN_REQUIRE_TOOLS:-}" = 1 ]; then
        exit 1
    fi
    echo "Going on without them: the tests that need them are skipped." >&2
fi

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "mbgen needs Python 3.10 or later; $PYTHON is $("$PYTHON" --version). Name another one: make PYTHON=python3.12 ..." >&2
    exit 1
}
