// Many functions on several pages: stubs, and a word that decides.
#define VERSION 2
#include "versions.h"
LEAF(chain_5)
CALLER(chain_4, chain_5)
CALLER(chain_3, chain_4)
CALLER(chain_2, chain_3)
CALLER(chain_1, chain_2)
CALLER(chain_0, chain_1)
