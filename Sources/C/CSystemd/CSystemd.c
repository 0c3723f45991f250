// Journal fields would get the C file, line and function otherwise: of no use to anybody.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "CSystemd.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

int cs_notify(const char *assignments) { return sd_notify(0, assignments); }

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
