// What a service manager does for sd_notify(3): binds the socket that is named, and
// writes each datagram to standard output, one line each, its lines joined by spaces.
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int count, char **arguments) {
    if (count < 2) return 64;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", arguments[1]);
    int file = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (bind(file, (const struct sockaddr *)&address, sizeof address) != 0) {
        perror("bind");
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    char text[4096];
    ssize_t size;
    while ((size = recv(file, text, sizeof text, 0)) >= 0) {
        for (ssize_t index = 0; index < size; index++) {
            if (text[index] == '\n') text[index] = ' ';
        }
        printf("%.*s\n", (int)size, text);
        fflush(stdout);
    }
    return 0;
}
