/*
 * The classification of return types by the psABI (x86-64, section 3.2.3).
 *
 * A value of at most 16 bytes is taken as two eightbytes. One that holds only
 * floating point numbers is of class SSE, any other of class INTEGER; INTEGER
 * ones go to rax, then rdx, SSE ones to xmm0, then xmm1. A larger aggregate is
 * in memory, and its address in rax. (libdwfl's own function for this takes
 * every aggregate for INTEGER.)
 */
#include "ReturnRegisters.h"

#include "CDebugInfo.h"

#include <dwarf.h>
#include <string.h>

enum class { CLASS_NONE, CLASS_SSE, CLASS_INTEGER };

enum { MAX_NESTING = 16 };

/* The classes of a value of up to 16 bytes in the making. */
struct value {
    enum class eightbytes[2];
    bool in_memory;
    bool unknown;
};

static void add(struct value *value, Dwarf_Word offset, Dwarf_Word size, enum class class)
{
    for (Dwarf_Word byte = offset; byte < offset + size; byte += 8 - byte % 8) {
        if (byte / 8 > 1) {
            value->in_memory = true;
            return;
        }
        if (value->eightbytes[byte / 8] < class) {
            value->eightbytes[byte / 8] = class;
        }
    }
}

/* The type of a DIE without typedefs and qualifiers; false for void. */
static bool type_of(Dwarf_Die *die, Dwarf_Die *type)
{
    Dwarf_Attribute attribute;
    return dwarf_formref_die(dwarf_attr_integrate(die, DW_AT_type, &attribute), type) != NULL
        && dwarf_peel_type(type, type) == 0;
}

static bool is_scalar(int tag)
{
    return tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type
        || tag == DW_TAG_rvalue_reference_type || tag == DW_TAG_enumeration_type
        || tag == DW_TAG_ptr_to_member_type || tag == DW_TAG_unspecified_type;
}

static bool is_x87(Dwarf_Die *base, Dwarf_Word size, Dwarf_Word encoding)
{
    const char *name = dwarf_diename(base);
    bool is_quad = name != NULL && (strstr(name, "loat128") != NULL);
    return !is_quad
        && ((encoding == DW_ATE_float && size == 16)
            || (encoding == DW_ATE_complex_float && size == 32));
}

static void classify(Dwarf_Die *type, Dwarf_Word offset, struct value *value, int depth);

static void classify_base(
    Dwarf_Die *type, Dwarf_Word offset, Dwarf_Word size, struct value *value)
{
    Dwarf_Attribute attribute;
    Dwarf_Word encoding;
    if (dwarf_formudata(dwarf_attr(type, DW_AT_encoding, &attribute), &encoding) != 0) {
        value->unknown = true;
        return;
    }
    if (is_x87(type, size, encoding)) {
        value->in_memory = true;
        return;
    }
    bool is_sse = encoding == DW_ATE_float || encoding == DW_ATE_complex_float
        || encoding == DW_ATE_decimal_float;
    add(value, offset, size, is_sse ? CLASS_SSE : CLASS_INTEGER);
}

static void classify_array(
    Dwarf_Die *type, Dwarf_Word offset, Dwarf_Word size, struct value *value, int depth)
{
    Dwarf_Die element;
    Dwarf_Word step;
    if (!type_of(type, &element) || dwarf_aggregate_size(&element, &step) != 0 || step == 0) {
        value->unknown = true;
        return;
    }
    for (Dwarf_Word at = 0; at < size && offset + at < 16; at += step) {
        classify(&element, offset + at, value, depth + 1);
    }
}

static void classify_members(Dwarf_Die *type, Dwarf_Word offset, struct value *value, int depth)
{
    Dwarf_Die member;
    if (dwarf_child(type, &member) != 0) {
        return;
    }
    do {
        int tag = dwarf_tag(&member);
        Dwarf_Attribute attribute;
        Dwarf_Die of;
        if ((tag != DW_TAG_member && tag != DW_TAG_inheritance)
            || dwarf_hasattr(&member, DW_AT_external) || dwarf_hasattr(&member, DW_AT_declaration)) {
            continue;
        }
        Dwarf_Word bit, at = 0;
        if (dwarf_formudata(dwarf_attr(&member, DW_AT_data_bit_offset, &attribute), &bit) == 0) {
            add(value, offset + bit / 8, 1, CLASS_INTEGER);
            continue;
        }
        if (dwarf_hasattr(&member, DW_AT_data_member_location)
            && dwarf_formudata(
                   dwarf_attr(&member, DW_AT_data_member_location, &attribute), &at) != 0) {
            value->unknown = true;
            return;
        }
        if (!type_of(&member, &of)) {
            value->unknown = true;
            return;
        }
        classify(&of, offset + at, value, depth + 1);
    } while (dwarf_siblingof(&member, &member) == 0);
}

