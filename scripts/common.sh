# What the other scripts share: words, and the installing of what is missing.
# It is sourced, with the repository as the working directory.

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

die() {
    echo "scripts/$(basename "$0"): $*" >&2
    exit 1
}

# Docker's names of the architectures, below which scripts/build puts what it makes.
declare -A DOCKER_NAMES=([x86_64]=amd64 [aarch64]=arm64 [armv7]=arm [riscv64]=riscv64)

this_architecture() {
    case $(uname -m) in
        x86_64 | aarch64 | riscv64) uname -m ;;
        arm64) echo aarch64 ;;
        armv7l) echo armv7 ;;
        *) die "there is no static file for $(uname -m); there are ${!DOCKER_NAMES[*]}" ;;
    esac
}

# require WHAT TEST PACKAGES...: makes TEST succeed, with Debian's PACKAGES if it does not yet.
require() {
    local what=$1 present=$2
    shift 2
    if $present; then return; fi
    say "$what is missing: installing $*"
    apt_install "$@" || true
    $present || die "$what is missing and could not be installed; by hand: sudo apt-get install $*"
}

# Debian starts a server once it is installed; the tests start their own. policy-rc.d is how Debian is told
# not to, see https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt.
apt_install() {
    local as_root=() policy=/usr/sbin/policy-rc.d own_policy=no done=0
    command -v apt-get >/dev/null || return
    if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
    if [ ! -e $policy ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin $policy
    fi
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@" >/dev/null || done=$?
    if [ $own_policy = yes ]; then "${as_root[@]}" rm -f $policy; fi
    return $done
}
