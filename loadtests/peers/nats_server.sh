#!/bin/sh
# Says where a nats-server is: "found PATH", or "absent REASON".
#
#   nats_server.sh HOME             one that is installed, or was unpacked below HOME before
#   nats_server.sh HOME --install   if there is none: Debian's package, unpacked below HOME; nothing is installed for real
set -eu

package=nats-server
home=$1/$package
unpacked=$home/root/usr/sbin/$package

absent() {
    echo "absent $*"
    exit 0
}

if installed=$(command -v $package); then
    echo "found $installed"
elif [ -x "$unpacked" ]; then
    echo "found $unpacked"
elif [ "${2:-}" != --install ]; then
    absent "no $package is installed; --install 1 takes Debian's and unpacks it"
elif ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    absent "no $package is installed, and there is no apt to fetch one"
else
    mkdir -p "$home"
    cd "$home"
    rm -f ./*.deb
    # Its sandbox's user cannot write everywhere; the lists may never have been fetched.
    fetch="apt-get -q -o APT::Sandbox::User=root download $package"
    $fetch >&2 || { apt-get -q update >&2 && $fetch >&2; } || absent "apt cannot fetch $package"
    dpkg-deb -x ./*.deb root >&2 || absent "the package of $package cannot be unpacked"
    [ -x "$unpacked" ] || absent "the package of $package has no ${unpacked#"$home"/root}"
    echo "found $unpacked"
fi
