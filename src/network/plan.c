/* SPDX-License-Identifier: Apache-2.0 */
#include "network/plan.h"

#include <ctype.h>

#include "network/ipam.h"

enum { NFT_TABLE_VERSION = 1, DOMAIN_MAX = 200, NODE_NAME_MAX = 253 };

static char *copy(struct str s, const char *otherwise)
{
    char *z = xcalloc(1, MAX(s.n, strlen(otherwise)) + 1);
    if (s.n)
        memcpy(z, s.p, s.n);
    else
        memcpy(z, otherwise, strlen(otherwise));
    return z;
}

static int check_name(struct str name, struct err *e)
{
    bool good = name.n > 0 && name.n <= NETWORK_NAME_MAX && name.p[0] >= 'a' && name.p[0] <= 'z';
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        good &= (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    }
    if (good)
        return 0;
    return err_set(e, ERR_INVALID,
                   "cluster name \"%.*s\" must be 1 to %d lower-case letters, digits and \"-\", "
                   "beginning with a letter",
                   STR_ARG(name), NETWORK_NAME_MAX);
}

/* Each text is empty or a prefix of a family that no other one has. */
static int parse_cidrs(const struct str texts[2], struct cidr ret[2], const char *what,
                       struct err *e)
{
    for (size_t i = 0; i < 2; i++) {
        struct cidr c;
        if (str_empty(texts[i]))
            continue;
        if (!cidr_parse(texts[i], &c) || ret[c.ip.family == 6].ip.family)
            return err_set(e, ERR_INVALID, "%s \"%.*s\" is no prefix, or the second of its family",
                           what, STR_ARG(texts[i]));
        ret[c.ip.family == 6] = c;
    }
    return 0;
}

static int parse_ips(const struct str texts[2], struct ip ret[2], const char *what, struct err *e)
{
    for (size_t i = 0; i < 2; i++) {
        struct ip a;
        if (str_empty(texts[i]))
            continue;
        if (!ip_parse(texts[i], &a) || ret[a.family == 6].family)
            return err_set(e, ERR_INVALID, "%s \"%.*s\" is no address, or the second of its family",
                           what, STR_ARG(texts[i]));
        ret[a.family == 6] = a;
    }
    return 0;
}

/* "<name>.<offset>" must be a link name. */
static int check_link_names(const struct plan *p, struct err *e)
{
    struct ipam m;
    char offset[16];
    ipam_init(&m, p->pods[0].ip.family ? p->pods[0] : p->pods[1]);
    int room = IFNAMSIZ - 1 - snprintf(offset, sizeof offset, ".%u", m.last);
    ipam_fini(&m);
    if ((int)strlen(p->name) <= room)
        return 0;
    return err_set(e, ERR_INVALID,
                   "cluster name \"%s\" is too long for so large a pod CIDR: %d characters at most",
                   p->name, room);
}

static int check_pods(const struct plan *p, struct err *e)
{
    const struct cidr *four = &p->pods[0], *six = &p->pods[1];
    if (!four->ip.family && !six->ip.family)
        return err_set(e, ERR_INVALID, "a pod CIDR is needed");
    if (four->ip.family && (four->bits < 8 || four->bits > 29))
        return err_set(e, ERR_INVALID, "the IPv4 pod CIDR must be between /8 and /29");
    if (six->ip.family && (six->bits < 48 || six->bits > 120))
        return err_set(e, ERR_INVALID, "the IPv6 pod CIDR must be between /48 and /120");
    for (size_t i = 0; i < 2; i++) {
        if (p->pods[i].ip.family && p->services[i].ip.family &&
            cidr_overlaps(p->pods[i], p->services[i]))
            return err_set(e, ERR_INVALID, "pod CIDR and service CIDR overlap");
        if (p->dns[i].family && !cidr_has(p->services[i], p->dns[i]))
            return err_set(e, ERR_INVALID, "the DNS address must lie in the service CIDR");
    }
    return 0;
}

void plan_mark(const char *data_dir, char *out, size_t room)
{
    /* A long path is told from another by its end. */
    size_t n = strlen(data_dir), max = room - 48;
    snprintf(out, room, PLAN_MARK "%s%s", n > max ? "..." : "",
             n > max ? data_dir + n - max : data_dir);
}

void plan_link(const char *name, uint32_t offset, char out[IFNAMSIZ])
{
    must(snprintf(out, IFNAMSIZ, "%s.%u", name, offset) < IFNAMSIZ);
}

