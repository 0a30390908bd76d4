// calls: what one call costs, in picoseconds, the least of all batches of a
// window.
#include "page.h"

enum { BATCH = 1000000 };

// What the bench replaces by a step of two, which costs the same and shows in
// the answer. noipa: no caller may know anything about it.
__attribute__((noipa)) uint64_t step(uint64_t value) {
    return value + 1;
}

int main(void) {
    struct page *page = map_page();
    uint64_t value = 0;
    atomic_store(&page->ready, 1);
    for (;;) {
        uint64_t window = atomic_load(&page->window) % WINDOWS;
        uint64_t first = value;
        uint64_t start = nanoseconds();
        for (int i = 0; i < BATCH; i++)
            value = step(value);
        uint64_t cost = (nanoseconds() - start) * 1000 / BATCH;
        uint64_t least = atomic_load(&page->value[window]);
        if (least == 0 || cost < least)
            atomic_store(&page->value[window], cost);
        atomic_store(&page->answer[window], (value - first) / BATCH);
    }
}
