#!/bin/bash
# The story of hotpatch on the screen: a daemon under load changes what it
# does, and changes back, as the same process and with the same files on disk.
# Each claim is checked; the script exits non-zero at the first that fails.
#
#     samples/demo.sh        (make demo builds first)
set -euo pipefail
cd "$(dirname "$0")/stationd"
PATH="$(cd ../../.build/release && pwd):$PATH"
scratch=$(mktemp -d)
# What is shown here is none of the machine's history.
export HOTPATCH_STATE_DIR=$scratch/state
daemon=
load=
service=
places=

# Only processes that this script started, by their ids.
clean_up() {
    for child in $load $daemon; do
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    done
    if [ -n "$service" ]; then
        $root kill "$service" 2>/dev/null || true
        wait "$service" 2>/dev/null || true
    fi
    [ -z "$places" ] || $root rm -rf "$places"
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' plain=$'\e[0m'
else
    bold='' green='' red='' cyan='' plain=''
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '%s$ %s%s\n' "$cyan" "$*" "$plain"; }
holds() { printf '%s  ✓ %s%s\n' "$green" "$*" "$plain"; }
fails() {
    printf '%s  ✗ %s%s\n' "$red" "$*" "$plain" >&2
    exit 1
}

# The words as one would type them.
typed() {
    local word line=
    for word; do
        case $word in *[!A-Za-z0-9_./:=,-]*) word="'$word'" ;; esac
        line+="${line:+ }$word"
    done
    echo "$line"
}

run() {
    show "$(typed "$@")"
    "$@" || fails "the command failed with exit code $?"
}

# One request on a connection of its own, until the daemon has closed it.
ask() {
    local reply
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    echo "$1" >&3
    IFS= read -r -t 10 reply <&3 || fails "the daemon gave no answer"
    echo QUIT >&3
    cat <&3 >/dev/null
    exec 3>&-
    echo "$reply"
}

# Until a child has printed what it prints once it is ready.
await() { # FILE
    for _ in {1..250}; do
        [ -s "$1" ] && return
        sleep 0.02
    done
    fails "nothing came of it in five seconds"
}

# A request, its reply on the screen, and what the reply must look like.
expect() { # REQUEST PATTERN MEANING
    show "ask '$1'"
    local reply
    reply=$(ask "$1")
    echo "$reply"
    # shellcheck disable=SC2053  # the right side is a pattern
    [[ $reply == $2 ]] || fails "expected '$2'"
    holds "$3"
}

expect_leak() {
    show "ask 'LOGIN alice open-sesame'      # one client"
    ask 'LOGIN alice open-sesame'
    expect 'ECHO 32 hi' 'hi*open-sesame*' "$1"
}

# The process, by its id and the moment of its start.
identity() { cut -d ' ' -f 1,22 "/proc/$daemon/stat"; }
digests() { sha256sum build/stationd build/libmeteo.so; }

# The service, and what is installed, belong to root.
root=
[ "$(id -u)" = 0 ] || root=sudo

start_daemon() {
    show "build/stationd &"
    : >"$scratch/stationd"
    build/stationd 0 8 >"$scratch/stationd" &
    daemon=$!
    await "$scratch/stationd"
    cat "$scratch/stationd"
    port=$(sed -n 's/.* port \([0-9]*\),.*/\1/p' "$scratch/stationd")
}

# Installed patches, configuration and run-time state in a folder of the demo's own.
as_service=()
serve() {
    show "$(typed ${root:+sudo} hotpatch "$@")"
    "${as_service[@]}" "$@" || fails "the command failed with exit code $?"
}

# Seizing another process may need root (ptrace_scope of the Yama module).
privileged=
if [ "$(id -u)" != 0 ] && [ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)" != 0 ]; then
    privileged="sudo $(command -v hotpatch)"
fi
live() {
    if [ -n "$privileged" ]; then
        show "$(typed sudo hotpatch "$@")"
        # shellcheck disable=SC2086  # two words
        $privileged "$@" || fails "the command failed with exit code $?"
    else
        run hotpatch "$@"
    fi
}

say "A daemon runs, a program with eight threads and a shared library of its own."
start_daemon
identity_before=$(identity)

