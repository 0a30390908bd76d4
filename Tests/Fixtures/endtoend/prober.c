// Sets a uprobe, or a uretprobe, through perf_event_open(2), which takes no tracefs:
//   prober FILE OFFSET [return]
// Says "set", or "unavailable" and why; a line of input ends it and the probe.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count < 3) return 2;
    struct perf_event_attr probe;
    memset(&probe, 0, sizeof probe);
    probe.size = sizeof probe;
    FILE *number = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
    if (number == NULL || fscanf(number, "%u", &probe.type) != 1) {
        puts("unavailable: no uprobe events");
        return 0;
    }
    // Bit 0: at the function's return (/sys/bus/event_source/devices/uprobe/format).
    probe.config = count > 3;
    probe.config1 = (uint64_t)(uintptr_t)arguments[1];
    probe.config2 = strtoull(arguments[2], NULL, 16);
    long event = syscall(SYS_perf_event_open, &probe, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
    if (event < 0) {
        printf("unavailable: %s\n", strerror(errno));
        return 0;
    }
    puts("set");
    getchar();
    close((int)event);
    return 0;
}
