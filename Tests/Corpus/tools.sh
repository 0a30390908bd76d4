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
