/* What the parts of this module share. */
#pragma once

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stdint.h>

struct cdebuginfo {
    Dwfl *session;
    Dwfl_Module *module;
};

/*
 * libdwfl has given the sections of a relocatable object addresses of its own; this is
 * the way back. False where the address is in none.
 */
bool cdebuginfo_section_place(Dwfl_Module *module, Dwarf_Addr *address, uint32_t *section);
