// What the parts of stationd share. The fixes in fixes/ include it too.
#ifndef STATIOND_H
#define STATIOND_H

#include <stdatomic.h>
#include <stddef.h>

enum { INPUT_SIZE = 256, REPLY_SIZE = 512, NAME_SIZE = 48, STATION_ROOM = 8 };

// One connection. Sessions come from a pool and go back to it.
struct session {
    int socket;
    int wants_to_leave;
    size_t filled;           // bytes of `input` that have been received
    char input[INPUT_SIZE];  // the line at its start, its newline replaced by 0
    struct session *next_free;
};

// A command writes its reply, without the newline, and gets what follows its
// name in the line. `arguments` points into `session->input`.
typedef void command_function(struct session *session, const char *arguments, char *reply);

struct station {
    char name[NAME_SIZE];
    atomic_int celsius;
};

// stationd.c
extern atomic_ulong served_requests;
extern atomic_ulong interrupted_calls;

// commands.c
void load_stations(void);
void answer(struct session *session, char *reply);

#endif
