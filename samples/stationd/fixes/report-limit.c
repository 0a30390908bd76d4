// Turn temperatures away that no station can have measured, and count them.
// Brings a helper, a message and a counter that the daemon never had.
#include "../stationd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern struct station stations[];
extern size_t station_count;

enum { COLDEST_EVER = -90, HOTTEST_EVER = 60 };

static const char rejection[] = "ERR implausible temperature";
static atomic_uint rejected_reports;

static int is_plausible(long celsius) {
    return celsius >= COLDEST_EVER && celsius <= HOTTEST_EVER;
}

void command_report(struct session *session, const char *arguments, char *reply) {
    (void)session;
    char *rest;
    unsigned long index = strtoul(arguments, &rest, 10);
    if (index >= station_count || *rest != ' ') {
        strcpy(reply, "ERR usage: REPORT STATION CELSIUS");
        return;
    }
    long celsius = strtol(rest, NULL, 10);
    if (!is_plausible(celsius)) {
        unsigned count = atomic_fetch_add(&rejected_reports, 1) + 1;
        snprintf(reply, REPLY_SIZE, "%s (%u so far)", rejection, count);
        return;
    }
    atomic_store(&stations[index].celsius, (int)celsius);
    snprintf(reply, REPLY_SIZE, "OK %s %d C", stations[index].name, (int)celsius);
}
