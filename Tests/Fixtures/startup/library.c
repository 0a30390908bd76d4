int library_first;

__attribute__((noinline)) int library_answer(void) {
    __asm__ volatile("");
    return 1;
}

__attribute__((constructor)) static void begin(void) { library_first = library_answer(); }

// What the program's fix imports.
int library_value(void) {
    __asm__ volatile("");
    return 2;
}
