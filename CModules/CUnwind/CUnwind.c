#define _GNU_SOURCE
#include "CUnwind.h"

#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/// rsp by its DWARF number (psABI, figure 3.36).
enum { DWARF_RSP = 7 };

struct cunwind_space {
    Dwfl *dwfl;
    cunwind_read read;
    void *context;
    const uint64_t *registers;
};

/// Separate debug files are not looked for: .eh_frame is loaded with the code.
static int find_no_debug_file(
    Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
    const char *link, GElf_Word crc, char **path) {
    (void)module, (void)data, (void)name, (void)base;
    (void)file, (void)link, (void)crc, (void)path;
    return -1;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = find_no_debug_file,
    .section_address = dwfl_offline_section_address,
};

cunwind_space *cunwind_open(void) {
    cunwind_space *space = calloc(1, sizeof *space);
    if (space == NULL) return NULL;
    space->dwfl = dwfl_begin(&callbacks);
    if (space->dwfl == NULL) {
        free(space);
        return NULL;
    }
    dwfl_report_begin(space->dwfl);
    return space;
}

void cunwind_close(cunwind_space *space) {
    dwfl_end(space->dwfl);
    free(space);
}

bool cunwind_add(cunwind_space *space, const char *name, int descriptor, uint64_t bias) {
    // libdwfl closes it, on success at once or later.
    int own = dup(descriptor);
    if (own < 0) return false;
    if (dwfl_report_elf(space->dwfl, name, name, own, bias, true) != NULL) return true;
    close(own);
    return false;
}

static bool write_all(int file, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written <= 0) return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

bool cunwind_add_image(
    cunwind_space *space, const char *name, const uint8_t *bytes, size_t size, uint64_t bias) {
    int file = memfd_create("unwind", MFD_CLOEXEC);
    if (file < 0) return false;
    bool added = write_all(file, bytes, size) && cunwind_add(space, name, file, bias);
    close(file);
    return added;
}

// One thread at a time is looked at, by its number.
static pid_t next_thread(Dwfl *dwfl, void *data, void **thread) {
    (void)dwfl, (void)data, (void)thread;
    return 0;
}

static bool get_thread(Dwfl *dwfl, pid_t id, void *data, void **thread) {
    (void)dwfl, (void)id;
    *thread = data;
    return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *word, void *data) {
    (void)dwfl;
    cunwind_space *space = data;
    uint64_t value = 0;
    if (!space->read(space->context, address, &value)) return false;
    *word = value;
    return true;
}

static bool set_registers(Dwfl_Thread *thread, void *data) {
    const cunwind_space *space = data;
    Dwarf_Word words[17];
    for (size_t index = 0; index < 17; index++) words[index] = space->registers[index];
    return dwfl_thread_state_registers(thread, 0, 17, words);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = read_memory,
    .set_initial_registers = set_registers,
};

static int load_table(
    Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, void *context) {
    (void)data, (void)name, (void)base, (void)context;
    Dwarf_Addr bias;
    // None is no failure: such an object's frames end the walk (find_rules).
    (void)dwfl_module_eh_cfi(module, &bias);
    return DWARF_CB_OK;
}

bool cunwind_prepare(cunwind_space *space, int process, cunwind_read read, void *context) {
    space->read = read;
    space->context = context;
    if (dwfl_report_end(space->dwfl, NULL, NULL) != 0) return false;
    (void)dwfl_getmodules(space->dwfl, load_table, NULL, 0);
    return dwfl_attach_state(space->dwfl, NULL, process, &thread_callbacks, space);
}

struct walk {
    Dwfl *dwfl;
    cunwind_frame *frames;
    size_t room;
    size_t count;
    /// The last frame says by its table that nobody called it.
    bool outermost;
};

/// Looks up the rules for the frame at `counter`; false where no unwind table
/// covers it. libdwfl would then follow rbp, which may belong to an outer frame,
/// and skip those in between.
static bool find_rules(struct walk *walk, Dwarf_Addr counter) {
    Dwarf_Addr bias;
    Dwfl_Module *module = dwfl_addrmodule(walk->dwfl, counter);
    Dwarf_CFI *table = module == NULL ? NULL : dwfl_module_eh_cfi(module, &bias);
    Dwarf_Frame *rules = NULL;
    if (table == NULL || dwarf_cfi_addrframe(table, counter - bias, &rules) != 0) return false;
    Dwarf_Op memory[3], *rule = NULL;
    size_t count = 0;
    int return_address = dwarf_frame_info(rules, NULL, NULL, NULL);
    // 'Undefined' is told by no operations in the caller's own memory.
    walk->outermost = return_address >= 0
        && dwarf_frame_register(rules, return_address, memory, &rule, &count) == 0
        && count == 0 && rule == memory;
    free(rules);
    return true;
}

static int note_frame(Dwfl_Frame *state, void *data) {
    struct walk *walk = data;
    Dwarf_Addr counter;
    Dwarf_Word pointer;
    bool interrupted;
    if (!dwfl_frame_pc(state, &counter, &interrupted)) return DWARF_CB_ABORT;
    if (dwfl_frame_reg(state, DWARF_RSP, &pointer) != 0) return DWARF_CB_ABORT;
    if (walk->count == walk->room) return DWARF_CB_ABORT;
    walk->frames[walk->count++] = (cunwind_frame){
        .counter = counter, .stack_pointer = pointer, .is_return_address = !interrupted};
    // A return address may lie behind the end of the function that called.
    return find_rules(walk, counter - (interrupted ? 0 : 1)) ? DWARF_CB_OK : DWARF_CB_ABORT;
}

size_t cunwind_walk(
    cunwind_space *space, int thread, const uint64_t registers[17], cunwind_frame *frames,
    size_t room, bool *complete) {
    struct walk walk = {.dwfl = space->dwfl, .frames = frames, .room = room};
    space->registers = registers;
    int result = dwfl_getthread_frames(space->dwfl, thread, note_frame, &walk);
    space->registers = NULL;
    *complete = result == 0 && walk.outermost;
    return walk.count;
}
