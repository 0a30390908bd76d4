#include "CDebugInfo.h"
#include "Session.h"

#include <dwarf.h>

struct visit {
    void *context;
    void (*report)(void *context, const cdebuginfo_enumerator *enumerator);
};

static int64_t value_of(Dwarf_Die *enumerator)
{
    Dwarf_Attribute attribute;
    Dwarf_Sword number = 0;
    Dwarf_Word word = 0;
    if (dwarf_attr(enumerator, DW_AT_const_value, &attribute) == NULL) {
        return 0;
    }
    unsigned int form = dwarf_whatform(&attribute);
    if (form == DW_FORM_sdata || form == DW_FORM_implicit_const) {
        return dwarf_formsdata(&attribute, &number) == 0 ? number : 0;
    }
    return dwarf_formudata(&attribute, &word) == 0 ? (int64_t)word : 0;
}

static void report_enumerators(const struct visit *visit, Dwarf_Die *type, const char *function)
{
    cdebuginfo_enumerator found = {
        .type = dwarf_diename(type),
        .function = function,
        .file = dwarf_decl_file(type),
    };
    if (dwarf_decl_line(type, &found.line) != 0) {
        found.line = 0;
    }
    Dwarf_Die child;
    int status = dwarf_child(type, &child);
    for (; status == 0; status = dwarf_siblingof(&child, &child)) {
        const char *name = dwarf_diename(&child);
        if (dwarf_tag(&child) == DW_TAG_enumerator && name != NULL) {
            found.name = name;
            found.value = value_of(&child);
            visit->report(visit->context, &found);
            found.number++;
        }
    }
}

static void visit_children(
    const struct visit *visit, Dwarf_Die *parent, const char *function, int depth)
{
    Dwarf_Die child;
    int status = depth > CDEBUGINFO_MAX_DEPTH ? 1 : dwarf_child(parent, &child);
    for (; status == 0; status = dwarf_siblingof(&child, &child)) {
        switch (dwarf_tag(&child)) {
        case DW_TAG_enumeration_type: report_enumerators(visit, &child, function); break;
        case DW_TAG_subprogram:
            visit_children(visit, &child, dwarf_diename(&child), depth + 1);
            break;
        case DW_TAG_namespace:
        case DW_TAG_structure_type:
        case DW_TAG_class_type:
        case DW_TAG_union_type:
        case DW_TAG_lexical_block:
            visit_children(visit, &child, function, depth + 1);
            break;
        default: break;
        }
    }
}

void cdebuginfo_enumerators(
    cdebuginfo *info, void *context,
    void (*report)(void *context, const cdebuginfo_enumerator *enumerator))
{
    struct visit visit = {.context = context, .report = report};
    Dwarf_Addr bias;
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(info->module, unit, &bias)) != NULL) {
        visit_children(&visit, unit, NULL, 0);
    }
}
