#define _GNU_SOURCE
#include "CPlatform.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int cp_memfd_create(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int cp_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int cp_accept_peer(int fd, struct sockaddr_storage *peer) {
    socklen_t length = sizeof *peer;
    return accept4(fd, (struct sockaddr *)peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int cp_raise_descriptors(uint64_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -1;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -1;
    }
    return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int)limit.rlim_cur;
}

int cp_signalfd(const uint64_t *signals, int count) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++) sigaddset(&set, (int)signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int cp_signal_next(int fd) {
    struct signalfd_siginfo information;
    return read(fd, &information, sizeof information) == sizeof information ? (int)information.ssi_signo : 0;
}

int cp_poller(void) { return epoll_create1(EPOLL_CLOEXEC); }

int cp_poll_change(int poller, int change, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(poller, change, fd, &event);
}

int cp_poll_wait(int poller, struct cp_event *events, int count, int milliseconds) {
    struct epoll_event ready[cp_batch];
    int n = epoll_wait(poller, ready, count < cp_batch ? count : cp_batch, milliseconds);
    for (int i = 0; i < n; i++)
        events[i] = (struct cp_event){.token = ready[i].data.u64, .events = ready[i].events};
    return n;
}

// Room for one packet info or one extended error with its address.
enum { control_bytes = CMSG_SPACE(sizeof(struct in6_pktinfo)), error_bytes = 256 };

// The address of ours that a datagram was sent to, as its control messages say.
static void find_local(struct msghdr *message, struct sockaddr_storage *local) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            // Not the header's destination: of a broadcast, this is the interface's own address.
            *(struct sockaddr_in *)local = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = info.ipi_spec_dst};
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) continue;
            *(struct sockaddr_in6 *)local = (struct sockaddr_in6){
                .sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr,
                .sin6_scope_id = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0};
        }
    }
}

struct cp_inbox {
    struct cp_datagram datagrams[cp_batch];
    struct mmsghdr messages[cp_batch];
    char control[cp_batch][control_bytes] __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct cp_inbox) <= cp_inbox_bytes, "an inbox has room");

void cp_prepare(struct cp_inbox *inbox, int local) {
    for (int i = 0; i < cp_batch; i++) {
        struct cp_datagram *d = &inbox->datagrams[i];
        inbox->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &d->peer, .msg_namelen = sizeof d->peer, .msg_iov = d->parts, .msg_iovlen = 2,
            .msg_control = local ? inbox->control[i] : NULL, .msg_controllen = local ? control_bytes : 0};
    }
}

// Tells what the kernel has written of a place, and puts back what it has changed there.
static void take(struct cp_inbox *inbox, int i, int local) {
    struct cp_datagram *d = &inbox->datagrams[i];
    struct msghdr *header = &inbox->messages[i].msg_hdr;
    d->length = inbox->messages[i].msg_len;
    d->local.ss_family = AF_UNSPEC;
    if (local) find_local(header, &d->local);
    header->msg_namelen = sizeof d->peer;
    header->msg_controllen = local ? control_bytes : 0;
}

int cp_receive(int fd, struct cp_inbox *inbox, int count, int local) {
    int n = recvmmsg(fd, inbox->messages, (unsigned)(count < cp_batch ? count : cp_batch), MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) take(inbox, i, local);
    return n;
}

void cp_vacate(struct cp_inbox *inbox, int place) { inbox->messages[place].msg_len = 0; }

void cp_inherit(struct cp_inbox *inbox, int local) {
    for (int i = 0; i < cp_batch; i++) {
        struct msghdr *header = &inbox->messages[i].msg_hdr;
        header->msg_control = inbox->control[i];  // it was mapped elsewhere
        if (header->msg_controllen > control_bytes) header->msg_controllen = 0;
        take(inbox, i, local && inbox->messages[i].msg_len != 0);
    }
}

int cp_want_local(int fd, int family) {
    int on = 1;
    return family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on)
                              : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
}

int cp_want_errors(int fd, int family) {
    int on = 1;
    return family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on)
                              : setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
}

int cp_next_error(int fd, struct cp_error *error, void *data, size_t size) {
    char control[error_bytes] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = data, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (n < 0) return 0;
    *error = (struct cp_error){.length = (uint32_t)n};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        int of4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
        int of6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
        if (!of4 && !of6) continue;
        struct sock_extended_err found;
        memcpy(&found, CMSG_DATA(c), sizeof found);
        // 3: destination unreachable; 1 of ICMPv6. What is no such answer of the network concerns no peer.
        int unreachable = (found.ee_origin == SO_EE_ORIGIN_ICMP && found.ee_type == 3)
                          || (found.ee_origin == SO_EE_ORIGIN_ICMP6 && found.ee_type == 1);
        if (unreachable && found.ee_errno != EMSGSIZE) error->code = (int)found.ee_errno;
    }
    return 1;
}

