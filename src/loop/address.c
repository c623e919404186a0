/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text, to and from the kernel's form. */
#include <arpa/inet.h>

#include "loop/impl.h"

static bool parse_ip(struct str host, uint16_t port, struct address *ret)
{
    char z[INET6_ADDRSTRLEN];
    bool v6 = str_skip(&host, STR("["));
    if (v6 && !str_chop(&host, STR("]")))
        return false;
    if (host.n == 0 || host.n >= sizeof z || memchr(host.p, 0, host.n))
        return false;
    memcpy(z, host.p, host.n);
    z[host.n] = 0;
    if (v6) {
        ret->in.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        ret->len = sizeof ret->in.v6;
        return inet_pton(AF_INET6, z, &ret->in.v6.sin6_addr) == 1;
    }
    ret->in.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    ret->len = sizeof ret->in.v4;
    return inet_pton(AF_INET, z, &ret->in.v4.sin_addr) == 1;
}

static bool parse_unix(struct str path, struct address *ret)
{
    struct sockaddr_un *un = &ret->in.un;
    if (path.n == 0 || path.n >= sizeof un->sun_path || memchr(path.p, 0, path.n))
        return false;
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(un->sun_path, path.p, path.n);
    ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    return true;
}

bool address_parse(struct str s, struct address *ret)
{
    *ret = (struct address){0};
    if (str_skip(&s, STR("unix:"))) {
        ret->scheme = ADDRESS_UNIX;
        return parse_unix(s, ret);
    }
    ret->scheme = str_has_prefix(s, STR("udp:")) ? ADDRESS_UDP : ADDRESS_TCP;
    if (!str_skip(&s, STR("udp:")) && !str_skip(&s, STR("tcp:")))
        return false;
    ptrdiff_t colon = str_rindex(s, ':');
    uint64_t port;
    if (colon < 0 || !str_to_u64(str_sub(s, (size_t)colon + 1, s.n), &port) || port > UINT16_MAX)
        return false;
    return parse_ip(str_sub(s, 0, (size_t)colon), (uint16_t)port, ret);
}

void address_format_peer(char *out, size_t room, const struct address *a)
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (a->in.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->in.v4.sin_addr, ip, sizeof ip);
        snprintf(out, room, "%s:%d", ip, ntohs(a->in.v4.sin_port));
    } else if (a->in.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->in.v6.sin6_addr, ip, sizeof ip);
        snprintf(out, room, "[%s]:%d", ip, ntohs(a->in.v6.sin6_port));
    } else {
        snprintf(out, room, "@");
    }
}

void address_format(char *out, size_t room, const struct address *a)
{
    if (a->scheme == ADDRESS_UNIX) {
        snprintf(out, room, "unix:%s", a->in.un.sun_path);
        return;
    }
    char peer[INET6_ADDRSTRLEN + 16];
    address_format_peer(peer, sizeof peer, a);
    snprintf(out, room, "%s:%s", a->scheme == ADDRESS_UDP ? "udp" : "tcp", peer);
}
