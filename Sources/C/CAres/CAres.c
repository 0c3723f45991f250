#include "CAres.h"
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>

int ca_open(ares_channel *channel, const char *server, int milliseconds, ares_sock_state_cb on_socket, void *context) {
    struct ares_options options = {
        // NOCHECKRESP: else SERVFAIL and REFUSED would be told as silence.
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS,
        .timeout = milliseconds,
        .tries = 1,
        .ednspsz = 1232,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = context,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB;
    int status = ares_init_options(channel, &options, mask);
    if (status != ARES_SUCCESS) return status;
    status = ares_set_servers_ports_csv(*channel, server);
    if (status != ARES_SUCCESS) ares_destroy(*channel);
    return status;
}

int ca_system_servers(const char *path, struct sockaddr_storage *servers, int count) {
    struct ares_options options = {.resolvconf_path = (char *)path};
    ares_channel channel;
    struct ares_addr_port_node *nodes = NULL;
    int found = 0;
    if (ares_init_options(&channel, &options, ARES_OPT_RESOLVCONF) != ARES_SUCCESS) return 0;
    ares_get_servers_ports(channel, &nodes);
    for (struct ares_addr_port_node *node = nodes; node && found < count; node = node->next) {
        memset(&servers[found], 0, sizeof servers[found]);
        unsigned short port = htons((unsigned short)(node->udp_port ? node->udp_port : 53));
        if (node->family == AF_INET) {
            struct sockaddr_in *address = (struct sockaddr_in *)&servers[found++];
            address->sin_family = AF_INET;
            address->sin_port = port;
            address->sin_addr = node->addr.addr4;
        } else if (node->family == AF_INET6) {
            struct sockaddr_in6 *address = (struct sockaddr_in6 *)&servers[found++];
            address->sin6_family = AF_INET6;
            address->sin6_port = port;
            memcpy(&address->sin6_addr, &node->addr.addr6, sizeof address->sin6_addr);
        }
    }
    if (nodes) ares_free_data(nodes);
    ares_destroy(channel);
    return found;
}

int ca_patience(ares_channel channel) {
    struct timeval time;
    if (!ares_timeout(channel, NULL, &time)) return -1;
    return (int)(time.tv_sec * 1000 + (time.tv_usec + 999) / 1000);
}
