#!/bin/sh
# Build the image for a CPU and run it where there is no container engine: a Debian root by debootstrap is the base, and
# buildah works in a chroot. As root on Debian, after: apt-get install debootstrap buildah
#
#   sh docker/build-cpu.sh [OPTIONS OF buildah build …]
#
# Behind a proxy with a certificate of its own: --volume /etc/ssl/certs:/etc/ssl/certs:ro --volume /etc/pip.conf:/etc/pip.conf:ro
# with `cert = /etc/ssl/certs/ca-certificates.crt` in pip.conf.
#
# Everything lies in a folder below TMPDIR (default /tmp) that is removed at the end; some 5 GB for a while.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/ctrobust-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export BUILDAH_ISOLATION=chroot

box() {
    buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"
}

debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$work/root"
base=$(box from scratch)
box copy --quiet "$base" "$work/root" /
box commit --quiet --rm "$base" localhost/debian
rm -rf "$work/root"

box build --format docker --build-arg BASE=localhost/debian --tag ctrobust:cpu "$@" .

container=$(box from ctrobust:cpu)
mkdir -m 1777 "$work/runs"
try() {
    box run --volume "$work/runs:/runs" "$container" -- "$@"
}
try ctrobust doctor
try ctrobust-train tiny --out /runs/tiny
test -s "$work/runs/tiny/report.html"
# Without rights, and with none of the base's files made its own.
test "$(stat -c %u "$work/runs/tiny/report.html")" = 1000
box images
