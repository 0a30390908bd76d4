#pragma once
#include <pthread.h>

struct session {
    pthread_mutex_t lock;
    long uses;
#if CHANGE == 2
    long checks;
#endif
};

// The number of what stands beside a session.
#define CHECKS 20240001

long more(struct session *session);
