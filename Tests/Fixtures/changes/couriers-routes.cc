// What a parcel costs, and who takes it.
#include "couriers.h"

#include <cstdarg>
#include <cstdio>

int open_parcels;
static thread_local int stamps = 100;

#if CHANGE == 43
static int opened() { return open_parcels + 1; }
int first_parcel = opened();
#endif

__attribute__((noinline)) int courier::price(const parcel &what) const
{
    return rounded(what.weight * 3 + HANDLING);
}

__attribute__((noinline)) int cyclist::price(const parcel &what) const
{
#if CHANGE == 4
    if (what.weight > 9) return -1;
#endif
    return what.weight * (what.how == service::fast ? 8 : 4);
}

__attribute__((noinline)) int zone(int weight)
{
    if (weight > 50) throw too_far("no courier goes there");
    return weight / 10;
}

// What is thrown below passes through.
__attribute__((noinline)) int deliver(const parcel &what)
{
    on_its_way here;
#if CHANGE == 5
    if (what.weight < 0) throw refused("it weighs nothing");
#endif
    return zone(what.weight) * 100 + open_parcels;
}

__attribute__((noinline)) int checked(int weight)
{
#if CHANGE == 6
    try {
        return zone(weight);
    } catch (const too_far &) {
        return -2;
    }
#else
    return zone(weight);
#endif
}

#if CHANGE != 10
__attribute__((noinline)) int surcharge(int weight) { return weight > 20 ? 4 : 0; }
#endif

__attribute__((noinline)) int heaviest(int first, int second)
{
    int all[] = {first, second};
    return largest(all, 2);
}

__attribute__((noinline)) int stamp()
{
#if CHANGE == 7
    stamps += 9;
#endif
    return ++stamps;
}

__attribute__((noinline)) int tally(int count, ...)
{
    int sum = 0;
    va_list rest;
    va_start(rest, count);
    for (int index = 0; index < count; index++) sum += va_arg(rest, int);
    va_end(rest);
#if CHANGE == 9
    sum = sum > 10 ? 10 : sum;
#endif
    return sum;
}

// A function without a name that is called by its address.
__attribute__((noinline)) static int apply(int (*rule)(int, int), int first, int second)
{
    return rule(first, second);
}

__attribute__((noinline)) int sorted(int first, int second)
{
    return apply(
        [](int one, int other) {
#if CHANGE == 8
            return one < other ? one * 100 + other : other * 100 + one;
#else
            return one * 100 + other;
#endif
        },
        first, second);
}

// Worked out once, at the first call.
__attribute__((noinline)) int depot()
{
    static const int opened = open_parcels + 40 + largest(&open_parcels, 1);
#if CHANGE == 12
    return opened + 1000;
#else
    return opened;
#endif
}

__attribute__((noinline)) int quote(const parcel &what)
{
    courier walker;
    cyclist rider;
    const courier *who = what.weight < 10 ? &rider : &walker;
#if CHANGE == 11
    return who->price(what) + toll(what.weight);
#else
    return who->price(what);
#endif
}
