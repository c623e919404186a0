/* SPDX-License-Identifier: Apache-2.0 */
#include "network/link.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- reading ---- */

static void copy_text(char *out, size_t room, const struct nlattr *a)
{
    size_t n = MIN((size_t)mnl_attr_get_payload_len(a), room - 1);
    memcpy(out, mnl_attr_get_payload(a), n);
    out[n] = 0;
}

static void copy_kind(struct link_info *l, const struct nlattr *linkinfo)
{
    const struct nlattr *a = nl_find(nl_attrs_in(linkinfo), IFLA_INFO_KIND);
    if (a)
        copy_text(l->kind, sizeof l->kind, a);
}

static int u32_of(const struct nlattr *a)
{
    return mnl_attr_get_payload_len(a) == sizeof(uint32_t) ? (int)mnl_attr_get_u32(a) : 0;
}

static bool read_link(const struct nlmsghdr *m, struct link_info *l)
{
    const struct ifinfomsg *head = mnl_nlmsg_get_payload(m);
    if (m->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(m) < sizeof *head)
        return false;
    *l = (struct link_info){.index = head->ifi_index};
    struct nl_attrs attrs = nl_attrs_of(m, sizeof *head);
    for (const struct nlattr *a; nl_next(&attrs, &a);) {
        switch (mnl_attr_get_type(a)) {
        case IFLA_IFNAME: copy_text(l->name, sizeof l->name, a); break;
        case IFLA_IFALIAS: copy_text(l->alias, sizeof l->alias, a); break;
        case IFLA_MASTER: l->master = u32_of(a); break;
        case IFLA_MTU: l->mtu = (uint32_t)u32_of(a); break;
        case IFLA_OPERSTATE: l->works = mnl_attr_get_u8(a) == IF_OPER_UP; break;
        case IFLA_LINKINFO: copy_kind(l, a); break;
        default: break;
        }
    }
    return true;
}

static int keep_link(const struct nlmsghdr *m, void *arg)
{
    read_link(m, arg);
    return 0;
}

static struct nlmsghdr *link_message(struct nl_batch *b, const char *what, int tolerate,
                                     uint16_t type, uint16_t flags, int index)
{
    struct ifinfomsg head = {.ifi_family = AF_UNSPEC, .ifi_index = index};
    return nl_begin(b, what, tolerate, type, flags, &head, sizeof head, NL_ROOM);
}

int link_find(int fd, const char *name, struct link_info *ret, struct err *e)
{
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct nlmsghdr *m = link_message(&b, "find link", 0, RTM_GETLINK, 0, 0);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    nl_end(&b, m);
    return nl_get(fd, &b, keep_link, ret, e);
}

static int add_link(const struct nlmsghdr *m, void *arg)
{
    struct link_list *list = arg;
    struct link_info l;
    if (read_link(m, &l))
        vec_push(&list->v, l);
    return 0;
}

static void begin_links(void *arg)
{
    ((struct link_list *)arg)->v.n = 0;
}

int link_list(int fd, struct link_list *ret, struct err *e)
{
    *ret = (struct link_list){0};
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    nl_end(&b, link_message(&b, "list links", 0, RTM_GETLINK, 0, 0));
    int error = nl_dump(fd, &b, add_link, begin_links, ret, e);
    if (error)
        link_list_free(ret);
    return error;
}

void link_list_free(struct link_list *l)
{
    vec_free(&l->v);
}

/* ---- waiting ---- */

static bool works(int fd, const char *name)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct link_info l = {0};
    bool yes = link_find(fd, name, &l, &e) == 0 && l.works;
    arena_fini(&a);
    return yes;
}

