// A fix that checks and computes, and passes nothing of its own on.
extern int limit;

int scale(int value) {
    static int calls;
    if (value < 0) return 0;
    return value > limit ? limit : value * 3 + (++calls & 0);
}
