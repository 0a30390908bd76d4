// Data beside that of the program, for fixes (hotpatch.h tells what there is). `hotpatch`
// compiles this into a patch that uses it.
//
// It needs nothing of the program, not even the C library, so that it works wherever a
// replacement is first entered: memory comes from the kernel, and none of it is given
// back. All patches of a process use one table, which the first of them puts at a
// place that they all know: so what one patch attached the next one finds, whether it
// stands on top of it or takes its place. Children have it as they have all memory.
//
// The table is a tree by the digits of a hash. Looking up takes no lock. A change is
// made ready beforehand and comes to be by one store, so a reader sees all of it or
// nothing, and so does who takes over the lock of a thread that is gone: another one
// than the one that forked, in the child.
#include <hotpatch.h>

#include <stdint.h>

// Linux, asm/unistd_64.h and asm-generic/errno-base.h.
enum { SYS_rt_sigprocmask = 14, SYS_mmap = 9, SYS_munmap = 11, SYS_sched_yield = 24,
       SYS_getpid = 39, SYS_gettid = 186, SYS_futex = 202, SYS_tgkill = 234 };
enum { ESRCH = 3, EFAULT = 14, EEXIST = 17, ETIMEDOUT = 110 };
enum { PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS = 0x22, MAP_FIXED_NOREPLACE = 0x100000 };
enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return number;
}

static int has_failed(long result)
{
    return result < 0 && result >= -4095;
}

// --- The table

// One datum. What is attached follows, at a multiple of 16.
struct entry {
    const void *object;
    unsigned long id;
    uint64_t hash;
    // Of another object, in the same place of the deepest level.
    struct entry *next;
    // Which list of free entries it is from.
    unsigned long class;
    unsigned long size;
};

enum { DIGIT_BITS = 4, DIGITS = 1 << DIGIT_BITS, LEVELS = 64 / DIGIT_BITS };

// What a place holds: nothing, an entry, or a further level (BRANCH).
typedef uintptr_t place;
enum { BRANCH = 1 };

struct branch {
    place places[DIGITS];
};

// Entries of 64 bytes to 64 TiB, of which no process has more.
enum { CLASSES = 41, SMALLEST_BITS = 6 };

struct table {
    // Written last: a table without it is none yet.
    uint64_t mark;
    // The id of the thread that changes the table, and WAITED_FOR.
    uint32_t lock;
    uint32_t reserved;
    place root;
    // The rest of the memory that was taken last, and how much it is.
    char *room;
    unsigned long room_left;
    struct entry *free[CLASSES];
};

// "HPSHADW1": another number for another form.
static const uint64_t table_mark = 0x3157444148535048;
// In the middle of what the kernel gives to programs, far from where it puts anything by
// itself; "hp".
static const long table_place = 0x687000000000;

static struct table *known;

static struct table *mapped(long place, unsigned long size, long flags)
{
    long result = call(SYS_mmap, place, (long)size, PROT_READ_WRITE,
                       MAP_PRIVATE_ANONYMOUS | flags, -1, 0);
    return has_failed(result) ? NULL : (struct table *)result;
}

// The kernel reads a set of signals before it looks at what to do with it, which is
// nothing here.
static int is_readable(const void *address)
{
    return call(SYS_rt_sigprocmask, -1, (long)address, 0, 8, 0, 0) != -EFAULT;
}

