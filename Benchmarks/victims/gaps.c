// gaps THREADS RUNNERS TIMED: threads of which RUNNERS read the clock without
// pause and the others sleep. The largest gap between two readings is what a
// running thread lost, to the scheduler or to whoever stopped it. Of those that
// sleep, TIMED wake up every two milliseconds and note how late that was; the
// others sleep for ever.
#define _GNU_SOURCE
#include "page.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct page *page;
static atomic_uint settled;
// Whether gaps of running threads are what is noted, or waking up late.
static int gaps_are_noted;

// What the bench replaces. noipa: no caller may know anything about it.
__attribute__((noipa)) uint64_t answer(void) {
    return 1;
}

static void raise_to(_Atomic uint64_t *largest, uint64_t gap) {
    uint64_t seen = atomic_load_explicit(largest, memory_order_relaxed);
    while (gap > seen && !atomic_compare_exchange_weak(largest, &seen, gap)) {
    }
}

static void *run(void *unused) {
    (void)unused;
    atomic_fetch_add(&settled, 1);
    uint64_t before = nanoseconds();
    for (;;) {
        uint64_t reply = answer();
        uint64_t now = nanoseconds();
        uint64_t window = atomic_load_explicit(&page->window, memory_order_relaxed) % WINDOWS;
        raise_to(&page->value[window], now - before);
        atomic_store_explicit(&page->answer[window], reply, memory_order_relaxed);
        if (gaps_are_noted && now - before > SHORTEST_NOTED)
            note(page, now - before, now);
        before = now;
    }
    return NULL;
}

static void *sleep_in_futex(void *unused) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    (void)unused;
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&settled, 1);
    for (;;)
        pthread_cond_wait(&never, &lock);
    return NULL;
}

static void *sleep_in_nanosleep(void *unused) {
    (void)unused;
    atomic_fetch_add(&settled, 1);
    for (;;) {
        struct timespec long_time = {.tv_sec = 100000};
        nanosleep(&long_time, NULL);
        atomic_fetch_add(&page->interrupted, 1);
    }
    return NULL;
}

static int silent[2];  // a pipe into which nobody writes

static void *sleep_in_read(void *unused) {
    (void)unused;
    atomic_fetch_add(&settled, 1);
    for (;;) {
        char byte;
        if (read(silent[0], &byte, 1) < 1)
            atomic_fetch_add(&page->interrupted, 1);
    }
    return NULL;
}

static void *sleep_until_due(void *number) {
    atomic_fetch_add(&settled, 1);
    uint64_t due = nanoseconds() + 100000 * (uint64_t)(uintptr_t)number;
    for (;;) {
        due += 2000000;
        struct timespec time = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = due % 1000000000};
        if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0)
            atomic_fetch_add(&page->interrupted, 1);
        uint64_t now = nanoseconds();
        note(page, now - due, now);
        if (now > due + 2000000)
            due = now;
    }
    return NULL;
}

static void start(void *(*body)(void *), unsigned number) {
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    if (pthread_create(&thread, &small, body, (void *)(uintptr_t)number) != 0) {
        perror("gaps: pthread_create");
        exit(1);
    }
    pthread_attr_destroy(&small);
}

// The main thread is one of the runners.
int main(int argc, char **argv) {
    unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    unsigned runners = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    unsigned timed = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
    void *(*const sleepers[])(void *) = {sleep_in_futex, sleep_in_nanosleep, sleep_in_read};
    gaps_are_noted = timed == 0;
    page = map_page();
    if (pipe(silent) < 0) {
        perror("gaps: pipe");
        return 1;
    }
    for (unsigned i = 1; i < threads; i++)
        start(i < runners           ? run
              : i < runners + timed ? sleep_until_due
                                    : sleepers[i % 3],
              i);
    while (atomic_load(&settled) < threads - 1)
        usleep(1000);
    usleep(20000);  // from the last count of a sleeper to its sleep
    atomic_store(&page->ready, 1);
    run(NULL);
}
