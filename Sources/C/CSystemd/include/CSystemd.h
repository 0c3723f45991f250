// libsystemd: notification and journal. Only what Swift cannot say is wrapped here.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

// Sends assignments ("READY=1\nSTATUS=…") to the service manager; negative errno on failure, 0 without $NOTIFY_SOCKET.
int cs_notify(const char *assignments);
// As cs_notify, but never waits: sd_notify blocks while the manager's queue is full, and the master must not. -EAGAIN then.
int cs_notify_at_once(const char *assignments);
// As cs_notify, with a descriptor that systemd takes a copy of.
int cs_notify_with(const char *assignments, int descriptor);
// The descriptors that systemd has kept for this process, from 3 on, closed on exec; forgotten by the environment. Their
// names, each ended by 0, go to names: as many as fit whole. How many there are, or negative errno.
int cs_take_descriptors(char *names, size_t size);
// sd_watchdog_enabled: microseconds within which WATCHDOG=1 must come; 0 when not asked for, or not of this process.
uint64_t cs_watchdog(void);

// Sends count fields ("NAME=value" each) as one journal entry; negative errno on failure.
int cs_journal_send(const struct iovec *fields, int count);
// True where the descriptor is the journal's stream that systemd names in $JOURNAL_STREAM ("device:inode").
int cs_is_journal(int descriptor);

// 1 where the descriptor is /dev/null.
int cs_is_null(int descriptor);

// Reading the journal. Opens that of this machine, or count files of any; NULL and a negative errno in error on failure.
void *cs_reader_open(const char *const *files, int count, int *error);
void cs_reader_close(void *reader);
// Only entries with this field ("NAME=value"), and with all others asked for.
int cs_reader_match(void *reader, const void *field, size_t length);
// Goes to the next entry: 1, 0 behind the last, negative errno.
int cs_reader_next(void *reader);
// Microseconds since 1970 at which the journal took the entry; 0 where it does not say.
uint64_t cs_reader_time(void *reader);
// The value of a field, valid until the next call, or NULL.
const void *cs_reader_field(void *reader, const char *name, size_t *length);
