// Threads that notice whatever is done to them while they run.
//   spinners GAPS CHECKERS SLEEPERS
// GAPS threads read the clock without pause and remember the largest gap.
// CHECKERS threads hold known values in all registers, flags and the red zone,
// and count every difference. SLEEPERS threads sleep.
// Commands, one a line: "reset" the gaps, "gap" (ns), "rounds" of the checkers,
// "wrong" differences. Ends with its input.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Returns 0 where nothing changed during a loop that touches rcx alone.
long check_round(void);
__asm__(
    ".macro value number, register\n"
    "  movabs $0x0101010101010101 * \\number, %\\register\n"
    ".endm\n"
    ".macro check number, register\n"
    "  movabs $0x0101010101010101 * \\number, %rcx\n"
    "  cmp %rcx, %\\register\n"
    "  jne 9f\n"
    ".endm\n"
    ".macro vector number, register\n"
    "  movq %\\register, %xmm\\number\n"
    "  mov %\\register, -8*(\\number+1)(%rsp)\n"
    ".endm\n"
    ".macro checkvector number, register\n"
    "  movq %xmm\\number, %rcx\n"
    "  cmp %rcx, %\\register\n"
    "  jne 9f\n"
    "  cmp %\\register, -8*(\\number+1)(%rsp)\n"
    "  jne 9f\n"
    ".endm\n"
    ".macro forall what\n"
    "  \\what 1, rax\n \\what 2, rdx\n \\what 3, rbx\n \\what 4, rsi\n \\what 5, rdi\n"
    "  \\what 6, rbp\n \\what 7, r8\n \\what 8, r9\n \\what 9, r10\n \\what 10, r11\n"
    "  \\what 11, r12\n \\what 12, r13\n \\what 13, r14\n \\what 14, r15\n"
    ".endm\n"
    ".text\n"
    "check_round:\n"
    "  push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "  forall value\n"
    "  forall vector\n"
    "  cmp %eax, %eax\n"  // ZF, PF
    "  stc\n"             // and CF
    "  mov $2000, %ecx\n"
    "1: lea -1(%rcx), %rcx\n"
    "  jrcxz 2f\n"
    "  jmp 1b\n"
    "2: jnc 9f\n jnz 9f\n jnp 9f\n"
    "  forall check\n"
    "  forall checkvector\n"
    "  xor %eax, %eax\n"
    "  jmp 8f\n"
    "9: mov $1, %eax\n"
    "8: pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
    "  ret\n");

static atomic_long largest_gap, rounds, differences;
static atomic_int resets;

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void *watch_clock(void *unused) {
    int seen = -1;
    long last = 0, gap = 0;
    for (;;) {
        long time = now();
        if (seen != resets) {
            seen = resets;
            gap = 0;
        } else if (time - last > gap) {
            gap = time - last;
            if (gap > largest_gap) largest_gap = gap;
        }
        last = time;
    }
    return unused;
}

static void *check_state(void *unused) {
    for (;;) {
        if (check_round() != 0) differences++;
        rounds++;
    }
    return unused;
}

static void *sleep_on(void *unused) {
    for (;;) pause();
    return unused;
}

static void start(const char *count, void *(*work)(void *)) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (int i = atoi(count); i > 0; i--) {
        pthread_t thread;
        if (pthread_create(&thread, &small, work, NULL) != 0) exit(1);
    }
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    start(arguments[1], watch_clock);
    start(arguments[2], check_state);
    start(arguments[3], sleep_on);
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "reset\n") == 0) {
            resets++;
            usleep(1000);
            largest_gap = 0;
            puts("0");
        } else if (strcmp(line, "gap\n") == 0) {
            printf("%ld\n", largest_gap);
        } else if (strcmp(line, "rounds\n") == 0) {
            printf("%ld\n", rounds);
        } else if (strcmp(line, "wrong\n") == 0) {
            printf("%ld\n", differences);
        } else {
            return 3;
        }
        fflush(stdout);
    }
    return 0;
}
