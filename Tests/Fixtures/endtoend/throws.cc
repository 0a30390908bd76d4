// Several threads throw, let pass and catch, all the time, by three functions of which
// a change alters one, two or all:
//
//   CHANGE & 1   divided, which throws
//   CHANGE & 2   passed, through which exceptions go, and which cleans up then
//   CHANGE & 4   caught, which catches
//
// Asked for a number it tells what became of it, and asked for 'r' how often something
// was not as it has to be, before the change or after it. 'm' waits until every thread
// has gone on.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sched.h>
#include <unistd.h>

#ifndef CHANGE
#define CHANGE 0
#endif

static constexpr int threads = 4;
static std::atomic<long> rounds[threads];
static std::atomic<long> failures;
static std::atomic<long> open_cleanups;

struct Cleanup {
    Cleanup() { open_cleanups++; }
    ~Cleanup() { open_cleanups--; }
};

[[gnu::noinline]] int divided(int value) {
    if (value % 4 == 0) throw std::invalid_argument(CHANGE & 1 ? "new four" : "four");
    return value;
}

[[gnu::noinline]] int passed(int value) {
    Cleanup cleanup;
    return divided(value) + (CHANGE & 2 ? 1000 : 0);
}

[[gnu::noinline]] std::string caught(int value) {
    try {
        return std::to_string(passed(value));
    } catch (const std::invalid_argument &error) {
        return std::string(CHANGE & 4 ? "now caught " : "caught ") + error.what();
    }
}

static bool is_sound(int value, const std::string &text) {
    if (value % 4 != 0)
        return text == std::to_string(value) || text == std::to_string(value + 1000);
    return text == "caught four" || text == "caught new four" || text == "now caught four" ||
           text == "now caught new four";
}

static void work(int number) {
    for (int value = 1;; value = value % 999 + 1) {
        try {
            if (!is_sound(value, caught(value))) failures++;
        } catch (...) {
            failures++;
        }
        rounds[number]++;
        // Otherwise there would be no moment in which none is in there.
        usleep(200);
    }
}

int main() {
    std::vector<std::thread> workers;
    for (int number = 0; number < threads; number++) workers.emplace_back(work, number);
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'r') {
            printf("%ld\n", failures.load());
        } else if (line[0] == 'm') {
            long before[threads];
            for (int number = 0; number < threads; number++) before[number] = rounds[number];
            for (int number = 0; number < threads; number++)
                while (rounds[number] < before[number] + 200) sched_yield();
            puts("gone on");
        } else {
            puts(caught(atoi(line)).c_str());
        }
        fflush(stdout);
    }
    // The threads are not waited for.
    _Exit(open_cleanups < 0);
}
