// Platform calls that Swift cannot say: GNU extensions (wrapped in CPlatform.c, where _GNU_SOURCE may be defined),
// macros with arguments, and atomics on memory that other processes map.
#pragma once
#include <stdint.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

// Atomics on shared memory. Words are naturally aligned; every process runs on the same machine.
static inline uint64_t cp_load64(const void *p) { return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE); }
static inline void cp_store64(void *p, uint64_t v) { __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELEASE); }
static inline uint64_t cp_exchange64(void *p, uint64_t v) { return __atomic_exchange_n((uint64_t *)p, v, __ATOMIC_SEQ_CST); }
// The value before. Relaxed: it orders nothing else.
static inline uint64_t cp_add64(void *p, uint64_t v) { return __atomic_fetch_add((uint64_t *)p, v, __ATOMIC_RELAXED); }
// Keeps the compiler from moving stores across: what a killed process has written is then a prefix of its program.
static inline void cp_compiler_fence(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
static inline void cp_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// Linux calls behind _GNU_SOURCE. All return -1 with errno set, as the calls they wrap.
int cp_memfd_create(const char *name);
int cp_accept(int fd);
int cp_accept_peer(int fd, struct sockaddr_storage *peer);
// Lets the process have that many open descriptors, if it may; how many it may have now, -1 on failure.
int cp_raise_descriptors(uint64_t wanted);
int cp_signalfd(const uint64_t *signals, int count);
// The next signal of a signalfd, 0 where there is none.
int cp_signal_next(int fd);

// One place of a batch of received datagrams: payload in up to two stretches, its sender, and where that sent it to.
struct cp_datagram {
    struct iovec parts[2];
    uint64_t slot;                     // the receiver's own: where the first part lies
    uint32_t length;                   // out: bytes received, 0 where there is no datagram
    struct sockaddr_storage peer;      // out
    // out, where asked for: the address of ours, without a port, of a link-local one the interface as its scope;
    // family 0 where the kernel does not say, or it is one of many.
    struct sockaddr_storage local;
};
enum { cp_batch = 64 };

// epoll without its union. `change` is 1 to add, 2 to remove, 3 to modify (as EPOLL_CTL_*).
enum { cp_readable = 1, cp_writable = 4, cp_failed = 8 };   // EPOLLIN, EPOLLOUT, EPOLLERR (and EPOLLHUP)
struct cp_event { uint64_t token; uint32_t events; };
int cp_poller(void);
int cp_poll_change(int poller, int change, int fd, uint32_t events, uint64_t token);
// Waits (milliseconds, -1: without end); the number of events, at most count and cp_batch.
int cp_poll_wait(int poller, struct cp_event *events, int count, int milliseconds);

// What a batch is received into: cp_batch datagrams, and behind them what the kernel writes of each as it takes it out
// of the socket. In memory that outlives the process, its successor can read that.
struct cp_inbox;
enum { cp_inbox_bytes = cp_batch * 512 };
// Before the first datagram, and whenever `local` changes: whether also the addresses that they were sent to are asked
// for (cp_want_local).
void cp_prepare(struct cp_inbox *inbox, int local);
// Receives up to count (<= cp_batch) datagrams without blocking; the number received or -1.
int cp_receive(int fd, struct cp_inbox *inbox, int count, int local);
// Forgets what this place has received: whoever follows finds nothing there.
void cp_vacate(struct cp_inbox *inbox, int place);
// In place of cp_receive, before cp_prepare: fills in what a process that is gone has received last, in all places.
void cp_inherit(struct cp_inbox *inbox, int local);
// Has a UDP socket of that family tell to which address of ours a datagram was sent.
int cp_want_local(int fd, int family);

// Has a UDP socket of that family keep ICMP errors in its error queue.
int cp_want_errors(int fd, int family);
// What an ICMP message said of a datagram of ours.
struct cp_error {
    int code;                          // errno; 0: the next hop has nothing against it, or the error is our own
    uint32_t length;                   // bytes of the datagram that came back
};
// Takes one error out of the queue; the datagram's begin goes to `data`. 1, or 0 where there is none.
int cp_next_error(int fd, struct cp_error *error, void *data, size_t size);

struct cp_outgoing {
    struct iovec parts[4];
    int part_count;
    const void *peer;
    socklen_t peer_length;
    const void *local;                 // sockaddr of ours that it leaves from; NULL: the kernel's choice
};
// Sends up to count (<= cp_batch) datagrams without blocking; the number sent or -1 (errno of the first).
int cp_send(int fd, const struct cp_outgoing *datagrams, int count);

// Receives up to count datagrams of at most `size` bytes, datagram i at base + i * size. lengths[i] is its length.
int cp_receive_records(int fd, void *base, size_t size, uint32_t *lengths, int count);

// Sends one descriptor with a small payload over a Unix socket.
int cp_send_descriptor(int fd, int descriptor, const void *payload, size_t length);
// Receives payload and at most one descriptor (-1 when none came).
ssize_t cp_receive_descriptor(int fd, int *descriptor, void *payload, size_t length);
// 1 where the peer of a Unix socket is root, our user, or in our group; else 0.
int cp_peer_is_trusted(int fd);

// Starts path with argv and envp; descriptor sources[i] becomes descriptor i of the child, all others are closed.
// Signals are reset. Returns the pid or -1.
int cp_spawn(const char *path, char *const argv[], char *const envp[], const int *sources, int count);

// Dies with the parent: SIGKILL when it ends. False when the parent is no longer `parent`.
// Locks one byte of a file for this process, which waits for whoever has it. The lock goes when the process closes any
// descriptor of that file.
int cp_claim(int fd, int byte);
// The process that has any byte of the file locked; 0: nobody, or this process.
int cp_claimant(int fd);
// Waits until a process has ended, that many milliseconds at most: 1, or 0 where it is still there.
int cp_await_exit(int pid, int milliseconds);
// Domain and type of a socket; -1 where it is none.
int cp_socket_kind(int fd, int *domain, int *type);
int cp_die_with_parent(int parent);
void cp_set_name(const char *name);
// From now on a signal that says that the program itself is wrong (SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE)
// first stores 1 at `mark`, then does what it did before. -1 where that cannot be.
int cp_mark_traps(void *mark);
// Leaves the mapping out of core dumps.
int cp_no_dump(void *base, size_t length);
// fork(2), which Swift hides; for tests.
int cp_fork(void);
int cp_exit_status(int status);   // WEXITSTATUS, or -1 when it was a signal
int cp_exit_signal(int status);   // WTERMSIG, or 0
