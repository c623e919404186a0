/* SPDX-License-Identifier: Apache-2.0 */
#include "network/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/in.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <net/if.h>
#include <sys/socket.h>

/* The kernel's nf_internals.h; in no public header. */
enum { FILTER_PROTO_NUM = 1 << 3 };

struct flow {
    struct ip dst;       /* as the client sees it */
    struct ip reply_src; /* who answers */
    uint16_t dport, reply_sport;
};

struct cleaner {
    const struct conntrack_job *job;
    struct map by_key; /* struct nft_key -> struct conntrack_frontend */
    struct map local;  /* struct ip of this host's addresses */
    struct nl_batch deletions;
};

/* ---- reading an entry ---- */

static const struct nlattr *find_in(const struct nlattr *nest, uint16_t type)
{
    return nl_find(nl_attrs_in(nest), type);
}

static bool attr_ip(const struct nlattr *ips, bool source, struct ip *ret)
{
    const struct nlattr *a = find_in(ips, source ? CTA_IP_V4_SRC : CTA_IP_V4_DST);
    *ret = (struct ip){.family = 4};
    if (!a) {
        a = find_in(ips, source ? CTA_IP_V6_SRC : CTA_IP_V6_DST);
        ret->family = 6;
    }
    if (!a || mnl_attr_get_payload_len(a) != ip_len(*ret))
        return false;
    memcpy(ret->bytes, mnl_attr_get_payload(a), ip_len(*ret));
    return true;
}

static bool attr_port(const struct nlattr *proto, uint16_t type, uint16_t *ret)
{
    const struct nlattr *a = find_in(proto, type);
    if (!a || mnl_attr_get_payload_len(a) != sizeof *ret)
        return false;
    *ret = ntohs(mnl_attr_get_u16(a));
    return true;
}

static bool is_udp(const struct nlattr *proto)
{
    const struct nlattr *a = find_in(proto, CTA_PROTO_NUM);
    return a && mnl_attr_get_payload_len(a) == 1 && mnl_attr_get_u8(a) == IPPROTO_UDP;
}

static bool read_flow(const struct nlattr *orig, const struct nlattr *reply, struct flow *ret)
{
    const struct nlattr *proto = find_in(orig, CTA_TUPLE_PROTO);
    return is_udp(proto) && attr_ip(find_in(orig, CTA_TUPLE_IP), false, &ret->dst) &&
           attr_port(proto, CTA_PROTO_DST_PORT, &ret->dport) &&
           attr_ip(find_in(reply, CTA_TUPLE_IP), true, &ret->reply_src) &&
           attr_port(find_in(reply, CTA_TUPLE_PROTO), CTA_PROTO_SRC_PORT, &ret->reply_sport);
}

/* ---- judging it ---- */

static const struct conntrack_frontend *frontend_of(const struct cleaner *c, const struct flow *f,
                                                    bool any)
{
    struct nft_key k = {.protocol = IPPROTO_UDP, .port = f->dport};
    k.ip = any ? (struct ip){.family = f->dst.family} : f->dst;
    return map_get(&c->by_key, str_n((const char *)&k, sizeof k));
}

static bool stale_for(const struct cleaner *c, const struct flow *f,
                      const struct conntrack_frontend *fe)
{
    bool translated = !ip_eq(f->dst, f->reply_src) || f->dport != f->reply_sport;
    struct nft_backend b = {.ip = f->reply_src, .port = f->reply_sport};
    if (fe->n && bsearch(&b, fe->backends, fe->n, sizeof b, nft_backend_cmp))
        return false;
    if (!ip_is_any(fe->key.ip))
        return translated || fe->n;
    /* The port alone says little: another program's translation, or a flow passing through. */
    if (translated)
        return cidr_has(c->job->cluster[f->dst.family == 6], f->reply_src);
    return fe->n && map_has(&c->local, str_n((const char *)&f->dst, sizeof f->dst));
}

static bool stale(const struct cleaner *c, const struct flow *f)
{
    const struct conntrack_frontend *fe = frontend_of(c, f, false);
    if (fe)
        return stale_for(c, f, fe);
    fe = frontend_of(c, f, true);
    return fe && stale_for(c, f, fe);
}

static void copy_attr(struct nlmsghdr *m, const struct nlattr *a)
{
    if (a)
        mnl_attr_put(m, a->nla_type, mnl_attr_get_payload_len(a), mnl_attr_get_payload(a));
}

