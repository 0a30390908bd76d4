// The headers of an ELF object, read by libelf and handed over flat.
//
// libelf checks the identification, the extended section and program header
// counts (gABI, "ELF Header", PN_XNUM and shnum in section 0) and the bounds of
// both tables. It reads with pread, never by mapping the file: a file that is
// truncated meanwhile gives an error, not a SIGBUS.
#pragma once
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "celf_write.h"

#pragma clang assume_nonnull begin

/// An open libelf descriptor. To be closed with celf_close, from any thread, but
/// not used from two threads at once.
typedef struct Elf celf_file;

typedef struct {
    /// EI_CLASS, EI_DATA and EI_OSABI of the identification.
    uint8_t file_class;
    uint8_t data;
    uint8_t os_abi;
    uint16_t type;
    uint16_t machine;
    uint32_t version;
    uint64_t entry;
    /// Where the tables start in the file; 0 for none. libelf takes a table of
    /// which a part lies behind the end of the file for one without entries.
    uint64_t section_table;
    uint64_t segment_table;
    /// The counts as the ELF header has them: 0 or PN_XNUM where the true ones do
    /// not fit.
    uint16_t claimed_sections;
    uint16_t claimed_segments;
    /// The true counts and the true index of the section names' section.
    size_t section_count;
    size_t segment_count;
    size_t section_names;
} celf_header;

/// What a libelf call came to.
typedef enum {
    CELF_OK,
    /// The first bytes are not those of an ELF object.
    CELF_NOT_ELF,
    /// libelf refuses; celf_message says why.
    CELF_FAILED,
} celf_status;

/// Opens the file behind `descriptor`, which is borrowed and has to stay open
/// until celf_close. On CELF_OK `*file` is to be closed; otherwise it is NULL.
celf_status celf_open(int descriptor, celf_file *_Nullable *_Nonnull file);

/// Opens an object in memory; `image` is borrowed until celf_close and only read.
celf_status celf_open_memory(
    const void *image, size_t size, celf_file *_Nullable *_Nonnull file);

void celf_close(celf_file *file);

/// Fills `header`. A class, byte order or machine that is not ours is not an
/// error here: the caller looks at the fields.
celf_status celf_read_header(celf_file *file, celf_header *header);

/// Fills `section` with the header number `index`.
celf_status celf_read_section(celf_file *file, size_t index, Elf64_Shdr *section);

/// Fills `segment` with the program header number `index`.
celf_status celf_read_segment(celf_file *file, size_t index, Elf64_Phdr *segment);

/// The text of this thread's last libelf error. Static storage, never NULL.
const char *celf_message(void);

#pragma clang assume_nonnull end
