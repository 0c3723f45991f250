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

int cs_notify_with(const char *assignments, int descriptor) {
    return sd_pid_notify_with_fds(0, 0, assignments, &descriptor, 1);
}

int cs_take_descriptors(char *names, size_t size) {
    char **list = NULL;
    int count = sd_listen_fds_with_names(1, &list);
    size_t used = 0;
    for (int i = 0; i < count && list && list[i]; i++) {
        size_t length = strlen(list[i]) + 1;
        if (length <= size - used) {
            memcpy(names + used, list[i], length);
            used += length;
        } else {
            size = used;
        }
        free(list[i]);
    }
    free(list);
    return count;
}

uint64_t cs_watchdog(void) {
    uint64_t microseconds = 0;
    return sd_watchdog_enabled(0, &microseconds) > 0 ? microseconds : 0;
}

// libsystemd says nothing of a journald that is gone.
int cs_journal_send(const struct iovec *fields, int count) {
    int result = sd_journal_sendv(fields, count);
    if (result >= 0 && access("/run/systemd/journal/socket", F_OK) < 0) return -ENOENT;
    return result;
}

int cs_is_null(int descriptor) {
    struct stat status, null;
    return fstat(descriptor, &status) == 0 && stat("/dev/null", &null) == 0 && S_ISCHR(status.st_mode)
           && status.st_rdev == null.st_rdev;
}

int cs_is_journal(int descriptor) {
    unsigned long long device, inode;
    struct stat status;
    const char *stream = getenv("JOURNAL_STREAM");
    if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2 || fstat(descriptor, &status) < 0) return 0;
    return status.st_dev == device && status.st_ino == inode;
}

void *cs_reader_open(const char *const *files, int count, int *error) {
    sd_journal *journal = NULL;
    if (count > 0) {
        const char **paths = calloc((size_t)count + 1, sizeof *paths);
        if (!paths) {
            *error = -ENOMEM;
            return NULL;
        }
        memcpy(paths, files, (size_t)count * sizeof *paths);
        *error = sd_journal_open_files(&journal, paths, 0);
        free(paths);
    } else {
        *error = sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY);
    }
    if (*error < 0) return NULL;
    // Whole messages, however long.
    sd_journal_set_data_threshold(journal, 0);
    return journal;
}

void cs_reader_close(void *reader) { sd_journal_close(reader); }

int cs_reader_match(void *reader, const void *field, size_t length) {
    return sd_journal_add_match(reader, field, length);
}

int cs_reader_next(void *reader) { return sd_journal_next(reader); }

uint64_t cs_reader_time(void *reader) {
    uint64_t time = 0;
    return sd_journal_get_realtime_usec(reader, &time) < 0 ? 0 : time;
}

const void *cs_reader_field(void *reader, const char *name, size_t *length) {
    const void *data;
    size_t count, prefix = strlen(name) + 1;
    if (sd_journal_get_data(reader, name, &data, &count) < 0 || count < prefix) return NULL;
    *length = count - prefix;
    return (const char *)data + prefix;
}