static int listen_for_links(void)
{
    static const int group = RTNLGRP_LINK;
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    int fd = nl_open(NETLINK_ROUTE, &e);
    arena_fini(&a);
    if (fd >= 0 && setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
        close_fd(&fd);
    return fd;
}

/* Something has happened to links; false: not in time. */
static bool wait_for_links(int fd, int64_t deadline_ms)
{
    char drop[4096];
    int64_t left = deadline_ms - now_ms();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (left <= 0 || poll(&p, 1, (int)left) <= 0)
        return false;
    while (recv(fd, drop, sizeof drop, MSG_DONTWAIT) >= 0)
        ;
    return true;
}

bool link_wait_until_works(int fd, const char (*names)[IFNAMSIZ], size_t n, int timeout_ms)
{
    CLEANUP(close_fd) int ear = -1;
    int64_t deadline_ms = now_ms() + timeout_ms;
    for (size_t i = 0; i < n;) {
        if (works(fd, names[i])) { /* newer kernels see to it in this very call */
            i++;
            continue;
        }
        if (ear >= 0 && !wait_for_links(ear, deadline_ms))
            return false;
        if (ear < 0 && (ear = listen_for_links()) < 0)
            return false;
    }
    return true;
}

/* ---- links ---- */

void link_mac(struct ip a, uint8_t out[MAC_LEN])
{
    static const uint8_t prefix[2] = {0x0a, 0x58};
    memcpy(out, prefix, sizeof prefix);
    memcpy(out + sizeof prefix, a.bytes + ip_len(a) - 4, 4);
}

struct info {
    struct nlattr *linkinfo, *data;
};

static struct info info_begin(struct nlmsghdr *m, uint16_t kind_type, const char *kind,
                              uint16_t data_type)
{
    struct info i;
    i.linkinfo = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, kind_type, kind);
    i.data = mnl_attr_nest_start(m, data_type);
    return i;
}

static void info_end(struct nlmsghdr *m, struct info i)
{
    mnl_attr_nest_end(m, i.data);
    mnl_attr_nest_end(m, i.linkinfo);
}

