// Asks the C library for its version, before main and in it, and ends with what it was
// told, one digit each: 2 where that is fixed.
#include <gnu/libc-version.h>
#include <string.h>

static int answer(void) { return strcmp(gnu_get_libc_version(), "patched") == 0 ? 2 : 1; }

static int first;

__attribute__((constructor)) static void before_main(void) { first = answer(); }

int main(void) { return 10 * first + answer(); }
