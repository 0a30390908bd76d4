/*
 * What the debug information (DWARF) of one ELF file says about functions: the
 * copies of them that were inlined, and the registers that they return in.
 * libdw behind a small interface. Relocatable objects are relocated on the fly.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Debug information of one file; cdebuginfo_open and cdebuginfo_close. */
typedef struct cdebuginfo cdebuginfo;

/*
 * Opens `path`, and no other file but a supplementary one that it refers to
 * (dwz). NULL where it cannot be read; *message is then a text in static
 * storage. A file without debug information opens: it has no units.
 */
cdebuginfo *_Nullable cdebuginfo_open(
    const char *_Nonnull path, const char *_Nullable *_Nonnull message);
void cdebuginfo_close(cdebuginfo *_Nonnull info);

/* Registers that return a value (psABI, section 3.2.3), as bits of a set. */
enum {
    CDEBUGINFO_RAX = 1,
    CDEBUGINFO_RDX = 2,
    CDEBUGINFO_XMM0 = 4,
    CDEBUGINFO_XMM1 = 8,
    CDEBUGINFO_X87 = 16,
    /* The type's class could not be found out: any of them. */
    CDEBUGINFO_UNKNOWN = 32,
};

/* A function with code of its own. Strings live as long as the session. */
typedef struct cdebuginfo_function {
    /* As in the symbol table. */
    const char *_Nonnull name;
    /* Where it is defined; NULL and 0 where that is not told. */
    const char *_Nullable file;
    int line;
    /* The start of one of its ranges, as linked; a function in several parts is
     * reported once for each. */
    uint64_t address;
    /* CDEBUGINFO_RAX and so on; 0 for void. */
    uint32_t return_registers;
} cdebuginfo_function;

/* A copy of a function, inlined in one that has code. */
typedef struct cdebuginfo_inlined {
    /* The function that was inlined: as above. */
    const char *_Nonnull name;
    const char *_Nullable file;
    int line;
    /* The first address of the copy. */
    uint64_t address;
    /* The function that it is in, and the start of its code. */
    const char *_Nullable container;
    uint64_t container_address;
    /* The place of the call in the source; NULL and 0 where not told. */
    const char *_Nullable call_file;
    int call_line;
} cdebuginfo_inlined;

typedef struct cdebuginfo_visitor {
    void *_Nullable context;
    void (*_Nonnull function)(
        void *_Nullable context, const cdebuginfo_function *_Nonnull function);
    void (*_Nonnull inlined)(void *_Nullable context, const cdebuginfo_inlined *_Nonnull copy);
} cdebuginfo_visitor;

/* What a visit came to. */
typedef enum cdebuginfo_result {
    CDEBUGINFO_COMPLETE,
    /* There is no debug information. */
    CDEBUGINFO_NONE,
    /* Parts could not be read, such as those in a missing supplementary file. */
    CDEBUGINFO_PARTIAL,
} cdebuginfo_result;

/*
 * Reports each function of one of the `count` names that has code, and each
 * inlined copy of one; with `names` NULL, those of every name.
 */
cdebuginfo_result cdebuginfo_visit(
    cdebuginfo *_Nonnull info, const char *_Nonnull const *_Nullable names, size_t count,
    cdebuginfo_visitor visitor);

/*
 * Reports which line of the source the code from `offset` of a section on belongs
 * to, in no certain order; of a relocatable object only.
 */
void cdebuginfo_lines(
    cdebuginfo *_Nonnull info, void *_Nullable context,
    void (*_Nonnull report)(
        void *_Nullable context, uint32_t section, uint64_t offset, int line));

/* A member of a structure, class or union; or such a type that has none. */
typedef struct cdebuginfo_member {
    /* The type, as long as the call lasts; of one without a name, that of the first
     * typedef of it. */
    const char *_Nonnull type;
    bool is_union;
    /* Bytes. */
    uint64_t type_size;
    /* Where the type is declared; NULL and 0 where not told. */
    const char *_Nullable file;
    int line;
    /* NULL for a member without a name. */
    const char *_Nullable name;
    /* Bits from the start, and bits; of a type without members both are 0. */
    uint64_t offset;
    uint64_t size;
    /* Its number in the type, from 0; -1 of a type without members. */
    int number;
} cdebuginfo_member;

/*
 * Reports the members, in their order, of each type that is declared outside of
 * functions and complete. A structure without a name that a member is of is called
 * after both: 'outer.member'.
 */
void cdebuginfo_members(
    cdebuginfo *_Nonnull info, void *_Nullable context,
    void (*_Nonnull report)(
        void *_Nullable context, const cdebuginfo_member *_Nonnull member));

/* A number that an enumeration names. */
typedef struct cdebuginfo_enumerator {
    /* The enumeration; NULL where it has no name. */
    const char *_Nullable type;
    /* The function that it is declared in; NULL outside of functions. */
    const char *_Nullable function;
    /* Where it is declared; NULL and 0 where not told. */
    const char *_Nullable file;
    int line;
    const char *_Nonnull name;
    int64_t value;
    /* Its place in the enumeration, from 0. */
    int number;
} cdebuginfo_enumerator;

/* Reports the enumerators of each enumeration, in their order. */
void cdebuginfo_enumerators(
    cdebuginfo *_Nonnull info, void *_Nullable context,
    void (*_Nonnull report)(
        void *_Nullable context, const cdebuginfo_enumerator *_Nonnull enumerator));

/*
 * Whether it tells of types at all: that of -g1 tells of lines only, and that of
 * -gsplit-dwarf stands elsewhere.
 */
bool cdebuginfo_tells_types(cdebuginfo *_Nonnull info);

/*
 * Reports the variables of a relocatable object that are declared in functions and have
 * one place for good: the number of the section, the offset in it, and the names.
 */
void cdebuginfo_static_variables(
    cdebuginfo *_Nonnull info, void *_Nullable context,
    void (*_Nonnull report)(
        void *_Nullable context, uint32_t section, uint64_t offset,
        const char *_Nonnull function, const char *_Nonnull name));

/*
 * Reports of each function that has code how it is called: what it returns and takes,
 * as text in which equal types are equal.
 */
void cdebuginfo_signatures(
    cdebuginfo *_Nonnull info, void *_Nullable context,
    void (*_Nonnull report)(
        void *_Nullable context, const char *_Nonnull name, const char *_Nonnull signature));
