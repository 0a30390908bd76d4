#!/bin/bash
# Fuzzes the readers of ELF objects and of patch files with libFuzzer, each for
# SECONDS seconds. A crash fails; its input stays in .build-fuzz/crashes.
#
#     Tests/Fuzz/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
scratch=$PWD/.build-fuzz
seeds=$scratch/seeds
mkdir -p "$seeds"/{FuzzELF,FuzzPatch} "$scratch"/corpus/{FuzzELF,FuzzPatch} "$scratch/crashes"

# Small seeds of every kind: the fuzzer reaches deep only where inputs are short.
cat >"$scratch/base.c" <<'C'
static volatile int hidden = 3;
static __thread int mine;
__attribute__((noinline)) static int scale(int value) { return value * hidden + mine; }
int api(int value) { return scale(value) + 1; }
void _start(void) { api(1); for (;;) ; }
C
cat >"$scratch/fix.c" <<'C'
extern volatile int hidden;
static int calls;
int api(int value) { calls++; return value > hidden ? -1 : value; }
C
common=(-O2 -nostdlib -fno-stack-protector -Wl,--build-id)
cc "${common[@]}" -no-pie -static -o "$seeds/FuzzELF/fixed" "$scratch/base.c"
cc "${common[@]}" -fPIE -pie -o "$seeds/FuzzELF/pie" "$scratch/base.c"
cc "${common[@]}" -fPIC -shared -fcf-protection=full -o "$seeds/FuzzELF/shared" "$scratch/base.c"
cc -O2 -c -g -o "$seeds/FuzzELF/object" "$scratch/base.c"
strip -o "$seeds/FuzzELF/stripped" "$seeds/FuzzELF/pie"
.build/release/hotpatch build --base "$seeds/FuzzELF/pie" -o "$seeds/FuzzPatch/fix.hpatch" \
    "$scratch/fix.c" >/dev/null

for target in FuzzELF FuzzPatch; do
    swift build --package-path Tests/Fuzz --scratch-path "$scratch" -c release \
        --product $target -Xswiftc -sanitize=fuzzer
    echo "$target, $seconds s:"
    "$scratch/release/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 \
        -max_len=65536 -print_final_stats=1 -artifact_prefix="$scratch/crashes/$target-" \
        "$scratch/corpus/$target" "$seeds/$target" 2>&1 |
        grep -E 'ERROR|Fatal|Test unit written|number_of_executed|Done|crash' || true
    if compgen -G "$scratch/crashes/$target-*" >/dev/null; then
        echo "$target crashed; the inputs are in $scratch/crashes" >&2
        exit 1
    fi
done
