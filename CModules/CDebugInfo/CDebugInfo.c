#include "CDebugInfo.h"

#include "ReturnRegisters.h"
#include "Session.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Deeper trees are no compiler's work; each level costs stack. */
enum { MAX_DEPTH = 512 };

/* Only the file that was named is read, never one that a server offers. */
static int find_no_other_file(
    Dwfl_Module *module, void **user_data, const char *name, Dwarf_Addr base,
    const char *file_name, const char *link_name, GElf_Word link_checksum, char **result)
{
    (void)module, (void)user_data, (void)name, (void)base, (void)file_name, (void)link_name;
    (void)link_checksum, (void)result;
    return -1;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = find_no_other_file,
    .section_address = dwfl_offline_section_address,
};

cdebuginfo *cdebuginfo_open(const char *path, const char **message)
{
    *message = NULL;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        *message = strerror(errno);
        return NULL;
    }
    cdebuginfo *info = calloc(1, sizeof *info);
    Dwfl *session = info == NULL ? NULL : dwfl_begin(&callbacks);
    if (session != NULL) {
        dwfl_report_begin(session);
        /* The descriptor is the session's from here on. */
        info->session = session;
        info->module = dwfl_report_offline(session, "", path, descriptor);
        dwfl_report_end(session, NULL, NULL);
        if (info->module != NULL) {
            return info;
        }
    }
    *message = dwfl_errmsg(-1);
    close(descriptor);
    dwfl_end(session);
    free(info);
    return NULL;
}

void cdebuginfo_close(cdebuginfo *info)
{
    dwfl_end(info->session);
    free(info);
}

struct visit {
    const char *const *names;
    size_t count;
    cdebuginfo_visitor visitor;
    bool partial;
};

/* The function with code that a part of the tree belongs to. */
struct container {
    const char *name;
    Dwarf_Addr address;
    bool has_code;
    /* The innermost function that is inlined around here, or NULL. */
    const char *inlined;
};

static bool is_wanted(const struct visit *visit, const char *name)
{
    if (visit->names == NULL) {
        return true;
    }
    for (size_t index = 0; index < visit->count; index++) {
        if (strcmp(visit->names[index], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The name in the symbol table: C++ functions have another one in the source. */
static const char *symbol_name(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Attribute *found = dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute);
    if (found == NULL) {
        found = dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute);
    }
    const char *name = found == NULL ? NULL : dwarf_formstring(found);
    return name != NULL ? name : dwarf_diename(die);
}

static int line_of(Dwarf_Die *die)
{
    int line = 0;
    return dwarf_decl_line(die, &line) == 0 ? line : 0;
}

/* The file that an attribute names by its number in the unit's table. (libdw's
 * dwarf_decl_file takes number 0 for none, which in DWARF 5 is the first.) */
static const char *file_of(Dwarf_Attribute *attribute)
{
    Dwarf_Die unit;
    Dwarf_Half version;
    Dwarf_Files *files;
    Dwarf_Word number;
    size_t count;
    if (dwarf_formudata(attribute, &number) != 0
        || dwarf_cu_die(attribute->cu, &unit, &version, NULL, NULL, NULL, NULL, NULL) == NULL
        || dwarf_getsrcfiles(&unit, &files, &count) != 0 || number >= count
        || (number == 0 && version < 5)) {
        return NULL;
    }
    return dwarf_filesrc(files, number, NULL, NULL);
}

static const char *declaring_file(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    return file_of(dwarf_attr_integrate(die, DW_AT_decl_file, &attribute));
}

static void report_function(struct visit *visit, Dwarf_Die *die, const char *name)
{
    cdebuginfo_function function = {
        .name = name,
        .file = declaring_file(die),
        .line = line_of(die),
        .return_registers = return_registers(die),
    };
    Dwarf_Addr base, start, end;
    ptrdiff_t offset = 0;
    while ((offset = dwarf_ranges(die, offset, &base, &start, &end)) > 0) {
        function.address = start;
        visit->visitor.function(visit->visitor.context, &function);
    }
}

static void report_inlined(
    struct visit *visit, Dwarf_Die *die, const char *name, const struct container *container)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number;
    Dwarf_Addr base, start, end;
    /* One that the optimiser took away altogether has no range. */
    if (dwarf_ranges(die, 0, &base, &start, &end) <= 0) {
        return;
    }
    cdebuginfo_inlined copy = {
        .name = name,
        .file = declaring_file(die),
        .line = line_of(die),
        .address = start,
        .container = container->name,
        .container_address = container->address,
        .call_file = file_of(dwarf_attr(die, DW_AT_call_file, &attribute)),
    };
    if (dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attribute), &number) == 0
        && number <= INT32_MAX) {
        copy.call_line = (int)number;
    }
    visit->visitor.inlined(visit->visitor.context, &copy);
}

/* Whether functions and copies of them may lie below a DIE of this kind. */
static bool may_hold_code(int tag)
{
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine
        || tag == DW_TAG_lexical_block || tag == DW_TAG_namespace || tag == DW_TAG_module
        || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

static void visit_children(
    struct visit *visit, Dwarf_Die *parent, struct container container, int depth);

static void visit_die(struct visit *visit, Dwarf_Die *die, struct container container, int depth)
{
    int tag = dwarf_tag(die);
    if (!may_hold_code(tag)) {
        return;
    }
    const char *name = NULL;
    if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine) {
        name = symbol_name(die);
        if (name == NULL && dwarf_hasattr(die, DW_AT_abstract_origin)) {
            visit->partial = true;
        }
    }
    if (tag == DW_TAG_subprogram) {
        Dwarf_Addr base, end;
        container.name = name;
        container.inlined = NULL;
        container.has_code = dwarf_ranges(die, 0, &base, &container.address, &end) > 0;
        if (container.has_code && name != NULL && is_wanted(visit, name)) {
            report_function(visit, die, name);
        }
    } else if (tag == DW_TAG_inlined_subroutine && container.has_code && name != NULL) {
        /* A function inlined in two parts shows the second inside the first. */
        bool is_part = container.inlined != NULL && strcmp(container.inlined, name) == 0;
        if (!is_part && is_wanted(visit, name)) {
            report_inlined(visit, die, name, &container);
        }
        container.inlined = name;
    }
    visit_children(visit, die, container, depth + 1);
}

static void visit_children(
    struct visit *visit, Dwarf_Die *parent, struct container container, int depth)
{
    Dwarf_Die child;
    int status = depth > MAX_DEPTH ? -1 : dwarf_child(parent, &child);
    while (status == 0) {
        visit_die(visit, &child, container, depth);
        status = dwarf_siblingof(&child, &child);
    }
    if (status < 0) {
        visit->partial = true;
    }
}

cdebuginfo_result cdebuginfo_visit(
    cdebuginfo *info, const char *const *names, size_t count, cdebuginfo_visitor visitor)
{
    struct visit visit = {.names = names, .count = count, .visitor = visitor};
    struct container outside = {.name = NULL, .address = 0, .has_code = false, .inlined = NULL};
    Dwarf_Addr bias;
    Dwarf_Die *unit = NULL;
    bool any = false;
    while ((unit = dwfl_module_nextcu(info->module, unit, &bias)) != NULL) {
        any = true;
        visit_children(&visit, unit, outside, 0);
    }
    if (!any) {
        return CDEBUGINFO_NONE;
    }
    return visit.partial ? CDEBUGINFO_PARTIAL : CDEBUGINFO_COMPLETE;
}
