// libsystemd: notification and journal. Only what Swift cannot say is wrapped here.
#pragma once
#include <stdint.h>
#include <sys/uio.h>

// Sends assignments ("READY=1\nSTATUS=…") to the service manager; negative errno on failure, 0 without $NOTIFY_SOCKET.
int cs_notify(const char *assignments);
// As cs_notify, but never waits: sd_notify blocks while the manager's queue is full, and the master must not. -EAGAIN then.
int cs_notify_at_once(const char *assignments);
// sd_watchdog_enabled: microseconds within which WATCHDOG=1 must come; 0 when not asked for, or not of this process.
uint64_t cs_watchdog(void);

// Sends count fields ("NAME=value" each) as one journal entry; negative errno on failure.
int cs_journal_send(const struct iovec *fields, int count);
// True where the descriptor is the journal's stream that systemd names in $JOURNAL_STREAM ("device:inode").
int cs_is_journal(int descriptor);
