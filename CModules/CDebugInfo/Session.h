/* What the parts of this module share. */
#pragma once

#include <elfutils/libdwfl.h>

struct cdebuginfo {
    Dwfl *session;
    Dwfl_Module *module;
};