static int see_entry(const struct nlmsghdr *m, void *arg)
{
    struct cleaner *c = arg;
    const struct nfgenmsg *g = mnl_nlmsg_get_payload(m);
    struct nl_attrs attrs = nl_attrs_of(m, sizeof *g);
    const struct nlattr *orig = nl_find(attrs, CTA_TUPLE_ORIG);
    struct flow f = {0};
    if (!read_flow(orig, nl_find(attrs, CTA_TUPLE_REPLY), &f) || !stale(c, &f))
        return 0;
    struct nfgenmsg to = {.nfgen_family = g->nfgen_family};
    struct nlmsghdr *d =
        nl_begin(&c->deletions, "forget UDP flow", ENOENT,
                 NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, &to, sizeof to, NL_ROOM);
    copy_attr(d, orig);
    copy_attr(d, nl_find(attrs, CTA_ZONE));
    copy_attr(d, nl_find(attrs, CTA_ID));
    nl_end(&c->deletions, d);
    return 0;
}

static void begin_entries(void *arg)
{
    struct cleaner *c = arg;
    nl_batch_clear(&c->deletions);
}

/* ---- the walk ---- */

static void local_addresses(struct cleaner *c)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0)
        return;
    for (struct ifaddrs *i = list; i; i = i->ifa_next) {
        struct ip a = {0};
        if (!i->ifa_addr)
            continue;
        a.family = i->ifa_addr->sa_family == AF_INET6 ? 6 : 4;
        if (i->ifa_addr->sa_family == AF_INET)
            memcpy(a.bytes, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, 4);
        else if (i->ifa_addr->sa_family == AF_INET6)
            memcpy(a.bytes, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr,
                   16);
        else
            continue;
        map_put(&c->local, str_n((const char *)&a, sizeof a), c);
    }
    freeifaddrs(list);
}

/* Asks for UDP only; a kernel that knows no filter sends everything, and read_flow sorts. */
static int walk(int fd, struct cleaner *c, uint8_t nfproto, struct err *e)
{
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct nfgenmsg g = {.nfgen_family = nfproto};
    struct nlmsghdr *m =
        nl_begin(&b, "read conntrack", 0, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, 0, &g,
                 sizeof g, NL_ROOM);
    struct nlattr *tuple = mnl_attr_nest_start(m, CTA_TUPLE_ORIG);
    struct nlattr *proto = mnl_attr_nest_start(m, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(m, CTA_PROTO_NUM, IPPROTO_UDP);
    mnl_attr_nest_end(m, proto);
    mnl_attr_nest_end(m, tuple);
    struct nlattr *filter = mnl_attr_nest_start(m, CTA_FILTER);
    mnl_attr_put_u32(m, CTA_FILTER_ORIG_FLAGS, FILTER_PROTO_NUM);
    mnl_attr_nest_end(m, filter);
    nl_end(&b, m);
    return nl_dump(fd, &b, see_entry, begin_entries, c, e);
}

static int clean(int fd, struct cleaner *c, uint32_t *ret_deleted, struct err *e)
{
    bool used[2] = {0};
    int error = 0;
    for (size_t i = 0; i < c->job->frontends.n; i++)
        used[c->job->frontends.v[i].key.ip.family == 6] = true;
    for (size_t i = 0; i < 2 && !error; i++) {
        if (!used[i])
            continue;
        nl_batch_clear(&c->deletions);
        error = walk(fd, c, i ? AF_INET6 : AF_INET, e);
        if (!error)
            error = nl_run(fd, &c->deletions, e);
        *ret_deleted += (uint32_t)c->deletions.notes.n;
    }
    return error;
}

int conntrack_clean(const struct conntrack_job *job, uint32_t *ret_deleted, struct err *e)
{
    if (job->frontends.n == 0)
        return 0;
    CLEANUP(close_fd) int fd = nl_open(NETLINK_NETFILTER, e);
    if (fd < 0)
        return fd;
    struct cleaner c = {.job = job, .by_key = MAP_INIT_BORROWED};
    nl_batch_init(&c.deletions);
    for (size_t i = 0; i < job->frontends.n; i++) {
        struct conntrack_frontend *fe = &job->frontends.v[i];
        map_put(&c.by_key, str_n((const char *)&fe->key, sizeof fe->key), fe);
    }
    local_addresses(&c);
    uint32_t deleted = 0;
    int error = clean(fd, &c, &deleted, e);
    if (ret_deleted)
        *ret_deleted = deleted;
    nl_batch_fini(&c.deletions);
    map_fini(&c.by_key);
    map_fini(&c.local);
    return error;
}

void conntrack_job_free(struct conntrack_job *job)
{
    LIST_EACH (fe, &job->frontends)
        free(fe->backends);
    vec_free(&job->frontends);
}
