// One half of a set: the program's.
#define VERSION 2
#include "versions.h"
CALLER(front, side)
