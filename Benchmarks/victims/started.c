// Ends with its answer: 1 as compiled, 2 when fixed.
__attribute__((noinline)) int answer(void) {
    __asm__ volatile("" ::: "memory");
    return 1;
}

int main(void) { return answer(); }
