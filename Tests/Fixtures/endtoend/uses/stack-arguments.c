// Takes arguments on the stack.
long sum(int a, long b, char c, short d, int e, int f, long g, int h, double i, char j) {
    return -(a + b + c + d + e + f + g + h + (long)i + j);
}
