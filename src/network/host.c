/* SPDX-License-Identifier: Apache-2.0 */
#include "network/host.h"

#include <errno.h>

#include "network/netns.h"
#include "network/sysctl.h"

enum { MTU_DEFAULT = 1500, MTU_MIN = 1280 };

struct setup {
    const struct plan *p;
    struct host *h;
    struct record_host record;
    struct link_list links;
    struct route_list routes;
    bool bridge_is_new;
};

/* ---- what is there ---- */

static const struct link_info *find_link(const struct link_list *l, const char *name)
{
    for (size_t i = 0; i < l->v.n; i++)
        if (strcmp(l->v.v[i].name, name) == 0)
            return &l->v.v[i];
    return NULL;
}

static const struct link_info *link_at(const struct link_list *l, int index)
{
    for (size_t i = 0; i < l->v.n; i++)
        if (l->v.v[i].index == index)
            return &l->v.v[i];
    return NULL;
}

/* Aliases of bridges are "<mark>; <notes>". */
bool host_mark_is(const struct link_info *l, const char *mark)
{
    struct str alias = str_z(l->alias);
    return strcmp(l->kind, "bridge") == 0 && str_skip(&alias, str_z(mark)) &&
           (alias.n == 0 || alias.p[0] == ';');
}

bool host_mark_is_any(const struct link_info *l)
{
    return strcmp(l->kind, "bridge") == 0 && str_has_prefix(str_z(l->alias), STR(PLAN_MARK));
}

static int check_bridge(struct setup *s, struct err *e)
{
    const struct link_info *l = find_link(&s->links, s->p->bridge);
    s->bridge_is_new = !l;
    if (!l || host_mark_is(l, s->p->mark))
        return 0;
    return err_set(e, ERR_CONFLICT, "link %s is there and is not ours (%s)", l->name,
                   l->alias[0] ? l->alias : "no mark");
}

/* A prefix of ours that is already reached by another link. */
static int check_routes(const struct setup *s, struct cidr c, const char *what, struct err *e)
{
    for (size_t i = 0; i < s->routes.v.n && c.ip.family; i++) {
        const struct route_info *r = &s->routes.v.v[i];
        const struct link_info *l = link_at(&s->links, r->index);
        if (r->to.bits < c.bits || !cidr_has(c, r->to.ip) ||
            (l && strcmp(l->name, s->p->bridge) == 0))
            continue;
        char text[IP_TEXT_MAX];
        return err_set(e, ERR_CONFLICT, "the %s CIDR overlaps with the route %s/%u on %s", what,
                       ip_text(r->to.ip, text), r->to.bits, l ? l->name : "another link");
    }
    return 0;
}

static int survey(struct setup *s, struct err *e)
{
    int error;
    if ((error = link_list(s->h->route_fd, &s->links, e)) ||
        (error = route_list(s->h->route_fd, &s->routes, e)) || (error = check_bridge(s, e)))
        return error;
    for (size_t i = 0; i < 2; i++)
        if ((error = check_routes(s, s->p->pods[i], "pod", e)) ||
            (error = check_routes(s, s->p->services[i], "service", e)))
            return error;
    return 0;
}

/* ---- the record ---- */

static int check_ranges(const struct setup *s, struct err *e)
{
    if (strcmp(s->record.name, s->p->name) == 0 && strcmp(s->record.ranges, s->p->ranges) == 0)
        return 0;
    return err_set(e, ERR_CONFLICT,
                   "%s was made for cluster \"%s\" with %s, not \"%s\" with %s: purge it first",
                   s->p->dir, s->record.name, s->record.ranges, s->p->name, s->p->ranges);
}

/* What was is written down once, at the first start. Another cluster on this host may have
 * changed it before us: then its word counts. */
