// Send back no more than the client sent: LENGTH is checked against the text.
#include "../stationd.h"

#include <stdlib.h>
#include <string.h>

void command_echo(struct session *session, const char *arguments, char *reply) {
    (void)session;
    char *text;
    unsigned long length = strtoul(arguments, &text, 10);
    if (text == arguments || *text != ' ') {
        strcpy(reply, "ERR usage: ECHO LENGTH TEXT");
        return;
    }
    text += 1;
    if (length > strlen(text)) {
        strcpy(reply, "ERR length beyond the text");
        return;
    }
    for (unsigned long i = 0; i < length; i++)
        reply[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '.';
    reply[length] = 0;
}
