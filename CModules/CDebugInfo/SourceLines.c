#include "CDebugInfo.h"
#include "Session.h"

bool cdebuginfo_section_place(Dwfl_Module *module, Dwarf_Addr *address, uint32_t *section)
{
    int base = dwfl_module_relocate_address(module, address);
    Elf64_Word index = 0;
    if (base < 0 || dwfl_module_relocation_info(module, (unsigned)base, &index) == NULL) {
        return false;
    }
    *section = index;
    return true;
}

void cdebuginfo_lines(
    cdebuginfo *info, void *context,
    void (*report)(void *context, uint32_t section, uint64_t offset, int line))
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(info->module, unit, &bias)) != NULL) {
        Dwarf_Lines *lines;
        size_t count;
        if (dwarf_getsrclines(unit, &lines, &count) != 0) {
            continue;
        }
        for (size_t index = 0; index < count; index++) {
            Dwarf_Line *row = dwarf_onesrcline(lines, index);
            Dwarf_Addr address;
            uint32_t section;
            bool is_end;
            int line;
            if (dwarf_lineaddr(row, &address) != 0 || dwarf_lineendsequence(row, &is_end) != 0
                || is_end || dwarf_lineno(row, &line) != 0) {
                continue;
            }
            address += bias;
            if (cdebuginfo_section_place(info->module, &address, &section)) {
                report(context, section, address, line);
            }
        }
    }
}
