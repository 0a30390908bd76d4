// Doubles the discount from the second quote on: reads and writes a static
// variable of the base, and brings a helper, a table and a counter.
extern int quotes;

static int doubled;
static const struct {
    int divisor;
    const char *name;
} *chosen, tariffs[] = {{10, "plain"}, {5, "double"}};

static __attribute__((noinline)) int is_regular(void) {
    return quotes > 1;
}

int discount(int amount) {
    quotes++;
    chosen = &tariffs[is_regular()];
    doubled += chosen->name[0] == 'd';
    return amount / chosen->divisor + (doubled > 1000);
}
