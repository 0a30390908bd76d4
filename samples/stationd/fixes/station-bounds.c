// Name published stations only. Reads two static variables of commands.c.
#include "../stationd.h"

#include <stdio.h>
#include <stdlib.h>

extern struct station stations[];
extern size_t station_count;

void command_station(struct session *session, const char *arguments, char *reply) {
    (void)session;
    unsigned long index = strtoul(arguments, NULL, 10);
    if (index >= station_count) {
        snprintf(reply, REPLY_SIZE, "ERR no station %lu", index);
        return;
    }
    snprintf(reply, REPLY_SIZE, "%s", stations[index].name);
}
