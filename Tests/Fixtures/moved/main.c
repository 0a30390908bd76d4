// Calls each function with its entry moved, and the reference of it, on many
// numbers. Says "NAME same" or where they differ, and at the end "done".
#include <stdint.h>
#include <stdio.h>

typedef uint64_t function(uint64_t, uint64_t);

extern const struct {
    const char *name;
    function *moved;
    function *reference;
} cases[];
extern uint64_t shared[2];

static const uint64_t numbers[] = {
    0, 1, 2, 3, 5, 0x7f, 0x80, 0xff, 0x303, 0x10203, 0x10204, INT32_MAX, UINT32_MAX,
    UINT64_C(1) << 32, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX,
};
enum { count = sizeof numbers / sizeof *numbers };

static int differs(function *moved, function *reference, uint64_t a, uint64_t b)
{
    shared[0] = a ^ b;
    const uint64_t expected = reference(a, b);
    const uint64_t left = shared[0];
    shared[0] = a ^ b;
    return moved(a, b) != expected || shared[0] != left;
}

int main(void)
{
    for (size_t which = 0; cases[which].name; which++) {
        printf("%s ", cases[which].name);
        fflush(stdout);
        for (size_t index = 0; index < count * count; index++) {
            const uint64_t a = numbers[index / count];
            const uint64_t b = numbers[index % count];
            if (differs(cases[which].moved, cases[which].reference, a, b)) {
                printf("differs for %#jx, %#jx\n", (uintmax_t)a, (uintmax_t)b);
                return 1;
            }
        }
        puts("same");
    }
    puts("done");
    return 0;
}
