#!/bin/sh
# Fetches Debian's source packages of redis, nginx and sqlite3 with apt, and builds
# them with symbols below FOLDER: redis/src/redis-server, nginx/objs/nginx and
# sqlite3/sqlite3. What is there already is kept.
set -eu
mkdir -p "$1"
cd "$1"
folder=$PWD

missing=
for package in curl dpkg-dev libpcre2-dev libssl-dev make openssl tcl wrk zlib1g-dev; do
    dpkg-query -W -f '${Status}' $package 2>/dev/null | grep -q 'ok installed' \
        || missing="$missing $package"
done
if [ -n "$missing" ]; then
    root=; [ "$(id -u)" = 0 ] || root=sudo
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    $root apt-get install -qq --no-install-recommends $missing >/dev/null 2>&1 \
        || { $root apt-get update -qq
             $root apt-get install -qq --no-install-recommends $missing >/dev/null; }
fi

# Lists of sources of our own, so that the system's stay as they are.
. /etc/os-release
mkdir -p apt/lists/partial apt/cache/archives/partial
echo "deb-src http://deb.debian.org/debian $VERSION_CODENAME main" >apt/sources.list
cat >apt/apt.conf <<CONF
Dir::Etc::SourceList "$folder/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$folder/apt/lists";
Dir::Cache "$folder/apt/cache";
APT::Sandbox::User "$(id -un)";
CONF

# fetch PACKAGE: its sources with Debian's patches, in the folder PACKAGE.
fetch() {
    echo "fetching $1"
    (
        export APT_CONFIG="$folder/apt/apt.conf"
        ls apt/lists/*_Sources* >/dev/null 2>&1 || apt-get update -qq
        mkdir -p "download/$1"
        cd "download/$1"
        apt-get source -qq "$1"
    ) >"$1.log" 2>&1 || { tail -n 20 "$1.log" >&2; exit 1; }
    rm -rf "$1.new"
    mv "download/$1/$1"-*/ "$1.new"
    rm -rf "download/$1"
}

# make_in FOLDER COMMAND...: with its output in a log, shown where it fails.
make_in() {
    (cd "$1" && shift && "$@") >>"${1%.new}.log" 2>&1 || { tail -n 20 "${1%.new}.log" >&2; exit 1; }
}

flags=$(dpkg-buildflags --get CFLAGS | sed 's/-ffile-prefix-map=[^ ]*//')
links=$(dpkg-buildflags --get LDFLAGS)
jobs=$(nproc)

if [ ! -d redis ]; then
    fetch redis
    echo "building redis"
    make_in redis.new make -C src -j"$jobs" redis-server redis-cli redis-benchmark \
        MALLOC=libc USE_SYSTEMD=no CFLAGS="$flags" LDFLAGS="$links"
    mv redis.new redis
fi
if [ ! -d nginx ]; then
    fetch nginx
    echo "building nginx"
    make_in nginx.new ./configure --prefix=. --with-cc-opt="$flags" --with-ld-opt="$links" \
        --with-compat --with-threads --with-file-aio --with-http_ssl_module --with-http_v2_module \
        --with-http_sub_module --with-http_gzip_static_module --with-http_stub_status_module \
        --with-http_dav_module --with-http_addition_module --with-http_realip_module \
        --with-stream
    make_in nginx.new make -j"$jobs"
    mv nginx.new nginx
fi
if [ ! -d sqlite3 ]; then
    fetch sqlite3
    echo "building sqlite3"
    make_in sqlite3.new ./configure --disable-tcl --disable-readline
    make_in sqlite3.new make sqlite3.c shell.c
    make_in sqlite3.new gcc $flags $links -DSQLITE_ENABLE_FTS3 -DSQLITE_ENABLE_FTS5 \
        -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_SESSION \
        -DSQLITE_ENABLE_PREUPDATE_HOOK -DSQLITE_ENABLE_MATH_FUNCTIONS -DSQLITE_THREADSAFE=1 \
        shell.c sqlite3.c -o sqlite3 -lm -lpthread -ldl
    mv sqlite3.new sqlite3
fi
