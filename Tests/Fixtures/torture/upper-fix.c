// Many functions on several pages: stubs, and a word that decides.
// Goes on top of the patch of version 2, or beneath it.
#define VERSION 3
#include "versions.h"
LEAF(chain_5)
CALLER(chain_4, chain_5)
CALLER(chain_3, chain_4)
CALLER(chain_2, chain_3)
CALLER(chain_1, chain_2)
CALLER(chain_0, chain_1)
