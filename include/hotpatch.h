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

// HOTPATCH_ON_APPLY(function) has `function`, of the patch, called once in each process
// that the patch is applied to, before any replacement of the patch is: by the thread
// that first enters one, as its own code, while other threads that come wait. It is
// what a fix does about data that exists already.
//
//     static void raise_limit(void)
//     {
//         if (session_limit == 100)
//             session_limit = 1000;
//     }
//     HOTPATCH_ON_APPLY(raise_limit);
//
// - Several are called in the order in which they stand, those of the first source
//   first.
// - Nothing happens at the moment of `hotpatch apply`, but at the first call of a
//   replacement, which may come much later, from any thread, with whatever locks it
//   holds: such a function should take none that callers of replacements may hold.
//   A replaced function that it calls is the new one.
// - No signal handler runs in that thread meanwhile, nor in threads that it makes. It
//   has to return: no exception, longjmp or end of the thread. In C++17 and later it
//   has to be noexcept, which the compiler sees to.
// - After `revert` and `apply` it is called again, since the old code has run in
//   between; `revert` calls nothing. A patch that takes another's place has its own.
// - In a program that is patched before it starts, the first call may come from a
//   constructor, so before main.
//
// It is called at most once: not again in a child that another thread forks meanwhile,
// and not again where its thread was cancelled in the middle.
#if defined(__GNUC__) && !defined(__clang__)
// GCC turns the order of variables round.
#define HOTPATCH_IN_ORDER __attribute__((no_reorder))
#else
#define HOTPATCH_IN_ORDER
#endif
#if defined(__cplusplus) && __cplusplus >= 201703L
#define HOTPATCH_QUIET noexcept
#else
#define HOTPATCH_QUIET
#endif
#define HOTPATCH_ON_APPLY(function) \
    HOTPATCH_IN_ORDER __attribute__((used, section(".hotpatch.on_apply"))) \
    static void (*const hotpatch_on_apply_##function)(void) HOTPATCH_QUIET = function

// Shadow data: what a fix keeps beside a structure of the program that has no room for
// it, by the structure's address and a number of the fix's own.
//
//     struct more *more = hotpatch_shadow_get_or_attach(session, 1, sizeof *more, NULL);
//     if (more)
//         more->failures++;
//
// - All patches of a process share it, those included that are reverted: a later patch
//   finds by the same number what an earlier one attached. Numbers should be unlikely
//   ones, such as that of the CVE.
// - It goes with nothing: detach it where the structure is freed, or the next structure
//   at that address has it.
// - `get` takes no lock, and may be called in signal handlers. The others may not: there
//   they find nothing and attach nothing where they have interrupted themselves.
// - What `get` has returned is there until it is detached; who uses it then is the
//   fix's business, as with any memory.
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Makes data of what is zero.
typedef void (*hotpatch_shadow_init)(void *object, void *data);
// Is told that data is about to go.
typedef void (*hotpatch_shadow_end)(void *object, void *data);

// The data, or NULL where there is none.
void *hotpatch_shadow_get(const void *object, unsigned long id);

// New data of `size` bytes, at a multiple of 16; NULL where there is some already, or
// no memory. `init`, which may be NULL, is called before anybody else can see it, and
// in vain where another thread is faster.
void *hotpatch_shadow_attach(
    const void *object, unsigned long id, size_t size, hotpatch_shadow_init init);

// What is there, or else new data; NULL where there is no memory.
void *hotpatch_shadow_get_or_attach(
    const void *object, unsigned long id, size_t size, hotpatch_shadow_init init);

// Takes the data away, calls `end` with it where that is not NULL, and tells whether
// there was any. Its memory serves others then.
int hotpatch_shadow_detach(const void *object, unsigned long id, hotpatch_shadow_end end);

#ifdef __cplusplus
}
#endif

#endif
