// client PORT: sends each line of its input to 127.0.0.1 and prints the reply.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **arguments) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((unsigned short)(count == 2 ? atoi(arguments[1]) : 0)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) return 1;
    FILE *daemon = fdopen(connection, "r+");
    puts("ready");
    fflush(stdout);
    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        fputs(line, daemon);
        fflush(daemon);
        if (!fgets(line, sizeof line, daemon)) return 1;
        fputs(line, stdout);
        fflush(stdout);
    }
    return 0;
}
