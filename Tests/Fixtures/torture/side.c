#define VERSION 1
#include "versions.h"
LEAF(side)
