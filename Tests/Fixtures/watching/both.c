// Ends with what early-library.c reports, where its own function is fixed too.
int report(void);

__attribute__((noinline)) int mine(void) {
    __asm__ volatile("" ::: "memory");
    return 1;
}

int main(void) { return mine() == 2 ? report() : 99; }
