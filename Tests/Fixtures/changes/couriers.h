// What the sources of the couriers share. CHANGE numbers the changes of the program's
// history: 0 is what runs, each other one is a source change.
#pragma once
#include <stdexcept>

#ifndef CHANGE
#define CHANGE 0
#endif

#define HANDLING (CHANGE == 1 ? 70 : 5)

enum class service {
    slow,
#if CHANGE == 41
    careful,
#endif
    fast
};

struct parcel {
    int weight;
    service how;
#if CHANGE == 40
    int length = 0;
#endif
};

// Inlined wherever it is called.
inline int rounded(int price)
{
#if CHANGE == 2
    return (price + 9) / 10 * 10;
#else
    return price;
#endif
}

// One instance for all sources.
template <typename Number> __attribute__((noinline)) Number largest(const Number *all, int count)
{
    Number found = all[0];
    for (int index = 1; index < count; index++)
        if (all[index] > found) found = all[index];
#if CHANGE == 3
    found = found * 2;
#endif
    return found;
}

class courier {
public:
    virtual ~courier() = default;
    virtual int price(const parcel &what) const;
#if CHANGE == 42
    virtual int insurance() const { return price({1, service::fast}); }
#endif
};

class cyclist : public courier {
public:
    int price(const parcel &what) const override;
};

struct refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct too_far : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// How many parcels are on their way.
extern int open_parcels;
struct on_its_way {
    on_its_way() { open_parcels++; }
    ~on_its_way() { open_parcels--; }
};

int quote(const parcel &what);
int deliver(const parcel &what);
int checked(int weight);
int zone(int weight);
int surcharge(int weight);
int heaviest(int first, int second);
int stamp();
int tally(int count, ...);
int sorted(int first, int second);
int depot();
#if CHANGE == 11
int toll(int weight);
#endif
