#define VERSION 2
#include "versions.h"
void wait_inside(void);
int other(void) { return VERSION; }
int outer(void) {
    wait_inside();
    return other() == VERSION ? VERSION : MIXED;
}
