// Two functions that are led elsewhere by way of islands.
#define VERSION 2
#include "versions.h"
LEAF(short_leaf)
CALLER(short_caller, short_leaf)