static int record(struct setup *s, struct err *e)
{
    int outcome = record_host_load(s->p->dir, &s->record, e);
    if (outcome == 0)
        return check_ranges(s, e);
    if (outcome < 0)
        return outcome;
    snprintf(s->record.name, sizeof s->record.name, "%s", s->p->name);
    snprintf(s->record.ranges, sizeof s->record.ranges, "%s", s->p->ranges);
    for (size_t i = 0; i < 2; i++) {
        if (!s->p->pods[i].ip.family)
            continue;
        bool was_off = false;
        for (size_t j = 0; j < s->links.v.n; j++)
            was_off |= host_mark_is_any(&s->links.v.v[j]) &&
                       sysctl_note_says_off(s->links.v.v[j].alias, i == 1);
        sysctl_record_forwarding(&s->record, i == 1, was_off);
    }
    return record_host_save(s->p->dir, &s->record, e);
}

/* ---- bridge ---- */

static uint32_t uplink_mtu(const struct setup *s)
{
    if (s->p->mtu)
        return s->p->mtu;
    for (size_t i = 0; i < s->routes.v.n; i++) {
        const struct route_info *r = &s->routes.v.v[i];
        const struct link_info *l = r->to.bits == 0 ? link_at(&s->links, r->index) : NULL;
        if (l)
            return MAX(l->mtu, (uint32_t)MTU_MIN);
    }
    return MTU_DEFAULT;
}

static int make_bridge(struct setup *s, struct err *e)
{
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    uint8_t mac[MAC_LEN];
    char alias[LINK_ALIAS_MAX];
    link_mac(s->p->gateway[s->p->primary], mac);
    snprintf(alias, sizeof alias, "%.200s%s", s->p->mark, sysctl_note(&s->record));
    s->h->mtu = uplink_mtu(s);
    if (s->bridge_is_new)
        link_add_bridge(&b, s->p->bridge, mac, s->h->mtu, alias);
    int error = nl_run(s->h->route_fd, &b, e);
    if (error)
        return error;
    struct link_info l;
    int outcome = link_find(s->h->route_fd, s->p->bridge, &l, e);
    if (outcome)
        return outcome < 0 ? outcome : err_set(e, ERR_IO, "%s has vanished", s->p->bridge);
    s->h->bridge = l.index;
    return 0;
}

static int address_bridge(struct setup *s, struct err *e)
{
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    link_set_up(&b, s->h->bridge);
    for (size_t i = 0; i < 2; i++) {
        const struct plan *p = s->p;
        if (p->gateway[i].family)
            link_add_address(&b, s->h->bridge, p->gateway[i], p->pods[i].bits);
        if (p->dns[i].family)
            link_add_address(&b, s->h->bridge, p->dns[i], (uint8_t)(ip_len(p->dns[i]) * 8));
        /* So that the host has a source address for services even without a default route. */
        if (p->services[i].ip.family)
            link_add_route(&b, s->h->bridge, p->services[i], p->gateway[i]);
    }
    return nl_run(s->h->route_fd, &b, e);
}

/* ---- pods of a former agent ---- */

static void unpin(const struct plan *p, const char *id)
{
    CLEANUP(free_ptr) char *pin = record_pin_path(p->dir, id);
    netns_unpin(pin);
}

static int undo_stage(struct setup *s, enum record_stage stage, struct err *e)
{
    struct record_pods half;
    int error = record_pods_load(s->p->dir, stage, &half, e);
    if (error)
        return error;
    for (size_t i = 0; i < half.v.n; i++) {
        unpin(s->p, half.v.v[i].id);
        record_pod_forget(s->p->dir, half.v.v[i].id, stage);
    }
    record_pods_free(&half);
    return 0;
}

static bool lives(const struct setup *s, const struct record_pod *r, const struct link_info **ret)
{
    CLEANUP(free_ptr) char *pin = record_pin_path(s->p->dir, r->id);
    char link[IFNAMSIZ];
    if (!r->offset || r->offset > IPAM_OFFSET_MAX || !netns_pinned(pin))
        return false;
    plan_link(s->p->name, r->offset, link);
    *ret = find_link(&s->links, link);
    return *ret != NULL;
}

