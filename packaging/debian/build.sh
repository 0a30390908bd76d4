#!/bin/sh
# Makes a Debian package of what `make dist` has left.
#
#     packaging/debian/build.sh FOLDER
set -eu

folder=$1
here=$(dirname "$0")
root=$folder/root
version=$("$here/../../.build/dist/hotpatch" --version)-1
# Whoever builds it maintains it (debchange(1) takes the same variables).
maintainer="${DEBFULLNAME:-The hotpatch authors} <${DEBEMAIL:-hotpatch@localhost}>"
architecture=$(dpkg --print-architecture)
umask 022

rm -rf "$folder"
mkdir -p "$root/DEBIAN" "$root/etc/hotpatch"
make -s -C "$here/../.." install DESTDIR="$(realpath "$root")" PREFIX=/usr \
    ZSHDIR=/usr/share/zsh/vendor-completions
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/hotpatch"
find "$root/usr/share/man" -type f -exec gzip -9n {} +

documents=$root/usr/share/doc/hotpatch
mkdir -p "$documents"
cp "$here/copyright" "$documents/copyright"
cp "$here/../../README.md" "$here/../../docs/"*.md "$documents/"
sed -e "s/@VERSION@/$version/" -e "s/@MAINTAINER@/$maintainer/" "$here/changelog" | gzip -9n > "$documents/changelog.Debian.gz"

# dpkg-shlibdeps wants a source package around it.
mkdir -p "$folder/debian"
printf 'Source: hotpatch\n\nPackage: hotpatch\nArchitecture: any\n' > "$folder/debian/control"
depends=$(cd "$folder" && dpkg-shlibdeps -O root/usr/bin/hotpatch 2>/dev/null \
    | sed 's/^shlibs:Depends=//')

size=$(du -k -s --exclude=DEBIAN "$root" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" \
    -e "s/@DEPENDS@/$depends/" -e "s/@MAINTAINER@/$maintainer/" "$here/control" > "$root/DEBIAN/control"
for script in postinst prerm postrm; do
    install -m 755 "$here/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
chmod 644 "$root/DEBIAN/md5sums"

package=$folder/hotpatch_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" > /dev/null
echo "$package"
