// The commands of stationd: one line in, one line out.
#include "meteo.h"
#include "stationd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct station stations[STATION_ROOM];
static size_t station_count;

static void name_station(size_t index, const char *name, int celsius) {
    snprintf(stations[index].name, NAME_SIZE, "%s", name);
    atomic_store(&stations[index].celsius, celsius);
}

// The last one is a draft: it is filled in, but not published by the count.
void load_stations(void) {
    name_station(station_count++, "Brocken", 3);
    name_station(station_count++, "Fichtelberg", 5);
    name_station(station_count++, "Zugspitze", -4);
    name_station(station_count, "DRAFT (maintenance key 4711)", 0);
}

static void command_ping(struct session *session, const char *arguments, char *reply) {
    (void)session, (void)arguments;
    strcpy(reply, "PONG");
}

static void command_login(struct session *session, const char *arguments, char *reply) {
    (void)session;
    size_t name_length = strcspn(arguments, " ");
    snprintf(reply, REPLY_SIZE, "WELCOME %.*s", (int)name_length, arguments);
}

static void command_quit(struct session *session, const char *arguments, char *reply) {
    (void)arguments;
    session->wants_to_leave = 1;
    strcpy(reply, "BYE");
}

// ECHO LENGTH TEXT sends LENGTH bytes of TEXT back.
//
// BUG (fixes/echo-overread.c): LENGTH is checked against the room in the
// buffer, not against the text that the client sent, so the reply shows what
// earlier lines, also those of other clients, left behind it in the buffer.
static void command_echo(struct session *session, const char *arguments, char *reply) {
    char *text;
    unsigned long length = strtoul(arguments, &text, 10);
    if (text == arguments || *text != ' ') {
        strcpy(reply, "ERR usage: ECHO LENGTH TEXT");
        return;
    }
    text += 1;
    if (length > (size_t)(session->input + INPUT_SIZE - text)) {
        strcpy(reply, "ERR too long");
        return;
    }
    for (unsigned long i = 0; i < length; i++)
        reply[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '.';
    reply[length] = 0;
}

static void command_fahrenheit(struct session *session, const char *arguments, char *reply) {
    (void)session;
    snprintf(reply, REPLY_SIZE, "%.1f F", meteo_fahrenheit(strtod(arguments, NULL)));
}

static void command_average(struct session *session, const char *arguments, char *reply) {
    (void)session;
    double mean;
    if (meteo_average(arguments, &mean))
        snprintf(reply, REPLY_SIZE, "%.1f", mean);
    else
        strcpy(reply, "ERR usage: AVERAGE NUMBER,NUMBER,...");
}

// STATION INDEX names a station.
//
// BUG (fixes/station-bounds.c): `>` where `>=` is meant, so the draft behind
// the last station can be read.
static void command_station(struct session *session, const char *arguments, char *reply) {
    (void)session;
    unsigned long index = strtoul(arguments, NULL, 10);
    if (index > station_count) {
        snprintf(reply, REPLY_SIZE, "ERR no station %lu", index);
        return;
    }
    snprintf(reply, REPLY_SIZE, "%s", stations[index].name);
}

// REPORT INDEX CELSIUS records what a station measured.
//
// BUG (fixes/report-limit.c): nothing checks that such a temperature exists.
static void command_report(struct session *session, const char *arguments, char *reply) {
    (void)session;
    char *rest;
    unsigned long index = strtoul(arguments, &rest, 10);
    if (index >= station_count || *rest != ' ') {
        strcpy(reply, "ERR usage: REPORT STATION CELSIUS");
        return;
    }
    int celsius = (int)strtol(rest, NULL, 10);
    atomic_store(&stations[index].celsius, celsius);
    snprintf(reply, REPLY_SIZE, "OK %s %d C", stations[index].name, celsius);
}

// Lets a client see whether somebody interrupted a system call of the daemon.
static void command_stats(struct session *session, const char *arguments, char *reply) {
    (void)session, (void)arguments;
    snprintf(reply, REPLY_SIZE, "requests %lu interrupted %lu", atomic_load(&served_requests),
             atomic_load(&interrupted_calls));
}

static const struct {
    const char *name;
    command_function *run;
} commands[] = {
    {"PING", command_ping},       {"LOGIN", command_login},
    {"QUIT", command_quit},       {"ECHO", command_echo},
    {"AVERAGE", command_average}, {"FAHRENHEIT", command_fahrenheit},
    {"STATION", command_station}, {"REPORT", command_report},
    {"STATS", command_stats},
};

void answer(struct session *session, char *reply) {
    size_t length = strcspn(session->input, " ");
    const char *arguments = session->input + length;
    arguments += *arguments == ' ';
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strlen(commands[i].name) == length
            && memcmp(commands[i].name, session->input, length) == 0) {
            commands[i].run(session, arguments, reply);
            return;
        }
    }
    strcpy(reply, "ERR unknown command");
}
