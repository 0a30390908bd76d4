// What a fix for `hotpatch build` may use beyond C. The tool brings this header
// along: #include <hotpatch.h> needs no -I.
//
// HOTPATCH_ORIGINAL(name) is the function `name` as the program has it on disk,
// whatever patches are applied: the way for a replacement to call what it
// replaces.
//
//     #include <hotpatch.h>
//
//     int parse(const char *text)
//     {
//         if (text == NULL)
//             return -1;
//         return HOTPATCH_ORIGINAL(parse)(text);
//     }
//
// - `name` is a function that the same patch replaces; what it does not replace
//   is called by its name. Static functions of the program are named like others.
//   It has to be declared, as it is where it is defined.
// - The original calls other functions as ever: where those are replaced, by this
//   patch or another, it reaches the replacements. So it does when it calls itself.
// - It is entered at its first instruction, with the arguments that it is given
//   now. It is the function's own code and not a copy, so its static variables are
//   the program's.
// - `hotpatch build` refuses it where the original jumps back to its own entry, at
//   which the detour to the replacement stands, and says from where.
// - The value is a pointer to the function, other than &name, and may be kept like
//   any pointer to a function of the patch.
//
// For C with the extensions of GCC and Clang (-std=c11 included); in C++, of
// functions with C linkage.
#ifndef HOTPATCH_H
#define HOTPATCH_H

#define HOTPATCH_ORIGINAL(name) HOTPATCH_ORIGINAL_OF(name)

// Of a name without macros. Declared anew wherever it is used, which some projects
// want to be warned of.
#define HOTPATCH_ORIGINAL_OF(name) \
    (__extension__({ \
        _Pragma("GCC diagnostic push") \
        _Pragma("GCC diagnostic ignored \"-Wredundant-decls\"") \
        _Pragma("GCC diagnostic ignored \"-Wnested-externs\"") \
        extern __typeof__(name) hotpatch_original_##name __asm__("hotpatch.original." #name); \
        _Pragma("GCC diagnostic pop") \
        &hotpatch_original_##name; \
    }))

#endif
