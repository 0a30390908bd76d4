// The page through which a victim and the bench talk: the bench writes the
// number of the current window, the victim writes what it saw in it. Shared
// memory, because any system call would disturb what is being measured.
//
// Benchmarks/Victim.swift knows this layout.
#ifndef PAGE_H
#define PAGE_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum {
    WINDOWS = 4096,
    NOTES = 65536,
    SHORTEST_NOTED = 3000,  // ns; shorter gaps are the machine's own, and many
    PAGE_DESCRIPTOR = 3
};

// A stretch of time that was lost, in nanoseconds of CLOCK_MONOTONIC.
struct note {
    _Atomic uint64_t length;
    _Atomic uint64_t end;
};

struct page {
    _Atomic uint64_t window;       // written by the bench
    _Atomic uint64_t ready;        // 1: every thread is where it will stay
    _Atomic uint64_t interrupted;  // calls of sleeping threads that came back early
    _Atomic uint64_t note_count;   // of all that were ever noted
    _Atomic uint64_t value[WINDOWS];   // what the window measured
    _Atomic uint64_t answer[WINDOWS];  // what the patched function returned last
    struct note notes[NOTES];          // the last ones
};

static inline void note(struct page *page, uint64_t length, uint64_t end) {
    struct note *note = &page->notes[atomic_fetch_add(&page->note_count, 1) % NOTES];
    atomic_store_explicit(&note->length, length, memory_order_relaxed);
    atomic_store_explicit(&note->end, end, memory_order_relaxed);
}

static inline struct page *map_page(void) {
    void *address = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED,
                         PAGE_DESCRIPTOR, 0);
    if (address == MAP_FAILED) {
        perror("victim: mmap");
        exit(1);
    }
    return address;
}

static inline uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
