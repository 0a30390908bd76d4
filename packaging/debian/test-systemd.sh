#!/bin/bash
# Has a systemd of its own run the packaged service, and plays what happens to services:
# start, restart, reload, upgrade, death, a hang, the kill switch. It runs in a copy of
# this machine's file system, in namespaces of its own: nothing outside of it changes.
#
#     packaging/debian/test-systemd.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${INSIDE:-}" = '' ]; then
    [ "$(id -u)" = 0 ] || { echo 'make test-systemd needs root, for a copy of /' >&2; exit 1; }
    [ -x /lib/systemd/systemd ] || { echo 'there is no systemd here to try it with' >&2; exit 1; }
    package=$(realpath "$1"/hotpatch_*.deb)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cp "$package" "$work/hotpatch.deb"
    # Never one of this machine's files: what has patches is held wherever it runs.
    gcc -std=gnu17 -O2 -g -Wl,--build-id="0x$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')" \
        -o "$work/early" Tests/Fixtures/watching/early.c
    cp Tests/Fixtures/watching/early-fix.c "$work"
    # Another systemd of this machine minds every group but those below this one.
    group=$(findmnt --first-only --noheadings --output TARGET --types cgroup2)/hotpatch-test-$$
    mkdir "$group"
    (
        echo "$BASHPID" > "$group/cgroup.procs"
        exec unshare --mount --propagation private --pid --fork --uts --ipc --cgroup \
            env INSIDE=1 "$0" "$work"
    ) 2>> "$work/log" &
    boot=$!
    end() {
        local init
        init=$(pgrep -P "$boot" || true)
        [ -z "$init" ] || kill -KILL "$init" 2> /dev/null || true
        wait "$boot" 2> /dev/null || true
        rm -rf "$work"
        find "$group" -depth -type d -exec rmdir {} \;
    }
    trap end EXIT
    until [ -e "$work/ready" ]; do
        kill -0 "$boot" 2> /dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.2
    done
    init=$(pgrep -P "$boot")
    nsenter --target "$init" --mount --pid --uts --ipc --cgroup --root --wdns=/ \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin /work/play.sh
    exit
fi

# Becomes the init of the copy.
work=$1
exec >> "$work/log" 2>&1
cat > "$work/ready.service" <<'END'
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/touch /work/ready
END
base=/mnt
mount -t tmpfs tmpfs $base
mkdir $base/upper $base/copying $base/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/copying" $base/root
root=$base/root
mkdir -p "$root/work"
mount --bind "$work" "$root/work"
cp packaging/debian/play-systemd.sh "$root/work/play.sh"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do cp -a /dev/$device "$root/dev"; done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# What would change the kernel, which is everybody's.
for unit in systemd-sysctl systemd-modules-load systemd-binfmt systemd-udevd systemd-random-seed \
    systemd-tmpfiles-setup-dev systemd-remount-fs systemd-logind systemd-networkd \
    systemd-resolved systemd-timesyncd; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
done
for mount in proc-sys-fs-binfmt_misc.automount dev-hugepages.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount sys-fs-fuse-connections.mount; do
    ln -sf /dev/null "$root/etc/systemd/system/$mount"
done
mkdir -p "$root/etc/systemd/system/basic.target.wants"
mv "$work/ready.service" "$root/etc/systemd/system/tried.service"
ln -sf ../tried.service "$root/etc/systemd/system/basic.target.wants/tried.service"
# Images for containers forbid maintainer scripts all work on services.
rm -f "$root/usr/sbin/policy-rc.d"
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > "$root/etc/machine-id"
# Not chroot: systemd makes sandboxes of the namespace's own root only.
cd "$root"
mkdir -p before
pivot_root . before
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other chroot . /bin/sh -c \
    'umount -l /before; exec /lib/systemd/systemd --system --unit=basic.target --show-status=0'
