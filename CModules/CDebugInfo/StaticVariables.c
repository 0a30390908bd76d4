#include "CDebugInfo.h"
#include "Session.h"

#include <dwarf.h>

struct visit {
    cdebuginfo *info;
    Dwarf_Addr bias;
    void *context;
    void (*report)(
        void *context, uint32_t section, uint64_t offset, const char *function, const char *name);
};

/* The address of a variable that has one for good. */
static bool address_of(Dwarf_Die *variable, Dwarf_Addr *address)
{
    Dwarf_Attribute location, operand;
    Dwarf_Op *operations;
    size_t count;
    if (dwarf_attr(variable, DW_AT_location, &location) == NULL
        || dwarf_getlocation(&location, &operations, &count) != 0 || count != 1) {
        return false;
    }
    if (operations[0].atom == DW_OP_addr) {
        *address = operations[0].number;
        return true;
    }
    /* By its place in a table of addresses (DWARF 5, 2.5.1.1). */
    return operations[0].atom == DW_OP_addrx
        && dwarf_getlocation_attr(&location, operations, &operand) == 0
        && dwarf_formaddr(&operand, address) == 0;
}

static void report_variable(const struct visit *visit, Dwarf_Die *variable, const char *function)
{
    Dwarf_Addr address;
    uint32_t section;
    const char *name = dwarf_diename(variable);
    if (name == NULL || function == NULL || !address_of(variable, &address)) {
        return;
    }
    address += visit->bias;
    if (cdebuginfo_section_place(visit->info->module, &address, &section)) {
        visit->report(visit->context, section, address, function, name);
    }
}

static void visit_children(
    const struct visit *visit, Dwarf_Die *parent, const char *function, int depth)
{
    Dwarf_Die child;
    int status = depth > CDEBUGINFO_MAX_DEPTH ? 1 : dwarf_child(parent, &child);
    for (; status == 0; status = dwarf_siblingof(&child, &child)) {
        switch (dwarf_tag(&child)) {
        case DW_TAG_variable: report_variable(visit, &child, function); break;
        case DW_TAG_subprogram:
        case DW_TAG_inlined_subroutine:
            visit_children(visit, &child, cdebuginfo_linked_name(&child), depth + 1);
            break;
        case DW_TAG_lexical_block:
        case DW_TAG_namespace: visit_children(visit, &child, function, depth + 1); break;
        default: break;
        }
    }
}

void cdebuginfo_static_variables(
    cdebuginfo *info, void *context,
    void (*report)(
        void *context, uint32_t section, uint64_t offset, const char *function,
        const char *name))
{
    struct visit visit = {.info = info, .context = context, .report = report};
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(info->module, unit, &visit.bias)) != NULL) {
        visit_children(&visit, unit, NULL, 0);
    }
}
