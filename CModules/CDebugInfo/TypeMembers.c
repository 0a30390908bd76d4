#include "CDebugInfo.h"
#include "Session.h"

#include <dwarf.h>
#include <stdio.h>

struct visit {
    void *context;
    void (*report)(void *context, const cdebuginfo_member *member);
};

static bool is_aggregate(int tag)
{
    return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

static uint64_t number_of(Dwarf_Die *die, unsigned int name, uint64_t absent)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    return dwarf_formudata(dwarf_attr_integrate(die, name, &attribute), &value) == 0 ? value
                                                                                     : absent;
}

static uint64_t size_in_bits(Dwarf_Die *member)
{
    Dwarf_Attribute attribute;
    Dwarf_Die type;
    Dwarf_Word size;
    uint64_t bits = number_of(member, DW_AT_bit_size, 0);
    if (bits > 0) {
        return bits;
    }
    if (dwarf_formref_die(dwarf_attr_integrate(member, DW_AT_type, &attribute), &type) == NULL
        || dwarf_aggregate_size(&type, &size) != 0) {
        return 0;
    }
    return size * 8;
}

static void report_members(const struct visit *visit, Dwarf_Die *type, const char *name, int depth);

/* A structure without a name, of which the member or an array of it is, counts as a type
 * of its own: 'outer.member'. */
static void report_nested(
    const struct visit *visit, Dwarf_Die *member, const char *outer, int depth)
{
    Dwarf_Attribute attribute;
    Dwarf_Die type;
    Dwarf_Die *found = dwarf_formref_die(dwarf_attr(member, DW_AT_type, &attribute), &type);
    for (int level = 0; found != NULL && dwarf_tag(&type) == DW_TAG_array_type; level++) {
        found = level < CDEBUGINFO_MAX_DEPTH
            ? dwarf_formref_die(dwarf_attr(&type, DW_AT_type, &attribute), &type)
            : NULL;
    }
    if (found == NULL || depth > CDEBUGINFO_MAX_DEPTH || !is_aggregate(dwarf_tag(&type))
        || dwarf_diename(&type) != NULL) {
        return;
    }
    const char *name = dwarf_diename(member);
    char path[256];
    int length = name != NULL
        ? snprintf(path, sizeof path, "%s.%s", outer, name)
        : snprintf(
              path, sizeof path, "%s.(byte %llu)", outer,
              (unsigned long long)number_of(member, DW_AT_data_member_location, 0));
    if (length > 0 && (size_t)length < sizeof path) {
        report_members(visit, &type, path, depth + 1);
    }
}

static void report_members(const struct visit *visit, Dwarf_Die *type, const char *name, int depth)
{
    Dwarf_Word size;
    if (dwarf_hasattr_integrate(type, DW_AT_declaration)
        || dwarf_aggregate_size(type, &size) != 0) {
        return;
    }
    cdebuginfo_member member = {
        .type = name,
        .is_union = dwarf_tag(type) == DW_TAG_union_type,
        .type_size = size,
        .file = dwarf_decl_file(type),
        .number = -1,
    };
    if (dwarf_decl_line(type, &member.line) != 0) {
        member.line = 0;
    }
    Dwarf_Die child;
    int status = dwarf_child(type, &child);
    for (int number = 0; status == 0; status = dwarf_siblingof(&child, &child)) {
        /* Static members of a class are variables of their own. */
        if (dwarf_tag(&child) != DW_TAG_member && dwarf_tag(&child) != DW_TAG_inheritance) {
            continue;
        }
        uint64_t bytes = number_of(&child, DW_AT_data_member_location, 0);
        member.name = dwarf_diename(&child);
        member.offset = number_of(&child, DW_AT_data_bit_offset, bytes * 8);
        member.size = size_in_bits(&child);
        member.number = number++;
        visit->report(visit->context, &member);
    }
    if (member.number < 0) {
        visit->report(visit->context, &member);
    }
    status = dwarf_child(type, &child);
    for (; status == 0; status = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_member) {
            report_nested(visit, &child, name, depth);
        }
    }
}

static void visit_children(const struct visit *visit, Dwarf_Die *parent, int depth)
{
    Dwarf_Die child;
    int status = depth > CDEBUGINFO_MAX_DEPTH ? 1 : dwarf_child(parent, &child);
    for (; status == 0; status = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        const char *name = dwarf_diename(&child);
        Dwarf_Attribute attribute;
        Dwarf_Die type;
        if (is_aggregate(tag) && name != NULL) {
            report_members(visit, &child, name, depth);
            visit_children(visit, &child, depth + 1);
        } else if (tag == DW_TAG_namespace) {
            visit_children(visit, &child, depth + 1);
        } else if (
            tag == DW_TAG_typedef && name != NULL
            && dwarf_formref_die(dwarf_attr(&child, DW_AT_type, &attribute), &type) != NULL
            && is_aggregate(dwarf_tag(&type)) && dwarf_diename(&type) == NULL) {
            report_members(visit, &type, name, depth);
        }
    }
}

void cdebuginfo_members(
    cdebuginfo *info, void *context,
    void (*report)(void *context, const cdebuginfo_member *member))
{
    struct visit visit = {.context = context, .report = report};
    Dwarf_Addr bias;
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(info->module, unit, &bias)) != NULL) {
        visit_children(&visit, unit, 0);
    }
}

static bool is_type(int tag)
{
    switch (tag) {
    case DW_TAG_base_type:
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
    case DW_TAG_pointer_type:
    case DW_TAG_typedef: return true;
    default: return false;
    }
}

bool cdebuginfo_tells_types(cdebuginfo *info)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(info->module, unit, &bias)) != NULL) {
        Dwarf_Die child;
        int status = dwarf_child(unit, &child);
        for (; status == 0; status = dwarf_siblingof(&child, &child)) {
            if (is_type(dwarf_tag(&child))) {
                return true;
            }
        }
    }
    return false;
}