void link_add_bridge(struct nl_batch *b, const char *name, const uint8_t mac[MAC_LEN], uint32_t mtu,
                     const char *alias)
{
    struct nlmsghdr *m =
        link_message(b, "create bridge", 0, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    mnl_attr_put(m, IFLA_ADDRESS, MAC_LEN, mac);
    mnl_attr_put_u32(m, IFLA_MTU, mtu);
    struct info i = info_begin(m, IFLA_INFO_KIND, "bridge", IFLA_INFO_DATA);
    mnl_attr_put_u8(m, IFLA_BR_MCAST_SNOOPING, 0); /* spares its timers and queries */
    info_end(m, i);
    nl_end(b, m);
    /* Not taken at creation; but both messages are carried out inside one system call. */
    m = link_message(b, "set bridge alias", 0, RTM_SETLINK, 0, 0);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    mnl_attr_put(m, IFLA_IFALIAS, strlen(alias), alias);
    nl_end(b, m);
}

void link_add_pod(struct nl_batch *b, const char *name, int bridge, int netns_fd,
                  const uint8_t mac[MAC_LEN], uint32_t mtu)
{
    struct nlmsghdr *m =
        link_message(b, "create veth", 0, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    mnl_attr_put_u32(m, IFLA_MTU, mtu);
    mnl_attr_put_u32(m, IFLA_MASTER, (uint32_t)bridge);
    struct info i = info_begin(m, IFLA_INFO_KIND, "veth", IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(m, VETH_INFO_PEER);
    memset(mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg)), 0, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(m, IFLA_IFNAME, "eth0");
    mnl_attr_put(m, IFLA_ADDRESS, MAC_LEN, mac);
    mnl_attr_put_u32(m, IFLA_MTU, mtu);
    mnl_attr_put_u32(m, IFLA_NET_NS_FD, (uint32_t)netns_fd);
    mnl_attr_nest_end(m, peer);
    info_end(m, i);
    nl_end(b, m);
}

static void put_no_ipv6(struct nlmsghdr *m)
{
    struct nlattr *spec = mnl_attr_nest_start(m, IFLA_AF_SPEC);
    struct nlattr *inet6 = mnl_attr_nest_start(m, AF_INET6);
    mnl_attr_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(m, inet6);
    mnl_attr_nest_end(m, spec);
}

static struct nlmsghdr *up_message(struct nl_batch *b, int index)
{
    struct ifinfomsg head = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    return nl_begin(b, "set link up", 0, RTM_SETLINK, 0, &head, sizeof head, NL_ROOM);
}

void link_set_master(struct nl_batch *b, const char *name, int bridge)
{
    struct nlmsghdr *m = link_message(b, "set bridge", 0, RTM_SETLINK, 0, 0);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    mnl_attr_put_u32(m, IFLA_MASTER, (uint32_t)bridge);
    nl_end(b, m);
}

void link_set_port(struct nl_batch *b, const char *name)
{
    struct nlmsghdr *m =
        link_message(b, "set bridge port", EAFNOSUPPORT /* no IPv6 */, RTM_NEWLINK, 0, 0);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    struct info i = info_begin(m, IFLA_INFO_SLAVE_KIND, "bridge", IFLA_INFO_SLAVE_DATA);
    mnl_attr_put_u8(m, IFLA_BRPORT_MODE, BRIDGE_MODE_HAIRPIN);
    info_end(m, i);
    put_no_ipv6(m);
    nl_end(b, m);
    m = up_message(b, 0);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    nl_end(b, m);
}

void link_set_up(struct nl_batch *b, int index)
{
    nl_end(b, up_message(b, index));
}

void link_set_no_ipv6(struct nl_batch *b, int index)
{
    struct nlmsghdr *m =
        link_message(b, "set link without IPv6", EAFNOSUPPORT, RTM_SETLINK, 0, index);
    put_no_ipv6(m);
    nl_end(b, m);
}

static void set_group(struct nl_batch *b, int index, uint32_t group)
{
    struct nlmsghdr *m = link_message(b, "set link group", ENODEV, RTM_SETLINK, 0, index);
    mnl_attr_put_u32(m, IFLA_GROUP, group);
    nl_end(b, m);
}

int link_remove_all(int fd, const int *indices, size_t n, struct err *e)
{
    enum { GROUP_BASE = 0x42510000 }; /* nobody else's, with our pid */
    uint32_t group = GROUP_BASE | ((uint32_t)getpid() & 0xffff);
    if (n == 0)
        return 0;
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    for (size_t i = 0; i < n; i++)
        set_group(&b, indices[i], group);
    struct nlmsghdr *m = link_message(&b, "remove links", ENODEV, RTM_DELLINK, 0, 0);
    mnl_attr_put_u32(m, IFLA_GROUP, group);
    nl_end(&b, m);
    return nl_run(fd, &b, e);
}

/* ---- addresses and routes ---- */

static uint8_t af_of(struct ip a)
{
    return a.family == 6 ? AF_INET6 : AF_INET;
}

static void put_ip(struct nlmsghdr *m, uint16_t type, struct ip a)
{
    mnl_attr_put(m, type, ip_len(a), a.bytes);
}

void link_add_address(struct nl_batch *b, int index, struct ip a, uint8_t bits)
{
    struct ifaddrmsg head = {.ifa_family = af_of(a),
                             .ifa_prefixlen = bits,
                             .ifa_scope = RT_SCOPE_UNIVERSE,
                             .ifa_index = (uint32_t)index,
                             .ifa_flags = a.family == 6 ? IFA_F_NODAD : 0};
    struct nlmsghdr *m = nl_begin(b, "add address", EEXIST, RTM_NEWADDR,
                                  NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head, NL_ROOM);
    put_ip(m, IFA_LOCAL, a);
    put_ip(m, IFA_ADDRESS, a);
    nl_end(b, m);
}

static struct nlmsghdr *route_message(struct nl_batch *b, bool add, struct ip like, uint8_t bits,
                                      uint8_t scope, uint32_t flags)
{
    struct rtmsg head = {.rtm_family = af_of(like),
                         .rtm_dst_len = bits,
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_STATIC,
                         .rtm_scope = scope,
                         .rtm_type = RTN_UNICAST,
                         .rtm_flags = flags};
    if (!add)
        return nl_begin(b, "remove route", ESRCH, RTM_DELROUTE, 0, &head, sizeof head, NL_ROOM);
    return nl_begin(b, "add route", 0, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &head,
                    sizeof head, NL_ROOM);
}

void link_add_route(struct nl_batch *b, int index, struct cidr to, struct ip source)
{
    struct nlmsghdr *m = route_message(b, true, to.ip, to.bits, RT_SCOPE_LINK, 0);
    put_ip(m, RTA_DST, to.ip);
    if (source.family)
        put_ip(m, RTA_PREFSRC, source);
    mnl_attr_put_u32(m, RTA_OIF, (uint32_t)index);
    nl_end(b, m);
}

static void host_route(struct nl_batch *b, bool add, int index, struct ip a)
{
    struct nlmsghdr *m =
        route_message(b, add, a, (uint8_t)(ip_len(a) * 8), RT_SCOPE_UNIVERSE, RTNH_F_ONLINK);
    put_ip(m, RTA_DST, a);
    put_ip(m, RTA_GATEWAY, a);
    mnl_attr_put_u32(m, RTA_OIF, (uint32_t)index);
    nl_end(b, m);
}

void link_add_host_route(struct nl_batch *b, int index, struct ip a)
{
    host_route(b, true, index, a);
}

void link_remove_host_route(struct nl_batch *b, int index, struct ip a)
{
    host_route(b, false, index, a);
}

void link_add_gateway(struct nl_batch *b, int index, struct ip gateway)
{
    struct nlmsghdr *m = route_message(b, true, gateway, 0, RT_SCOPE_UNIVERSE, RTNH_F_ONLINK);
    put_ip(m, RTA_GATEWAY, gateway);
    mnl_attr_put_u32(m, RTA_OIF, (uint32_t)index);
    nl_end(b, m);
}

static int add_route(const struct nlmsghdr *m, void *arg)
{
    struct route_list *list = arg;
    const struct rtmsg *head = mnl_nlmsg_get_payload(m);
    if (m->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(m) < sizeof *head ||
        (head->rtm_family != AF_INET && head->rtm_family != AF_INET6) ||
        head->rtm_type != RTN_UNICAST || head->rtm_flags & RTM_F_CLONED)
        return 0;
    struct route_info r = {
        .to = {.ip = {.family = head->rtm_family == AF_INET6 ? 6 : 4}, .bits = head->rtm_dst_len}};
    uint32_t table = head->rtm_table;
    struct nl_attrs attrs = nl_attrs_of(m, sizeof *head);
    for (const struct nlattr *a; nl_next(&attrs, &a);) {
        size_t n = mnl_attr_get_payload_len(a);
        if (mnl_attr_get_type(a) == RTA_DST && n == ip_len(r.to.ip))
            memcpy(r.to.ip.bytes, mnl_attr_get_payload(a), n);
        if (mnl_attr_get_type(a) == RTA_OIF)
            r.index = u32_of(a);
        if (mnl_attr_get_type(a) == RTA_TABLE)
            table = (uint32_t)u32_of(a);
    }
    if (table == RT_TABLE_MAIN)
        vec_push(&list->v, r);
    return 0;
}

static void begin_routes(void *arg)
{
    ((struct route_list *)arg)->v.n = 0;
}

int route_list(int fd, struct route_list *ret, struct err *e)
{
    *ret = (struct route_list){0};
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct rtmsg head = {.rtm_family = AF_UNSPEC};
    nl_end(&b, nl_begin(&b, "list routes", 0, RTM_GETROUTE, 0, &head, sizeof head, NL_ROOM));
    int error = nl_dump(fd, &b, add_route, begin_routes, ret, e);
    if (error)
        route_list_free(ret);
    return error;
}

void route_list_free(struct route_list *l)
{
    vec_free(&l->v);
}
