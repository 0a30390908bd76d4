#!/bin/bash
# Installs, upgrades, removes and purges the package in a copy of this machine's file
# system, and looks at what that does and what it leaves. The copy is an overlay in a
# mount namespace of its own: nothing outside of it changes.
#
#     packaging/debian/test.sh FOLDER
set -euo pipefail

if [ "${INSIDE:-}" = "" ]; then
    [ "$(id -u)" = 0 ] || { echo 'make test-deb needs root, for a copy of /' >&2; exit 1; }
    package=$(realpath "$1"/hotpatch_*.deb)
    exec unshare --mount --propagation private env INSIDE=1 "$0" "$package"
fi

package=$1
base=$(mktemp -d)
mount -t tmpfs tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
root=$base/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
trap 'umount -R "$base"; rmdir "$base"' EXIT
cp "$package" "$root/tmp/hotpatch.deb"

# What the maintainer scripts would have systemd do, of which there is none here.
mkdir -p "$root/run/systemd/system"
cat > "$root/usr/local/bin/systemctl" <<'END'
#!/bin/sh
echo "$*" >> /tmp/systemctl.log
case " $* " in *' --state '*|*' is-active '*) exit 0 ;; esac
exec /usr/bin/systemctl --root=/ "$@" 2> /dev/null
END
chmod 755 "$root/usr/local/bin/systemctl"
# Images for containers forbid maintainer scripts all work on services.
rm -f "$root/usr/sbin/policy-rc.d"

inside() { chroot "$root" /usr/bin/env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
fail() { echo "failed: $*" >&2; exit 1; }
# A link may lead to what is there in the copy only.
has() { [ -e "$root/$1" ] || [ -L "$root/$1" ] || fail "$1 is not there"; }
hasnt() { [ ! -e "$root/$1" ] && [ ! -L "$root/$1" ] || fail "$1 is there"; }
asked() { grep -q -- "$1" "$root/tmp/systemctl.log"; }
# Everything but what dpkg and its triggers keep for themselves.
listing() {
    (cd "$root" && find . -xdev \( -path ./var/lib/dpkg -o -path ./var/cache -o -path ./var/log \
        -o -path ./tmp -o -path ./proc -o -path ./dev \) -prune -o -print | LC_ALL=C sort)
}

step() { echo "- $*"; }
before=$(listing)

step 'install: files are there, nothing is enabled or started'
inside dpkg --install /tmp/hotpatch.deb > /dev/null
inside dpkg --audit
has usr/bin/hotpatch
has usr/include/hotpatch.h
has usr/lib/systemd/system/hotpatch.service
has etc/hotpatch
hasnt etc/systemd/system/multi-user.target.wants/hotpatch.service
hasnt var/lib/hotpatch
! asked 'start\|enable' || fail 'the installation starts or enables the service'
[ "$(inside hotpatch --version)" = "$(dpkg-deb -f "$package" Version | sed 's/-1$//')" ] \
    || fail 'another version'
inside hotpatch doctor --format json > /dev/null
inside bash -n /usr/share/bash-completion/completions/hotpatch
for page in $(inside hotpatch --experimental-dump-help | tr , '\n' \
    | sed -n 's/.*"commandName" : "\(.*\)"/\1/p' | grep -v -x 'hotpatch\|help'); do
    has "usr/share/man/man1/hotpatch-$page.1.gz"
done
[ -z "$(inside find / -xdev -path '/usr/*' -name '*hotpatch*' ! -user root)" ] || fail 'not root'

step 'upgrade: a service that runs hands over to the new version, none is started'
: > "$root/tmp/systemctl.log"
inside systemctl enable hotpatch.service
mkdir -p "$root/var/lib/hotpatch/patches"
echo kept > "$root/var/lib/hotpatch/patches/fix.hpatch"
inside dpkg --install /tmp/hotpatch.deb > /dev/null
has etc/systemd/system/multi-user.target.wants/hotpatch.service
has var/lib/hotpatch/patches/fix.hpatch
asked 'try-reload-or-restart.*hotpatch.service' || fail 'the running service stays the old one'
! asked '[^-]stop' || fail 'the service is stopped by an upgrade'

step 'remove: the service is stopped, patches are kept'
: > "$root/tmp/systemctl.log"
inside dpkg --remove hotpatch > /dev/null 2>&1
asked 'stop hotpatch.service' || fail 'the service goes on'
hasnt usr/bin/hotpatch
hasnt usr/lib/systemd/system/hotpatch.service
hasnt etc/systemd/system/multi-user.target.wants/hotpatch.service
has var/lib/hotpatch/patches/fix.hpatch

step 'purge: nothing is left'
inside dpkg --purge hotpatch > /dev/null
after=$(listing)
diff <(echo "$before") <(echo "$after") || fail 'the listing above differs'
inside dpkg --audit
echo "$(basename "$package") installs, upgrades, removes and purges"