bool plan_is_link(const char *name, const char *link)
{
    struct str rest = str_z(link);
    uint64_t offset;
    return str_skip(&rest, str_z(name)) && str_skip(&rest, STR(".")) && str_to_u64(rest, &offset);
}

static void write_ranges(struct plan *p)
{
    struct buf b = BUF_INIT(sizeof p->ranges - 1);
    char text[IP_TEXT_MAX];
    for (size_t i = 0; i < 2; i++) {
        const struct cidr *parts[] = {&p->pods[i], &p->services[i]};
        for (size_t j = 0; j < ARRAY_LEN(parts); j++)
            if (parts[j]->ip.family)
                buf_fmt(&b, "%s/%u ", ip_text(parts[j]->ip, text), parts[j]->bits);
        if (p->dns[i].family)
            buf_fmt(&b, "%s ", ip_text(p->dns[i], text));
    }
    must(!b.failed && b.n);
    memcpy(p->ranges, b.p, b.n); /* without the last blank there is a NUL */
    p->ranges[b.n - 1] = 0;
    buf_fini(&b);
}

static void derive(struct plan *p, const struct network_config *c)
{
    snprintf(p->bridge, sizeof p->bridge, "%s0", p->name);
    p->dir = xasprintf("%s/network", p->data_dir);
    plan_mark(p->data_dir, p->mark, sizeof p->mark);
    for (char *z = p->dns_domain; *z; z++)
        *z = (char)tolower((unsigned char)*z);
    if (str_has_suffix(str_z(p->dns_domain), STR(".")))
        p->dns_domain[strlen(p->dns_domain) - 1] = 0;
    for (size_t i = 0; i < 2; i++) {
        if (!p->cluster[i].ip.family)
            p->cluster[i] = p->pods[i];
        if (p->pods[i].ip.family)
            p->gateway[i] = ip_add(p->pods[i].ip, 1);
    }
    p->primary = str_index(c->pod_cidr[0], ':') >= 0 || str_empty(c->pod_cidr[0]);
    if (!p->pods[p->primary].ip.family)
        p->primary = !p->primary;
    write_ranges(p);
}

static int parse(struct plan *p, const struct network_config *c, struct err *e)
{
    int error = check_name(c->name, e);
    if (error)
        return error;
    if (str_empty(c->data_dir) || c->data_dir.p[0] != '/')
        return err_set(e, ERR_INVALID, "the data folder must be an absolute path");
    if (c->dns_domain.n > DOMAIN_MAX || c->node_name.n > NODE_NAME_MAX)
        return err_set(e, ERR_INVALID, "the DNS domain or the node name is too long");
    if ((error = parse_cidrs(c->pod_cidr, p->pods, "pod CIDR", e)) ||
        (error = parse_cidrs(c->cluster_cidr, p->cluster, "cluster CIDR", e)) ||
        (error = parse_cidrs(c->service_cidr, p->services, "service CIDR", e)) ||
        (error = parse_ips(c->dns_address, p->dns, "DNS address", e)))
        return error;
    memcpy(p->name, c->name.p, c->name.n);
    error = check_pods(p, e);
    return error ? error : check_link_names(p, e);
}

int plan_init(struct plan *p, const struct network_config *c, struct err *e)
{
    *p = (struct plan){.mtu = c->mtu};
    int error = parse(p, c, e);
    if (error)
        return error;
    p->data_dir = copy(c->data_dir, "");
    p->node_name = copy(c->node_name, "");
    p->dns_domain = copy(c->dns_domain, "cluster.local");
    p->resolv_conf = copy(c->resolv_conf, "/etc/resolv.conf");
    derive(p, c);
    return 0;
}

void plan_fini(struct plan *p)
{
    free(p->data_dir);
    free(p->dir);
    free(p->node_name);
    free(p->dns_domain);
    free(p->resolv_conf);
    *p = (struct plan){0};
}

void plan_nft(const struct plan *p, struct nft_config *ret)
{
    *ret = (struct nft_config){0};
    snprintf(ret->table, sizeof ret->table, "%s", p->name);
    snprintf(ret->bridge, sizeof ret->bridge, "%s", p->bridge);
    char mark[NFT_COMMENT_MAX - 8];
    plan_mark(p->data_dir, mark, sizeof mark);
    snprintf(ret->comment, sizeof ret->comment, "%s (%d)", mark, NFT_TABLE_VERSION);
    memcpy(ret->pods, p->pods, sizeof p->pods);
    memcpy(ret->cluster, p->cluster, sizeof p->cluster);
    memcpy(ret->services, p->services, sizeof p->services);
    memcpy(ret->dns, p->dns, sizeof p->dns);
}