// Writes the packet info that has a datagram leave from `local`; its bytes.
static size_t put_local(const struct sockaddr *local, char *control) {
    struct cmsghdr *c = (struct cmsghdr *)control;
    memset(control, 0, control_bytes);
    if (local->sa_family == AF_INET6) {
        const struct sockaddr_in6 *from = (const struct sockaddr_in6 *)local;
        struct in6_pktinfo info = {.ipi6_addr = from->sin6_addr, .ipi6_ifindex = from->sin6_scope_id};
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        return CMSG_SPACE(sizeof info);
    }
    struct in_pktinfo info = {.ipi_spec_dst = ((const struct sockaddr_in *)local)->sin_addr};
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(c), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
}

int cp_send(int fd, const struct cp_outgoing *d, int count) {
    struct mmsghdr messages[cp_batch];
    char control[cp_batch][control_bytes] __attribute__((aligned(8)));
    if (count > cp_batch) count = cp_batch;
    for (int i = 0; i < count; i++) {
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = (void *)d[i].peer, .msg_namelen = d[i].peer_length, .msg_iov = (struct iovec *)d[i].parts,
            .msg_iovlen = (size_t)d[i].part_count};
        if (d[i].local) {
            messages[i].msg_hdr.msg_control = control[i];
            messages[i].msg_hdr.msg_controllen = put_local(d[i].local, control[i]);
        }
        messages[i].msg_len = 0;
    }
    return sendmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int cp_receive_records(int fd, void *base, size_t size, uint32_t *lengths, int count) {
    struct mmsghdr messages[cp_batch];
    struct iovec parts[cp_batch];
    if (count > cp_batch) count = cp_batch;
    for (int i = 0; i < count; i++) {
        parts[i] = (struct iovec){.iov_base = (char *)base + (size_t)i * size, .iov_len = size};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        messages[i].msg_len = 0;
    }
    int n = recvmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) lengths[i] = messages[i].msg_len;
    return n;
}

int cp_send_descriptor(int fd, int descriptor, const void *payload, size_t length) {
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    memset(control, 0, sizeof control);
    struct iovec part = {.iov_base = (void *)payload, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &descriptor, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

ssize_t cp_receive_descriptor(int fd, int *descriptor, void *payload, size_t length) {
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = payload, .iov_len = length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    *descriptor = -1;
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (n < 0) return -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) memcpy(descriptor, CMSG_DATA(c), sizeof(int));
    return n;
}

int cp_peer_is_trusted(int fd) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    gid_t groups[256];
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return 0;
    if (peer.uid == 0 || peer.uid == geteuid() || peer.gid == getegid()) return 1;
    length = sizeof groups;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) return 0;
    for (size_t i = 0; i < length / sizeof *groups; i++)
        if (groups[i] == getegid()) return 1;
    return 0;
}

int cp_spawn(const char *path, char *const argv[], char *const envp[], const int *sources, int count) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    pid_t pid;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    // Sources lie above the numbered range (Descriptor.raised), so no dup2 overwrites one that is still needed.
    for (int i = 0; i < count; i++) {
        if (sources[i] >= 0) posix_spawn_file_actions_adddup2(&actions, sources[i], i);
        else posix_spawn_file_actions_addclose(&actions, i);
    }
    posix_spawn_file_actions_addclosefrom_np(&actions, count);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawn(&pid, path, &actions, &attributes, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error) {
        errno = error;
        return -1;
    }
    return pid;
}

int cp_claim(int fd, int byte) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_SETLKW, &lock);
}

int cp_claimant(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &lock) < 0) return -1;
    return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

int cp_await_exit(int pid, int milliseconds) {
    int handle = (int)syscall(SYS_pidfd_open, pid, 0);
    if (handle < 0) return errno == ESRCH;
    struct pollfd ending = {.fd = handle, .events = POLLIN};
    int ended = poll(&ending, 1, milliseconds) == 1;
    close(handle);
    return ended;
}

int cp_socket_kind(int fd, int *domain, int *type) {
    socklen_t length = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, domain, &length) < 0) return -1;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, type, &length);
}

int cp_die_with_parent(int parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == parent;
}

void cp_set_name(const char *name) { prctl(PR_SET_NAME, name); }

int cp_no_dump(void *base, size_t length) { return madvise(base, length, MADV_DONTDUMP); }

int cp_fork(void) { return fork(); }

int cp_exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
int cp_exit_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }

static const int trap_signals[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
enum { trap_count = sizeof trap_signals / sizeof trap_signals[0] };
static struct sigaction before_trap[trap_count];
static void *trap_mark;

static void mark_trap(int signal, siginfo_t *information, void *context) {
    (void)context;
    cp_store64(trap_mark, 1);
    for (int i = 0; i < trap_count; i++) {
        if (trap_signals[i] == signal) sigaction(signal, &before_trap[i], NULL);
    }
    // A fault happens again by itself, where a core shows it; what somebody sent does not.
    if (information->si_code <= 0) raise(signal);
}

int cp_mark_traps(void *mark) {
    // A stack of its own: the usual one may be what is exhausted.
    static char stack[16384];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    if (sigaltstack(&other, NULL) < 0) return -1;
    trap_mark = mark;
    struct sigaction action = {.sa_sigaction = mark_trap, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < trap_count; i++) {
        if (sigaction(trap_signals[i], &action, &before_trap[i]) < 0) return -1;
    }
    return 0;
}
