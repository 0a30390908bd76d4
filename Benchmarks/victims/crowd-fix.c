// Answers n for new.
extern volatile int limit;

char answer(int number) {
    if (number > limit) return '!';
    return 'n';
}
