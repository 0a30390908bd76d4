#include "CELF.h"

#include <gelf.h>
#include <libelf.h>

static celf_status finish_open(Elf *elf, celf_file **file)
{
    *file = NULL;
    if (elf == NULL) {
        return CELF_FAILED;
    }
    if (elf_kind(elf) != ELF_K_ELF) {
        elf_end(elf);
        return CELF_NOT_ELF;
    }
    *file = elf;
    return CELF_OK;
}

celf_status celf_open(int descriptor, celf_file **file)
{
    // The library refuses all else until it was told the version (elf_version(3)).
    (void)elf_version(EV_CURRENT);
    return finish_open(elf_begin(descriptor, ELF_C_READ, NULL), file);
}

celf_status celf_open_memory(const void *image, size_t size, celf_file **file)
{
    (void)elf_version(EV_CURRENT);
    // The parameter is not const for the sake of writers; nothing is written
    // to an image that is only read.
    return finish_open(elf_memory((char *)(uintptr_t)image, size), file);
}

void celf_close(celf_file *file)
{
    (void)elf_end(file);
}

celf_status celf_read_header(celf_file *file, celf_header *header)
{
    GElf_Ehdr raw;
    if (gelf_getehdr(file, &raw) == NULL) {
        return CELF_FAILED;
    }
    *header = (celf_header){
        .file_class = raw.e_ident[EI_CLASS],
        .data = raw.e_ident[EI_DATA],
        .os_abi = raw.e_ident[EI_OSABI],
        .type = raw.e_type,
        .machine = raw.e_machine,
        .version = raw.e_version,
        .entry = raw.e_entry,
        .section_table = raw.e_shoff,
        .segment_table = raw.e_phoff,
        .claimed_sections = raw.e_shnum,
        .claimed_segments = raw.e_phnum,
    };
    if (elf_getshdrnum(file, &header->section_count) != 0
        || elf_getphdrnum(file, &header->segment_count) != 0) {
        return CELF_FAILED;
    }
    if (header->section_count > 0 && elf_getshdrstrndx(file, &header->section_names) != 0) {
        return CELF_FAILED;
    }
    return CELF_OK;
}

celf_status celf_read_section(celf_file *file, size_t index, Elf64_Shdr *section)
{
    Elf_Scn *found = elf_getscn(file, index);
    return found != NULL && gelf_getshdr(found, section) != NULL ? CELF_OK : CELF_FAILED;
}

celf_status celf_read_segment(celf_file *file, size_t index, Elf64_Phdr *segment)
{
    if (index > INT32_MAX) {
        return CELF_FAILED;
    }
    return gelf_getphdr(file, (int)index, segment) != NULL ? CELF_OK : CELF_FAILED;
}

const char *celf_message(void)
{
    const char *text = elf_errmsg(-1);
    return text != NULL ? text : "no error recorded";
}