say "Clients keep it busy. From now on every reply is checked."
show "build/load $port --connections 8 --watch 'ECHO 32 hi' --old 'hi*' --new 'ERR length *' &"
build/load "$port" --connections 8 --watch 'ECHO 32 hi' --old 'hi*' --new 'ERR length *' \
    >"$scratch/load" &
load=$!
await "$scratch/load"
cat "$scratch/load"

say "It has a bug: ECHO sends back more than it was sent, out of other clients' lines."
expect_leak "another client's password leaks"

say "Which function is that, and can it be patched?"
run hotpatch list-symbols build/stationd 'command_*'
show "sha256sum build/stationd build/libmeteo.so"
digests | tee "$scratch/digests"

say "The fix is a C function of the same name."
run grep -n 'if (length >' commands.c fixes/echo-overread.c
run hotpatch build --base build/stationd -o build/echo-overread.hpatch fixes/echo-overread.c
live check build/echo-overread.hpatch --pid "$daemon"

say "Apply it to the running process."
live apply build/echo-overread.hpatch --pid "$daemon"
show "ask 'LOGIN alice open-sesame'      # one client"
ask 'LOGIN alice open-sesame'
expect 'ECHO 32 hi' 'ERR length beyond the text' "the bug is gone"
expect 'ECHO 2 hi' 'hi' "and what was right still is"
live status --pid "$daemon"
[ "$(identity)" = "$identity_before" ] || fails "the process is another one"
holds "the same process: pid $daemon, started once"

say "A fix of the shared library goes the same way."
expect 'FAHRENHEIT 25' '102.6 F' "a wrong conversion"
run hotpatch build --base build/libmeteo.so -o build/fahrenheit.hpatch fixes/fahrenheit.c
live apply build/fahrenheit.hpatch --pid "$daemon"
expect 'FAHRENHEIT 25' '77.0 F' "a right one"

say "And back."
live revert fahrenheit --pid "$daemon"
expect 'FAHRENHEIT 25' '102.6 F' "the library's bug is back"
live revert echo-overread --pid "$daemon"
expect_leak "the program's bug is back"
live status --pid "$daemon"

say "What did it cost?"
[ "$(identity)" = "$identity_before" ] || fails "the process is another one"
holds "still the same process: pid $daemon"
digests | cmp -s - "$scratch/digests" || fails "a file on disk has changed"
holds "both files on disk are the same to the byte (sha256)"
expect 'STATS' '* interrupted 0' "no system call of the daemon was interrupted"
kill "$load"
wait "$load" || fails "requests failed: $(cat "$scratch/load")"
load=
tail -n 1 "$scratch/load"
[[ $(cat "$scratch/load") == *'"failed": 0, '* ]] || fails "requests failed"
[[ $(cat "$scratch/load") != *'"old": 0, '* ]] || fails "the load never saw the bug"
[[ $(cat "$scratch/load") != *'"new": 0, '* ]] || fails "the load never saw the fix"
holds "no request failed; the clients saw the bug, and the fix"

say "Installed, the fix comes back by itself whenever the program starts."
places=$($root mktemp -d)
as_service=($root env HOTPATCH_STATE_DIR="$places/state" HOTPATCH_CONFIG_DIR="$places/config"
    HOTPATCH_RUN_DIR="$places/run" "$(command -v hotpatch)")
serve install build/echo-overread.hpatch
expect 'ECHO 32 hi' 'ERR length beyond the text' "applied where the program runs"
show "${root:+sudo }hotpatch watch &"
# Not by way of a function: its number must be that of the service, to be ended with.
"${as_service[@]}" watch 2>"$scratch/service" &
service=$!
for _ in {1..250}; do
    $root test -s "$places/run/watch.json" && break
    kill -0 "$service" 2>/dev/null || fails "the service ended: $(cat "$scratch/service")"
    sleep 0.02
done
show "kill $daemon      # and start it again"
kill "$daemon"
wait "$daemon" 2>/dev/null || true
start_daemon
expect 'ECHO 32 hi' 'ERR length beyond the text' "patched before its first instruction"
serve status
serve log
serve uninstall echo-overread
expect_leak "and taken out again"
