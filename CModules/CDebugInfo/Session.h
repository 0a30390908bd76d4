/* What the parts of this module share. */
#pragma once

#include <elfutils/libdw.h>
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

/* What the linker calls a function, or else its name; NULL where it has none. */
const char *cdebuginfo_linked_name(Dwarf_Die *function);

/* Deeper blocks are nobody's; each level of a visit costs stack. */
enum { CDEBUGINFO_MAX_DEPTH = 64 };
