// Appending a section to an object.
#pragma once
#include <stddef.h>

#pragma clang assume_nonnull begin

/// Makes a copy of the ELF object at `object` with one more section (SHT_PROGBITS,
/// no flags) behind the others, whose bytes are those at `content`. Nothing that
/// is passed is written to.
///
/// Returns 0 and fills `*result` with memory to be given to free(3). Otherwise
/// returns an errno value, or -1 where libelf refuses (celf_message says why),
/// and leaves `*result` alone.
int celf_with_section(
    const void *object, size_t object_size, const char *section_name, const void *content,
    size_t content_size, void *_Nullable *_Nonnull result, size_t *result_size);

#pragma clang assume_nonnull end
