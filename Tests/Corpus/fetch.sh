#!/bin/sh
# fetch.sh CACHE PACKAGE VERSION PATCH CASE
#
# Fetches a Debian source package with apt, and leaves in CACHE/CASE: 'source', with
# the package's patches before PATCH applied, and 'fix.diff', which is PATCH. Where
# VERSION cannot be had, the newest one that has PATCH and can be is taken; 'version'
# tells which. Nothing outside of CACHE is written to.
set -eu
cache=$1 package=$2 version=$3 patch=$4 case=$5

# Lists of sources of our own: where the machine has its packages from, but sources.
# Others' repositories stay out, which follow the release by other names. The release
# itself comes first: what has got there is kept longer than where it came from.
mkdir -p "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial" "$cache/download"
. /etc/os-release
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
    | sort -u | while read -r uri release component; do
        case "$release" in
        "$VERSION_CODENAME" | "$VERSION_CODENAME"-*) echo "deb-src $uri $release $component" ;;
        esac
    done | sort -k 3 > "$cache/apt/sources.list"
[ -s "$cache/apt/sources.list" ] || {
    echo "apt knows no repository of $VERSION_CODENAME; see /etc/apt/sources.list" >&2
    exit 1
}
cat > "$cache/apt/apt.conf" <<CONF
Dir::Etc::SourceList "$cache/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$cache/apt/lists";
Dir::Cache "$cache/apt/cache";
APT::Sandbox::User "$(id -un)";
CONF
export APT_CONFIG="$cache/apt/apt.conf"
[ -n "$(find "$cache/apt/lists" -maxdepth 1 -name '*_Sources*' -mtime -1)" ] \
    || apt-get update -qq

place=$cache/$case
mkdir -p "$place"

# Unpacks one version and brings it to the state before the patch.
take() {
    (cd "$cache/download" && apt-get source -qq --download-only "$package=$1") || return 1
    rm -rf "$place/source" "$place/fix.diff"
    # An epoch is no part of a file's name.
    dpkg-source --skip-patches --no-check \
        -x "$cache/download/${package}_${1#*:}.dsc" "$place/source" >/dev/null || return 1
    rm -f "$place"/*.orig*.tar.* # It leaves a second name of what is downloaded.
    series=$place/source/debian/patches
    grep -qxF "$patch" "$series/series" || {
        echo "$package $1 has no patch '$patch'" >&2
        return 1
    }
    sed 's/[ \t]*#.*//; s/[ \t].*//; /^$/d' "$series/series" | while read -r name; do
        [ "$name" != "$patch" ] || break
        patch -d "$place/source" -p1 -s -f -N --no-backup-if-mismatch < "$series/$name" || {
            echo "cannot apply $name of $package $1" >&2
            exit 1
        }
    done || return 1
    cp "$series/$patch" "$place/fix.diff"
    echo "$1" > "$place/version"
}

others=$(apt-cache showsrc "$package" | sed -n 's/^Version: //p' | sort -rV | grep -vxF "$version") \
    || others=
for candidate in $version $others; do
    if take "$candidate"; then exit 0; fi
done
echo "no version of $package with '$patch' can be had" >&2
exit 1