static bool is_pods_link(const struct setup *s, const struct link_info *l)
{
    char link[IFNAMSIZ];
    for (size_t i = 0; i < s->h->pods.v.n; i++) {
        plan_link(s->p->name, s->h->pods.v.v[i].offset, link);
        if (strcmp(link, l->name) == 0)
            return true;
    }
    return false;
}

/* Ports of pods that were undone just now, or whose namespace something still holds. */
static int remove_strays(const struct setup *s, struct err *e)
{
    VEC(int) strays = {0};
    for (size_t i = 0; i < s->links.v.n; i++) {
        const struct link_info *l = &s->links.v.v[i];
        if (l->master == s->h->bridge && strcmp(l->kind, "veth") == 0 &&
            plan_is_link(s->p->name, l->name) && !is_pods_link(s, l))
            vec_push(&strays, l->index);
    }
    int error = link_remove_all(s->h->route_fd, strays.v, strays.n, e);
    vec_free(&strays);
    return error;
}

/* Keeps the pods that are whole; the agent makes the others anew. */
static int adopt_pods(struct setup *s, struct err *e)
{
    int error = record_pods_load(s->p->dir, RECORD_PODS, &s->h->pods, e);
    if (error)
        return error;
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct pod_site site = {s->p, s->h->route_fd, s->h->bridge, s->h->mtu};
    size_t kept = 0;
    for (size_t i = 0; i < s->h->pods.v.n; i++) {
        struct record_pod *r = &s->h->pods.v.v[i];
        const struct link_info *l = NULL;
        if (!lives(s, r, &l)) {
            const struct record_pod *gone = r;
            pod_link_remove(&site, &gone, 1);
            free(r->ports);
            continue;
        }
        pod_link_repair(&b, &site, r, l->master == s->h->bridge);
        s->h->pods.v.v[kept++] = *r;
    }
    s->h->pods.v.n = kept;
    return nl_run(s->h->route_fd, &b, e);
}

/* ---- the whole ---- */

static int open_sockets(struct host *h, struct err *e)
{
    if (geteuid() != 0)
        return err_set(e, ERR_FORBIDDEN, "the pod network needs root");
    h->route_fd = nl_open(NETLINK_ROUTE, e);
    if (h->route_fd < 0)
        return h->route_fd;
    h->filter_fd = nl_open(NETLINK_NETFILTER, e);
    return MIN(h->filter_fd, 0);
}

static int read_table(struct setup *s, struct err *e)
{
    struct nft_config c;
    plan_nft(s->p, &c);
    int error = nft_read(&c, &s->h->found, e);
    if (error) { /* whatever it is: it will be made anew */
        nft_found_free(&s->h->found);
        s->h->found = (struct nft_found){0};
        err_clear(e);
    }
    if (s->h->found.foreign)
        return err_set(e, ERR_CONFLICT, "nftables table \"%s\" is there and is not ours", c.table);
    return 0;
}

static int set_up(struct setup *s, struct err *e)
{
    int error;
    if ((error = open_sockets(s->h, e)) || (error = survey(s, e)) || (error = read_table(s, e)) ||
        (error = record(s, e)) || (error = make_bridge(s, e)) || (error = sysctl_apply(s->p, e)) ||
        (error = address_bridge(s, e)) || (error = undo_stage(s, RECORD_ADDING, e)) ||
        (error = undo_stage(s, RECORD_REMOVING, e)))
        return error;
    error = adopt_pods(s, e);
    return error ? error : remove_strays(s, e);
}

int host_setup(const struct plan *p, struct host *ret, struct err *e)
{
    *ret = HOST_INIT;
    struct setup s = {.p = p, .h = ret};
    int error = set_up(&s, e);
    record_host_fini(&s.record);
    link_list_free(&s.links);
    route_list_free(&s.routes);
    return error;
}

void host_fini(struct host *h)
{
    close_fd(&h->route_fd);
    close_fd(&h->filter_fd);
    record_pods_free(&h->pods);
    nft_found_free(&h->found);
    *h = HOST_INIT;
}
