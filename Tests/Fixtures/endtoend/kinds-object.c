// The object that is patched: part of the program, or a library.
#include "kinds.h"

static int quotes;

static __attribute__((noinline)) int discount(int amount) {
    quotes++;
    return amount / 10;
}

int quote(int amount) {
    return amount - discount(amount);
}
