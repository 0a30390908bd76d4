// A library that asks for its answer in its constructor, and whenever it is asked.
__attribute__((noinline)) int answer(void) {
    __asm__ volatile("" ::: "memory");
    return 1;
}

static int first;

__attribute__((constructor)) static void when_loaded(void) { first = answer(); }

int report(void) { return 10 * first + answer(); }
