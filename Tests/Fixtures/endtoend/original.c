// Threads call functions all the time and look at what they return. Commands, one
// a line, each answered with one line:
//   ask      "work=N chain=N kind=N ran=N": what the functions return, and whether
//            the program's own code of work() has run since the last time
//   check    "good N": N calls since the start, each of which returned one of the
//            results that are possible; or "bad ..."
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_ulong calls;
static atomic_int bad;
static atomic_int ran;

// The first instructions name a variable of the program.
__attribute__((noipa)) int work(int x) {
    ran = 1;
    return 3 * x + 1;
}

// Calls itself, in a way that no compiler makes a loop of.
__attribute__((noipa)) static int chain(int depth) {
    return depth == 0 ? 1 : chain(depth - 1) ^ 64;
}

// Jumps through a table, or compares at once.
__attribute__((noipa)) int kind(int x) {
    switch (x) {
    case 0: return work(x);
    case 1: return chain(x);
    case 2: return work(2 * x) + 1;
    case 3: return chain(2) + work(1);
    case 4: return work(7) * 2;
    case 5: return 55;
    default: return -1;
    }
}

static int is_one_of(int value, int old, int first, int second) {
    return value == old || value == first || value == second;
}

static void *load(void *nothing) {
    for (int x = 0;; x = (x + 1) % 1000) {
        const int value = work(x);
        // original-fix adds 1000, original-second 5000.
        if (!is_one_of(value, 3 * x + 1, 3 * x + 1001, 3 * x + 5001)) bad = value;
        if (!is_one_of(chain(3), 65, 69, 69)) bad = 3;
        if (!is_one_of(kind(5), 55, 155, 155)) bad = 5;
        calls++;
        // The functions are left at times, so that they can be switched.
        usleep(100);
    }
    return nothing;
}

int main(void) {
    char line[64];
    for (int index = 0; index < 3; index++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, load, NULL) != 0) return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strcmp(line, "check\n") == 0) {
            if (bad) printf("bad %d\n", bad);
            else printf("good %lu\n", calls);
        } else {
            ran = 0;
            const int value = work(7);
            printf("work=%d chain=%d kind=%d ran=%d\n", value, chain(3), kind(5), ran);
        }
    }
    return 0;
}