// The table that another patch has made, or makes now; NULL where something else is
// there.
static struct table *found(void)
{
    struct table *table = (struct table *)table_place;
    for (int tries = 0; tries < 1000; tries++) {
        if (!is_readable(table))
            return NULL;
        uint64_t mark = __atomic_load_n(&table->mark, __ATOMIC_ACQUIRE);
        if (mark != 0)
            return mark == table_mark ? table : NULL;
        call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
    return NULL;
}

// NULL where there is no memory.
static struct table *the_table(void)
{
    struct table *table = __atomic_load_n(&known, __ATOMIC_ACQUIRE);
    if (table)
        return table;
    table = mapped(table_place, sizeof *table, MAP_FIXED_NOREPLACE);
    if ((long)table == table_place) {
        __atomic_store_n(&table->mark, table_mark, __ATOMIC_RELEASE);
    } else {
        // Kernels before 4.17 put it elsewhere.
        if (table)
            call(SYS_munmap, (long)table, sizeof *table, 0, 0, 0, 0);
        table = found();
    }
    // The place is taken: then the patch has a table of its own.
    if (!table)
        table = mapped(0, sizeof *table, 0);
    struct table *none = NULL;
    if (table && !__atomic_compare_exchange_n(&known, &none, table, 0, __ATOMIC_ACQ_REL,
                                              __ATOMIC_ACQUIRE))
        table = none;
    return table;
}

// --- Its lock

#define WAITED_FOR 0x80000000u

// False where this thread has it already: this is a signal handler in its middle.
static int take_lock(struct table *table)
{
    uint32_t self = (uint32_t)call(SYS_gettid, 0, 0, 0, 0, 0, 0);
    uint32_t thread = self;
    uint32_t seen = 0;
    while (!__atomic_compare_exchange_n(&table->lock, &seen, self, 0, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
        if ((seen & ~WAITED_FOR) == thread)
            return 0;
        uint32_t awaited = seen | WAITED_FOR;
        // Who has waited leaves the mark, for there may be others.
        self |= WAITED_FOR;
        if (seen == awaited || __atomic_compare_exchange_n(&table->lock, &seen, awaited, 0,
                                                           __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            long second[2] = { 1, 0 };
            long result = call(SYS_futex, (long)&table->lock, FUTEX_WAIT_PRIVATE, awaited,
                               (long)second, 0, 0);
            long owner = awaited & ~WAITED_FOR;
            if (result == -ETIMEDOUT
                && call(SYS_tgkill, call(SYS_getpid, 0, 0, 0, 0, 0, 0), owner, 0, 0, 0, 0) == -ESRCH
                && __atomic_compare_exchange_n(&table->lock, &awaited, self, 0, __ATOMIC_ACQUIRE,
                                               __ATOMIC_RELAXED))
                return 1;
        }
        seen = 0;
    }
    return 1;
}

static void release_lock(struct table *table)
{
    if (__atomic_exchange_n(&table->lock, 0, __ATOMIC_RELEASE) & WAITED_FOR)
        call(SYS_futex, (long)&table->lock, FUTEX_WAKE_PRIVATE, 0x7fffffff, 0, 0, 0);
}

// --- Memory, with the lock held

// The power of two that holds so many bytes, and an entry's head; CLASSES for more than
// there are.
static unsigned long class_of(size_t size)
{
    unsigned long class = 0;
    while (class < CLASSES && (1ul << (class + SMALLEST_BITS)) - sizeof(struct entry) < size)
        class++;
    return class;
}

// Bytes of zero, at a multiple of 64; NULL where there are none.
static void *fresh(struct table *table, unsigned long size)
{
    enum { PIECE = 1 << 18 };
    if (size > PIECE / 4)
        return mapped(0, size, 0);
    // In this order, so that none is had twice whoever takes over in between.
    if (table->room_left < size) {
        char *piece = (char *)mapped(0, PIECE, 0);
        if (!piece)
            return NULL;
        __atomic_store_n(&table->room_left, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&table->room, piece, __ATOMIC_RELEASE);
        __atomic_store_n(&table->room_left, PIECE, __ATOMIC_RELEASE);
    }
    char *start = table->room;
    __atomic_store_n(&table->room_left, table->room_left - size, __ATOMIC_RELEASE);
    __atomic_store_n(&table->room, start + size, __ATOMIC_RELEASE);
    return start;
}

static struct entry *new_entry(struct table *table, size_t size)
{
    unsigned long class = class_of(size);
    if (class == CLASSES)
        return NULL;
    struct entry *entry = table->free[class];
    if (!entry) {
        entry = fresh(table, 1ul << (class + SMALLEST_BITS));
        if (entry)
            entry->class = class;
        return entry;
    }
    table->free[class] = entry->next;
    entry->next = NULL;
    void *data = entry + 1;
    unsigned long count = (1ul << (class + SMALLEST_BITS)) - sizeof *entry;
    __asm__ volatile("rep stosb" : "+D"(data), "+c"(count) : "a"(0) : "memory");
    return entry;
}

static void free_entry(struct table *table, struct entry *entry)
{
    entry->object = NULL;
    entry->next = table->free[entry->class];
    table->free[entry->class] = entry;
}

// --- The tree

static uint64_t hash_of(const void *object, unsigned long id)
{
    // The finaliser of SplitMix64, of which every bit depends on all.
    uint64_t value = (uint64_t)object + id * 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

static unsigned digit(uint64_t hash, int level)
{
    return (unsigned)(hash >> (level * DIGIT_BITS)) & (DIGITS - 1);
}

static struct branch *branch_of(place found)
{
    return (struct branch *)(found & ~(place)BRANCH);
}

static place look(const place *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void put(place *at, place value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

// The place where an entry of that hash is, or would be, and its level. With the lock
// held: otherwise it may have got a further level since.
static place *place_of(struct table *table, uint64_t hash, int *level)
{
    place *at = &table->root;
    for (*level = 0; *at & BRANCH; ++*level)
        at = &branch_of(*at)->places[digit(hash, *level)];
    return at;
}

static struct entry *entry_of(struct table *table, const void *object, unsigned long id,
                              uint64_t hash)
{
    place found = look(&table->root);
    for (int level = 0; found & BRANCH; level++)
        found = look(&branch_of(found)->places[digit(hash, level)]);
    struct entry *entry = (struct entry *)found;
    while (entry && !(entry->object == object && entry->id == id))
        entry = entry->next;
    return entry;
}

// With the lock held. False where there is no memory.
static int insert(struct table *table, struct entry *entry)
{
    int level;
    place *at = place_of(table, entry->hash, &level);
    while (*at && level < LEVELS) {
        // Whoever is there goes one level down, with everybody else none the wiser.
        struct branch *branch = fresh(table, sizeof *branch);
        if (!branch)
            return 0;
        branch->places[digit(((struct entry *)*at)->hash, level)] = *at;
        put(at, (place)branch | BRANCH);
        at = &branch->places[digit(entry->hash, level++)];
    }
    entry->next = (struct entry *)*at;
    put(at, (place)entry);
    return 1;
}

// --- What fixes call

void *hotpatch_shadow_get(const void *object, unsigned long id)
{
    struct table *table = the_table();
    struct entry *entry = table ? entry_of(table, object, id, hash_of(object, id)) : NULL;
    return entry ? entry + 1 : NULL;
}

// Where there is one already, `present` is it, and nothing is attached.
static void *attach(const void *object, unsigned long id, size_t size, hotpatch_shadow_init init,
                    void **present)
{
    struct table *table = the_table();
    *present = NULL;
    if (!table)
        return NULL;
    if (!take_lock(table))
        return NULL;
    struct entry *entry = new_entry(table, size);
    release_lock(table);
    if (!entry)
        return NULL;
    entry->object = object;
    entry->id = id;
    entry->hash = hash_of(object, id);
    entry->size = size;
    // Nobody knows of it yet, so what is called may take locks of its own.
    if (init)
        init((void *)object, entry + 1);
    take_lock(table);
    struct entry *other = entry_of(table, object, id, entry->hash);
    int is_attached = !other && insert(table, entry);
    if (!is_attached)
        free_entry(table, entry);
    release_lock(table);
    if (other)
        *present = other + 1;
    return is_attached ? entry + 1 : NULL;
}

void *hotpatch_shadow_attach(const void *object, unsigned long id, size_t size,
                             hotpatch_shadow_init init)
{
    void *present;
    return attach(object, id, size, init, &present);
}

void *hotpatch_shadow_get_or_attach(const void *object, unsigned long id, size_t size,
                                    hotpatch_shadow_init init)
{
    void *present = hotpatch_shadow_get(object, id);
    if (present)
        return present;
    void *data = attach(object, id, size, init, &present);
    return data ? data : present;
}

int hotpatch_shadow_detach(const void *object, unsigned long id, hotpatch_shadow_end end)
{
    struct table *table = the_table();
    if (!table)
        return 0;
    uint64_t hash = hash_of(object, id);
    int level;
    if (!take_lock(table))
        return 0;
    place *at = place_of(table, hash, &level);
    struct entry *entry = (struct entry *)*at;
    while (entry && !(entry->object == object && entry->id == id)) {
        at = (place *)&entry->next;
        entry = entry->next;
    }
    if (entry)
        put(at, (place)entry->next);
    release_lock(table);
    if (!entry)
        return 0;
    if (end)
        end((void *)object, entry + 1);
    take_lock(table);
    free_entry(table, entry);
    release_lock(table);
    return 1;
}
