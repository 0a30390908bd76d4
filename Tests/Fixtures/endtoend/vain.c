// The voices of chorus.h in a program that looks at its own code: all executable
// segments of all its objects, the kernel's vDSO included, as they were when it
// started. A thread compares without end. Input lines:
//   report    lead N alto N tenor N bass N: a round of now
//   look      CHECKSUM ADDRESS...: of all code, and where it differs now
//   ever      ADDRESS...: wherever it has been seen to differ, after one more look
//   writable  makes the page of alto() writable, and says so
//   shared    maps the page of alto() anew, shared with the program's file
#define _GNU_SOURCE
#include "chorus.h"

#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

VOICE int alto(int part) { return 1 + silence(part); }
VOICE int tenor(int part) { return 1 + silence(part); }

VOICE struct voices lead(int part) {
    struct voices round = {1, (short)alto(part), (short)tenor(part), (short)bass(part)};
    return round;
}

static struct {
    const unsigned char *code;
    unsigned char *copy;
    atomic_uchar *has_differed;
    size_t size;
} segments[64];
static int segment_count;
static atomic_ulong looks;

static int add_object(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size;
    (void)unused;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X)) continue;
        if (segment_count == 64) abort();
        segments[segment_count].code = (void *)(object->dlpi_addr + header->p_vaddr);
        segments[segment_count].size = header->p_memsz;
        segments[segment_count].copy = malloc(header->p_memsz);
        segments[segment_count].has_differed = calloc(header->p_memsz, 1);
        memcpy(segments[segment_count].copy, segments[segment_count].code, header->p_memsz);
        segment_count++;
    }
    return 0;
}

static void *watch(void *unused) {
    for (;;) {
        for (int i = 0; i < segment_count; i++) {
            if (memcmp(segments[i].code, segments[i].copy, segments[i].size) == 0) continue;
            for (size_t k = 0; k < segments[i].size; k++)
                if (segments[i].code[k] != segments[i].copy[k]) segments[i].has_differed[k] = 1;
        }
        atomic_fetch_add(&looks, 1);
    }
    return unused;
}

static void look(void) {
    unsigned long sum = 14695981039346656037UL;
    for (int i = 0; i < segment_count; i++)
        for (size_t k = 0; k < segments[i].size; k++)
            sum = (sum ^ segments[i].code[k]) * 1099511628211UL;
    printf("%lx", sum);
    for (int i = 0; i < segment_count; i++)
        for (size_t k = 0; k < segments[i].size; k++)
            if (segments[i].code[k] != segments[i].copy[k])
                printf(" %lx", (unsigned long)&segments[i].code[k]);
    printf("\n");
}

static void tell_ever(void) {
    unsigned long then = looks;
    while (looks < then + 2) usleep(100);
    for (int i = 0; i < segment_count; i++)
        for (size_t k = 0; k < segments[i].size; k++)
            if (segments[i].has_differed[k]) printf("%lx ", (unsigned long)&segments[i].code[k]);
    printf("\n");
}

// alto() has a page of its own, and so have the functions beside it.
static void make_writable(void) {
    void *page = (void *)((unsigned long)alto & -4096UL);
    if (mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) abort();
    puts("writable");
}

static int share(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size;
    (void)unused;
    unsigned long page = (unsigned long)alto & -4096UL;
    int file = open("/proc/self/exe", O_RDONLY);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        unsigned long offset = page - object->dlpi_addr - header->p_vaddr;
        if (header->p_type != PT_LOAD || offset >= header->p_memsz) continue;
        void *place = mmap(
            (void *)page, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file,
            (long)(header->p_offset + offset));
        if (place == MAP_FAILED) abort();
    }
    close(file);
    // The first object is the program.
    return 1;
}

int main(void) {
    dl_iterate_phdr(add_object, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch, NULL) != 0) return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        struct voices round = lead(0);
        if (strcmp(line, "report\n") == 0)
            printf(
                "lead %d alto %d tenor %d bass %d\n", round.lead, round.alto, round.tenor,
                round.bass);
        if (strcmp(line, "look\n") == 0) look();
        if (strcmp(line, "ever\n") == 0) tell_ever();
        if (strcmp(line, "writable\n") == 0) make_writable();
        if (strcmp(line, "shared\n") == 0) {
            dl_iterate_phdr(share, NULL);
            puts("shared");
        }
    }
    return 0;
}
