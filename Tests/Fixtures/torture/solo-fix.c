// One function: one write.
#define VERSION 2
#include "versions.h"
LEAF(solo)
