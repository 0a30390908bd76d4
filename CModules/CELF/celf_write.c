#define _GNU_SOURCE
#include "celf_write.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int write_all(int descriptor, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(descriptor, bytes, count);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return errno;
        }
        bytes += written;
        count -= (size_t)written;
    }
    return 0;
}

/* Reads `count` bytes from the start into memory of its own. */
static int read_all(int descriptor, size_t count, void **result)
{
    char *bytes = malloc(count);
    if (bytes == NULL) {
        return ENOMEM;
    }
    for (size_t done = 0; done < count;) {
        ssize_t part = pread(descriptor, bytes + done, count - done, (off_t)done);
        if (part <= 0 && !(part < 0 && errno == EINTR)) {
            free(bytes);
            return part < 0 ? errno : EIO;
        }
        done += part > 0 ? (size_t)part : 0;
    }
    *result = bytes;
    return 0;
}

/* Adds `name` to the section names; its offset goes to `*offset`. */
static int add_section_name(Elf *elf, const char *name, GElf_Word *offset)
{
    size_t index;
    GElf_Shdr header;
    if (elf_getshdrstrndx(elf, &index) != 0) {
        return -1;
    }
    Elf_Scn *names = elf_getscn(elf, index);
    if (names == NULL || gelf_getshdr(names, &header) == NULL
        || header.sh_size > UINT32_MAX || elf_getdata(names, NULL) == NULL) {
        return -1;
    }
    Elf_Data *data = elf_newdata(names);
    if (data == NULL) {
        return -1;
    }
    data->d_buf = (char *)(uintptr_t)name; /* only read */
    data->d_size = strlen(name) + 1;
    data->d_align = 1;
    data->d_type = ELF_T_BYTE;
    *offset = (GElf_Word)header.sh_size;
    return 0;
}

static int add_section(Elf *elf, const char *name, const void *content, size_t size)
{
    GElf_Word name_offset;
    if (add_section_name(elf, name, &name_offset) != 0) {
        return -1;
    }
    Elf_Scn *section = elf_newscn(elf);
    Elf_Data *data = section == NULL ? NULL : elf_newdata(section);
    GElf_Shdr header;
    if (data == NULL || gelf_getshdr(section, &header) == NULL) {
        return -1;
    }
    data->d_buf = (char *)(uintptr_t)content; /* only read */
    data->d_size = size;
    data->d_align = 1;
    data->d_type = ELF_T_BYTE;
    header.sh_name = name_offset;
    header.sh_type = SHT_PROGBITS;
    header.sh_addralign = 1;
    return gelf_update_shdr(section, &header) != 0 ? 0 : -1;
}

int celf_with_section(
    const void *object, size_t object_size, const char *section_name, const void *content,
    size_t content_size, void **result, size_t *result_size)
{
    (void)elf_version(EV_CURRENT);
    /* libelf writes to descriptors only; this one is memory, and never full. */
    int descriptor = memfd_create("hotpatch-object", MFD_CLOEXEC);
    if (descriptor < 0) {
        return errno;
    }
    int status = write_all(descriptor, object, object_size);
    Elf *elf = NULL;
    if (status == 0) {
        elf = elf_begin(descriptor, ELF_C_RDWR, NULL);
        status = elf == NULL ? -1 : add_section(elf, section_name, content, content_size);
    }
    if (status == 0) {
        off_t size = (off_t)elf_update(elf, ELF_C_WRITE);
        status = size <= 0 ? -1 : read_all(descriptor, (size_t)size, result);
        *result_size = status == 0 ? (size_t)size : 0;
    }
    (void)elf_end(elf);
    close(descriptor);
    return status;
}
