// The other half: the library's.
#define VERSION 2
#include "versions.h"
LEAF(side)
