// Ends with the number of places in which it was given a patch's answer: its first
// constructor, its main, its library's constructor, and its library.
__attribute__((noinline)) int answer(const char *who) {
    __asm__ volatile("" : : "r"(who));
    return 1;
}

extern int library_answer(void);
extern int library_first;
static int first;

__attribute__((constructor(101))) static void begin(void) { first = answer("constructor"); }

int main(void) {
    return (first == 2) + (answer("main") == 2) + (library_first == 2) + (library_answer() == 2);
}
