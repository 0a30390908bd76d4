#!/bin/bash
# The part of test-systemd.sh that runs under the systemd.
set -euo pipefail

fail() {
    echo "failed: $*" >&2
    systemctl status --no-pager --full --lines=40 hotpatch >&2 || true
    exit 1
}
step() { echo "- $*"; }
main() { systemctl show --property=MainPID --value hotpatch; }
# Waits until a command holds.
await() {
    local what=$1
    shift
    for _ in $(seq 300); do
        if "$@"; then return; fi
        sleep 0.1
    done
    fail "$what"
}
# A program's starts, as many as come until the file $1 is there, by what they ended with.
starts() {
    local code
    while [ ! -e "$1" ]; do
        code=0
        timeout 5 /usr/local/bin/early || code=$?
        echo "$code"
    done | sort | uniq -c | tr '\n' ' '
}
is_patched() { local code=0; /usr/local/bin/early || code=$?; [ "$code" = 22 ]; }
is_serving() { [ "$(systemctl is-active hotpatch)" = active ]; }
# Plays a command while programs start, and leaves how these ended in $seen.
during() {
    rm -f /work/enough
    starts /work/enough > /work/starts &
    local starter=$!
    sleep 0.3
    "$@"
    sleep 0.3
    touch /work/enough
    wait "$starter"
    seen=$(cat /work/starts)
    echo "    starts by what they said: $seen"
}
none_escaped() { ! [[ " $seen" =~ ' 11 ' ]] && [[ "$seen" =~ ' 22 ' ]]; }
all_ran() { [[ -z "$(sed 's/ *[0-9]* \(11\|12\|22\) */ /g' <<< "$seen" | tr -d ' ')" ]]; }

mv /work/early /usr/local/bin

step 'the package starts nothing'
dpkg --install /work/hotpatch.deb > /dev/null
[ "$(systemctl is-active hotpatch || true)" = inactive ] || fail 'it was started'

step 'enabled and started, it says that it serves'
systemctl enable --quiet --now hotpatch || fail 'it does not start'
[ "$(systemctl show --property=StatusText --value hotpatch)" != '' ] || fail 'no status'
hotpatch build --base /usr/local/bin/early -o /work/early-fix.hpatch /work/early-fix.c > /dev/null
hotpatch install /work/early-fix.hpatch > /dev/null
await 'starts are not patched' is_patched

step 'a daemon in a unit that is shut in starts patched'
cat > /etc/systemd/system/early.service <<'END'
[Service]
Type=oneshot
ExecStart=/usr/local/bin/early
DynamicUser=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
NoNewPrivileges=yes
PrivateDevices=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
SystemCallFilter=@system-service
END
systemctl daemon-reload
systemctl start early 2> /dev/null || true
code=$(systemctl show --property=ExecMainStatus --value early)
[ "$code" = 22 ] || fail "the daemon ended with $code"

step 'reload: no start falls between'
during systemctl reload hotpatch
none_escaped || fail 'a start was not patched'

step 'upgrade: another process serves, and no start falls between'
before=$(main)
handed_over() { [ "$(main)" != "$before" ] && is_serving; }
upgrade() {
    dpkg --install /work/hotpatch.deb > /dev/null
    await 'the old version goes on' handed_over
}
during upgrade
none_escaped || fail 'a start was not patched'

step 'restart: every program starts, and is patched again soon'
during systemctl restart hotpatch
all_ran || fail 'a start failed'
await 'starts are not patched' is_patched

step 'killed, and hanging: every program starts, and the manager starts it again'
for signal in KILL STOP; do
    before=$(main)
    strike() {
        kill -$signal "$before"
        await 'nothing serves' handed_over
    }
    during strike
    all_ran || fail 'a start failed'
    await 'starts are not patched' is_patched
done

step 'the file that switches it off ends it for good'
is_off() { [ "$(systemctl is-active hotpatch || true)" = inactive ]; }
touch /etc/hotpatch/disabled
await 'it goes on' is_off
code=0
/usr/local/bin/early || code=$?
[ "$code" = 11 ] || fail "the program said $code"
rm /etc/hotpatch/disabled
systemctl start hotpatch
await 'starts are not patched' is_patched

step 'the journal tells of applied patches'
told=$(journalctl --quiet --no-pager --unit hotpatch --output cat)
[[ "$told" = *"reapply 'early-fix' in process "*": applied"* ]] || fail "it tells this only: $told"

step 'stopped, it leaves starts alone'
systemctl stop hotpatch
code=0
/usr/local/bin/early || code=$?
[ "$code" = 11 ] || fail "the program said $code"
[ "$(systemctl show --property=Result --value hotpatch)" = success ] || fail 'no success'
echo 'the service does under systemd what it should'
