// Two threads call lead() without end, which calls alto(), tenor(), and bass() of
// the library, each on a page of its own. Each gives its version; a round whose
// voices differ is mixed. Input lines:
//   report    lead N alto N tenor N bass N mixed N
//   reset     forgets the mixed rounds
// A report comes after both threads have begun and ended a round since it was
// asked for.
#include "chorus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_ulong mixed, rounds[2];
static _Atomic(struct voices) last;

VOICE int alto(int part) { return 1 + silence(part); }
VOICE int tenor(int part) { return 1 + silence(part); }

VOICE struct voices lead(int part) {
    struct voices round = {1, (short)alto(part), (short)tenor(part), (short)bass(part)};
    return round;
}

static void *sing(void *number) {
    atomic_ulong *own = number;
    for (;;) {
        struct voices round = lead(0);
        if (round.lead != round.alto || round.lead != round.tenor || round.lead != round.bass)
            atomic_fetch_add(&mixed, 1);
        atomic_store(&last, round);
        // Most of the time nobody sings.
        for (volatile int i = 0; i < 2000; i++) continue;
        atomic_fetch_add(own, 1);
    }
    return NULL;
}

static void wait_for_rounds(void) {
    for (int i = 0; i < 2; i++) {
        unsigned long then = atomic_load(&rounds[i]);
        while (atomic_load(&rounds[i]) < then + 2) usleep(1000);
    }
}

int main(void) {
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, sing, &rounds[i]) != 0) return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    wait_for_rounds();
    puts("ready");
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        wait_for_rounds();
        if (strcmp(line, "reset\n") == 0) atomic_store(&mixed, 0);
        struct voices round = atomic_load(&last);
        printf(
            "lead %d alto %d tenor %d bass %d mixed %lu\n", round.lead, round.alto, round.tenor,
            round.bass, atomic_load(&mixed));
    }
    return 0;
}
