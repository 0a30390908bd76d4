#pragma once

#include <elfutils/libdw.h>
#include <stdint.h>

/* The registers in which the function of this DIE returns: CDEBUGINFO_… */
uint32_t return_registers(Dwarf_Die *function);
