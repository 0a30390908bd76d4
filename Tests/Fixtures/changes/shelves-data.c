// What shelves.c refers to.
__thread long shared = 5, row[8];
long counted = 7;
long twice(long value) { return value * 2; }
