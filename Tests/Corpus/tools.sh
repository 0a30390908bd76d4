# For the scripts of cases: what they all need.

# Whether the load is to go on.
running() { [ ! -e "$DIR/stop" ]; }

# count DONE FAILED...: tells how many requests were served in a round, and failed.
count() {
    done=$1
    shift
    failed=0
    for some in "$@"; do failed=$((failed + some)); done
    echo "$done $failed"
}

# number PATTERN FILE: the number behind PATTERN, or 0.
number() {
    found=$(sed -n "s/.*$1\([0-9][0-9]*\).*/\1/p" "$2" | head -n 1)
    echo "${found:-0}"
}

# count_wrk FILE: the same from what wrk has written.
count_wrk() {
    grep -q 'requests in' "$1" || { count 0 1; return; }
    errors=$(sed -n 's/.*Socket errors: //p' "$1" | tr -dc '0-9 ')
    count "$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$1")" $errors \
        "$(number 'Non-2xx or 3xx responses: *' "$1")"
}

# count_dnsperf FILE: the same from what dnsperf has written.
count_dnsperf() {
    grep -q 'Queries completed' "$1" || { count 0 1; return; }
    done=$(number 'Queries completed: *' "$1")
    good=$(number 'NOERROR *' "$1")
    count "$done" "$(number 'Queries lost: *' "$1")" $((done - good))
}
