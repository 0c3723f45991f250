// c-ares: the questions to name servers. Only what Swift cannot say is wrapped here.
#pragma once
#include <ares.h>
#include <sys/socket.h>

// A channel that asks one server ("192.0.2.53:53", "[2001:db8::53]:53"), once, and waits so many milliseconds.
// `on_socket` is told with `context` what each of its sockets waits for. ARES_SUCCESS or an error of c-ares.
int ca_open(ares_channel *channel, const char *server, int milliseconds, ares_sock_state_cb on_socket, void *context);
// The name servers of a file as resolv.conf(5) has it, with their ports: the number of them, at most count.
int ca_system_servers(const char *path, struct sockaddr_storage *servers, int count);
// Milliseconds after which ares_process_fd wants to be called though no socket is ready; -1: nothing is under way.
int ca_patience(ares_channel channel);