static void classify(Dwarf_Die *type, Dwarf_Word offset, struct value *value, int depth)
{
    int tag = dwarf_tag(type);
    Dwarf_Word size;
    if (depth > MAX_NESTING || dwarf_aggregate_size(type, &size) != 0) {
        /* References and pointers may come without a size. */
        size = 8;
        if (depth > MAX_NESTING || !is_scalar(tag)) {
            value->unknown = true;
            return;
        }
    }
    if (is_scalar(tag)) {
        add(value, offset, size, CLASS_INTEGER);
    } else if (tag == DW_TAG_base_type) {
        classify_base(type, offset, size, value);
    } else if (tag == DW_TAG_array_type && dwarf_hasattr(type, DW_AT_GNU_vector)) {
        /* Vectors in aggregates have a class of their own (SSEUP). */
        value->unknown = true;
    } else if (tag == DW_TAG_array_type) {
        classify_array(type, offset, size, value, depth);
    } else if (
        tag == DW_TAG_structure_type || tag == DW_TAG_union_type || tag == DW_TAG_class_type) {
        classify_members(type, offset, value, depth);
    } else {
        value->unknown = true;
    }
}

static uint32_t registers_of(const struct value *value)
{
    static const uint32_t integers[] = {CDEBUGINFO_RAX, CDEBUGINFO_RDX};
    static const uint32_t vectors[] = {CDEBUGINFO_XMM0, CDEBUGINFO_XMM1};
    size_t next_integer = 0, next_vector = 0;
    uint32_t set = 0;
    for (size_t index = 0; index < 2; index++) {
        if (value->eightbytes[index] == CLASS_INTEGER) {
            set |= integers[next_integer++];
        } else if (value->eightbytes[index] == CLASS_SSE) {
            set |= vectors[next_vector++];
        }
    }
    return set;
}

/* A scalar or vector that is returned as such, not as part of an aggregate. */
static bool whole_value(Dwarf_Die *type, uint32_t *set)
{
    Dwarf_Attribute attribute;
    Dwarf_Word size = 0, encoding = 0;
    int tag = dwarf_tag(type);
    (void)dwarf_aggregate_size(type, &size);
    if (tag == DW_TAG_array_type && dwarf_hasattr(type, DW_AT_GNU_vector)) {
        *set = CDEBUGINFO_XMM0;
        return true;
    }
    if (tag != DW_TAG_base_type
        || dwarf_formudata(dwarf_attr(type, DW_AT_encoding, &attribute), &encoding) != 0) {
        return false;
    }
    if (is_x87(type, size, encoding)) {
        *set = CDEBUGINFO_X87;
        return true;
    }
    /* SSE and SSEUP: one register. */
    if ((encoding == DW_ATE_float || encoding == DW_ATE_decimal_float) && size == 16) {
        *set = CDEBUGINFO_XMM0;
        return true;
    }
    return false;
}

uint32_t return_registers(Dwarf_Die *function)
{
    Dwarf_Die type = {0};
    Dwarf_Attribute attribute;
    Dwarf_Word size, convention;
    uint32_t set;
    if (dwarf_attr_integrate(function, DW_AT_type, &attribute) == NULL) {
        return 0;
    }
    if (!type_of(function, &type)) {
        /* A typedef of void has no type either. */
        return dwarf_tag(&type) == DW_TAG_typedef && !dwarf_hasattr(&type, DW_AT_type)
            ? 0 : CDEBUGINFO_UNKNOWN;
    }
    if (whole_value(&type, &set)) {
        return set;
    }
    /* C++: what cannot be copied byte by byte. */
    if (dwarf_formudata(dwarf_attr(&type, DW_AT_calling_convention, &attribute), &convention) == 0
        && convention == DW_CC_pass_by_reference) {
        return CDEBUGINFO_RAX;
    }
    struct value value = {{CLASS_NONE, CLASS_NONE}, false, false};
    classify(&type, 0, &value, 0);
    if (value.unknown) {
        return CDEBUGINFO_UNKNOWN;
    }
    if (value.in_memory || (dwarf_aggregate_size(&type, &size) == 0 && size > 16)) {
        return CDEBUGINFO_RAX;
    }
    return registers_of(&value);
}
