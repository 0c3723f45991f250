// Journal fields would get the C file, line and function otherwise: of no use to anybody.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "CSystemd.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

int cs_notify(const char *assignments) { return sd_notify(0, assignments); }

int cs_notify_at_once(const char *assignments) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;
    if (length == 0) return 0;
    if (length >= sizeof address.sun_path) return -E2BIG;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = 0;   // abstract
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    ssize_t sent = sendto(fd, assignments, strlen(assignments), MSG_DONTWAIT | MSG_NOSIGNAL,
                          (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    int result = sent < 0 ? -errno : 1;
    close(fd);
    return result;
}

uint64_t cs_watchdog(void) {
    uint64_t microseconds = 0;
    return sd_watchdog_enabled(0, &microseconds) > 0 ? microseconds : 0;
}

int cs_journal_send(const struct iovec *fields, int count) { return sd_journal_sendv(fields, count); }

int cs_is_journal(int descriptor) {
    unsigned long long device, inode;
    struct stat status;
    const char *stream = getenv("JOURNAL_STREAM");
    if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2 || fstat(descriptor, &status) < 0) return 0;
    return status.st_dev == device && status.st_ino == inode;
}
