// Comes back 1000 higher, by a way of its own: what it is below is found only by
// following its frames.
static __attribute__((noinline)) long go_on(long rest, void (*at_bottom)(void));

long descend(long rest, void (*at_bottom)(void)) {
    if (rest == 0) {
        if (at_bottom) at_bottom();
        return 1000;
    }
    long deeper = go_on(rest - 1, at_bottom);
    __asm__ volatile("" : "+r"(deeper));
    return deeper + 1;
}

static long go_on(long rest, void (*at_bottom)(void)) {
    char room[24];
    __asm__ volatile("" : : "r"(room) : "memory");
    long deeper = descend(rest, at_bottom);
    __asm__ volatile("" : "+r"(deeper));
    return deeper;
}
