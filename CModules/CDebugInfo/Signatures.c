#include "CDebugInfo.h"
#include "Session.h"

#include <dwarf.h>
#include <string.h>

/* Longer types are cut short; each level costs stack. */
enum { MAX_TEXT = 1024, MAX_DEPTH = 64 };

struct text {
    char bytes[MAX_TEXT];
    size_t length;
};

static void append(struct text *text, const char *part)
{
    while (*part != '\0' && text->length + 1 < sizeof text->bytes) {
        text->bytes[text->length++] = *part++;
    }
    text->bytes[text->length] = '\0';
}

static void append_type_of(struct text *text, Dwarf_Die *die, int depth);

/* Parameters and all, as in C, with the name behind: "int (char *, ...)". */
static void append_signature(struct text *text, Dwarf_Die *function, int depth)
{
    append_type_of(text, function, depth);
    append(text, " (");
    Dwarf_Die child;
    bool any = false;
    int status = dwarf_child(function, &child);
    for (; status == 0; status = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        if (tag != DW_TAG_formal_parameter && tag != DW_TAG_unspecified_parameters) {
            continue;
        }
        append(text, any ? ", " : "");
        any = true;
        if (tag == DW_TAG_formal_parameter) {
            append_type_of(text, &child, depth);
        } else {
            append(text, "...");
        }
    }
    append(text, ")");
}

static void append_type(struct text *text, Dwarf_Die *type, int depth)
{
    switch (dwarf_tag(type)) {
    /* Whether it may be written to decides nothing. */
    case DW_TAG_const_type:
    case DW_TAG_volatile_type:
    case DW_TAG_restrict_type:
    case DW_TAG_typedef:
        append_type_of(text, type, depth);
        break;
    case DW_TAG_pointer_type:
        append_type_of(text, type, depth);
        append(text, " *");
        break;
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
        append_type_of(text, type, depth);
        append(text, " &");
        break;
    case DW_TAG_array_type:
        append_type_of(text, type, depth);
        append(text, " []");
        break;
    case DW_TAG_subroutine_type: append_signature(text, type, depth); break;
    default: {
        const char *name = dwarf_diename(type);
        append(text, name == NULL ? "(without a name)" : name);
    }
    }
}

static void append_type_of(struct text *text, Dwarf_Die *die, int depth)
{
    Dwarf_Attribute attribute;
    Dwarf_Die type;
    if (dwarf_formref_die(dwarf_attr_integrate(die, DW_AT_type, &attribute), &type) == NULL) {
        append(text, "void");
    } else if (depth > MAX_DEPTH) {
        append(text, "(and so on)");
    } else {
        append_type(text, &type, depth + 1);
    }
}

const char *cdebuginfo_linked_name(Dwarf_Die *function)
{
    Dwarf_Attribute attribute;
    Dwarf_Attribute *linkage = dwarf_attr_integrate(function, DW_AT_linkage_name, &attribute);
    const char *name = linkage == NULL ? NULL : dwarf_formstring(linkage);
    return name == NULL ? dwarf_diename(function) : name;
}

/* The parameters of a clone may be fewer; those of what it was made of count. */
static void report_function(
    Dwarf_Die *die, void *context,
    void (*report)(void *context, const char *name, const char *signature))
{
    Dwarf_Attribute attribute;
    Dwarf_Die origin;
    Dwarf_Die *source = die;
    if (dwarf_formref_die(dwarf_attr(die, DW_AT_abstract_origin, &attribute), &origin) != NULL) {
        source = &origin;
    }
    const char *name = cdebuginfo_linked_name(die);
    if (name != NULL) {
        struct text text = {.length = 0};
        append_signature(&text, source, 0);
        report(context, name, text.bytes);
    }
}

void cdebuginfo_signatures(
    cdebuginfo *info, void *context,
    void (*report)(void *context, const char *name, const char *signature))
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(info->module, unit, &bias)) != NULL) {
        Dwarf_Die child;
        int status = dwarf_child(unit, &child);
        for (; status == 0; status = dwarf_siblingof(&child, &child)) {
            Dwarf_Addr base, start, end;
            if (dwarf_tag(&child) == DW_TAG_subprogram
                && dwarf_ranges(&child, 0, &base, &start, &end) > 0) {
                report_function(&child, context, report);
            }
        }
    }
}
