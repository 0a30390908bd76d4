// Answers questions about parcels, one line each: the first letter says which of two
// threads is to answer, the second what is asked.
#include "couriers.h"

#include <cstdio>
#include <cstdlib>
#include <pthread.h>

#if CHANGE == 10
__attribute__((noinline)) int surcharge(int weight) { return weight > 20 ? 4 + weight : 0; }
#endif

__attribute__((noinline)) static int total(int weight)
{
    return rounded(weight + HANDLING) + surcharge(weight);
}

__attribute__((noinline)) static int answer(char what, int weight)
{
    const courier *rider = new cyclist;
    switch (what) {
    case 'q': return quote({weight, service::slow});
    case 'r': return rider->price({weight, service::fast});
    case 'd': return deliver({weight, service::slow});
    case 'c': return checked(weight);
    case 's': return surcharge(weight);
    case 't': return total(weight);
    case 'h': return heaviest(weight, 6);
    case 'n': return stamp();
    case 'y': return tally(3, weight, 1, 2);
    case 'l': return sorted(weight, 3);
    case 'o': return open_parcels;
    case 'p': return depot();
    default: return 0;
    }
}

struct desk {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    char line[64];
    bool is_asked = false;
};

static void reply(const char *line)
{
    try {
        std::printf("%d\n", answer(line[1], std::atoi(line + 2)));
    } catch (const too_far &error) {
        std::printf("far: %s\n", error.what());
    } catch (const std::exception &error) {
        std::printf("%s\n", error.what());
    }
    std::fflush(stdout);
}

static void *work(void *argument)
{
    desk *mine = static_cast<desk *>(argument);
    pthread_mutex_lock(&mine->lock);
    for (;;) {
        while (!mine->is_asked) pthread_cond_wait(&mine->changed, &mine->lock);
        reply(mine->line);
        mine->is_asked = false;
    }
}

int main()
{
    static desk desks[2];
    for (desk &one : desks) {
        pthread_t thread;
        if (pthread_create(&thread, nullptr, work, &one) != 0) return 1;
    }
    std::puts("ready");
    std::fflush(stdout);
    char line[64];
    while (std::fgets(line, sizeof line, stdin) != nullptr) {
        desk &one = desks[line[0] == 'b'];
        pthread_mutex_lock(&one.lock);
        std::snprintf(one.line, sizeof one.line, "%s", line);
        one.is_asked = true;
        pthread_cond_signal(&one.changed);
        pthread_mutex_unlock(&one.lock);
    }
}
