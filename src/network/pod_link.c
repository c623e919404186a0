/* SPDX-License-Identifier: Apache-2.0 */
#include "network/pod_link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>

#include "network/netns.h"

void pod_ips(const struct plan *plan, uint32_t offset, struct ip ret[2])
{
    for (size_t i = 0; i < 2; i++)
        ret[i] = plan->pods[i].ip.family ? ip_add(plan->pods[i].ip, offset) : (struct ip){0};
}

static void failed(struct pod_link *l, const struct err *e)
{
    l->error = -(int)e->code;
    snprintf(l->message, sizeof l->message, "%.*s", STR_ARG(e->message));
}

/* ---- the namespace ---- */

/* Pods reach their neighbours through the gateway, whatever it would rather tell them. */
static void write_sysctls(bool six)
{
    file_write("/proc/sys/net/ipv4/conf/all/accept_redirects", STR("0"));
    file_write("/proc/sys/net/ipv4/conf/default/accept_redirects", STR("0"));
    if (!six)
        return;
    file_write("/proc/sys/net/ipv6/conf/default/accept_redirects", STR("0"));
    file_write("/proc/sys/net/ipv6/conf/default/accept_ra", STR("0"));
    file_write("/proc/sys/net/ipv6/conf/default/accept_dad", STR("0"));
}

static int make_namespace(const struct plan *plan, struct pod_link *l, struct err *e)
{
    CLEANUP(free_ptr) char *pin = record_pin_path(plan->dir, l->record->id);
    int error = record_pod_save(plan->dir, l->record, e);
    if (error)
        return error;
    netns_unpin(pin); /* of an earlier failure */
    int home = netns_create(pin, e);
    if (home < 0)
        return home;
    write_sysctls(plan->pods[1].ip.family);
    l->inner_fd = nl_open(NETLINK_ROUTE, e);
    netns_leave(home);
    if (l->inner_fd < 0)
        return l->inner_fd;
    l->netns_fd = open(pin, O_RDONLY | O_CLOEXEC);
    return l->netns_fd < 0 ? err_errno(e, errno, "open %s", pin) : 0;
}

/* ---- links ---- */

static void plan_routes(const struct pod_site *site, struct nl_batch *b, const struct ip ips[2])
{
    for (size_t i = 0; i < 2; i++)
        if (ips[i].family)
            link_add_host_route(b, site->bridge, ips[i]);
}

static void plan_host_end(const struct pod_site *site, struct nl_batch *b, const struct pod_link *l)
{
    char link[IFNAMSIZ];
    uint8_t mac[MAC_LEN];
    struct ip ips[2];
    plan_link(site->plan->name, l->record->offset, link);
    pod_ips(site->plan, l->record->offset, ips);
    link_mac(ips[site->plan->primary], mac);
    link_add_pod(b, link, site->bridge, l->netns_fd, mac, site->mtu);
    link_set_port(b, link);
    plan_routes(site, b, ips);
}

/* Blames the pods whose messages failed, each for its first; false when there is none. */
static bool blame(struct pod_link *v, const struct nl_batch *b)
{
    bool blamed = false;
    for (size_t i = 0; i < b->notes.n; i++) {
        const struct nl_note *note = &b->notes.v[i];
        struct pod_link *l = &v[note->owner];
        blamed |= note->error != 0;
        if (!note->error || l->error)
            continue;
        l->error = -ERR_IO;
        l->taken = note->error == EEXIST;
        snprintf(l->message, sizeof l->message, "%s: %s", note->what, strerror(note->error));
    }
    return blamed;
}

static void make_host_ends(const struct pod_site *site, struct pod_link *v, size_t n)
{
    CLEANUP(nl_batch_fini) struct nl_batch b;
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    nl_batch_init(&b);
    for (size_t i = 0; i < n; i++) {
        b.owner = (uint32_t)i;
        if (!v[i].error)
            plan_host_end(site, &b, &v[i]);
    }
    bool broken = nl_run(site->fd, &b, &e) && !blame(v, &b); /* the socket itself */
    for (size_t i = 0; i < n && broken; i++)
        if (!v[i].error)
            failed(&v[i], &e);
    arena_fini(&a);
}

enum { LOOPBACK_INDEX = 1 };

static int make_pod_end(const struct plan *plan, struct pod_link *l, struct err *e)
{
    struct link_info eth0;
    struct ip ips[2];
    int outcome = link_find(l->inner_fd, "eth0", &eth0, e);
    if (outcome)
        return outcome < 0 ? outcome : err_set(e, ERR_IO, "eth0 is not in the namespace");
    pod_ips(plan, l->record->offset, ips);
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    link_set_up(&b, LOOPBACK_INDEX);
    if (!ips[1].family)
        link_set_no_ipv6(&b, eth0.index);
    link_set_up(&b, eth0.index);
    for (size_t i = 0; i < 2; i++) {
        if (!ips[i].family)
            continue;
        link_add_address(&b, eth0.index, ips[i], (uint8_t)(ip_len(ips[i]) * 8));
        link_add_gateway(&b, eth0.index, plan->gateway[i]);
    }
    return nl_run(l->inner_fd, &b, e);
}

void pod_link_repair(struct nl_batch *b, const struct pod_site *site, const struct record_pod *r,
                     bool is_port)
{
    char link[IFNAMSIZ];
    struct ip ips[2];
    plan_link(site->plan->name, r->offset, link);
    pod_ips(site->plan, r->offset, ips);
    if (!is_port) {
        link_set_master(b, link, site->bridge);
        link_set_port(b, link);
    }
    plan_routes(site, b, ips);
}

/* ---- all of it ---- */

static void close_both(struct pod_link *l)
{
    close_fd(&l->inner_fd);
    close_fd(&l->netns_fd);
}

static void undo(const struct plan *plan, const struct pod_link *l)
{
    CLEANUP(free_ptr) char *pin = record_pin_path(plan->dir, l->record->id);
    netns_unpin(pin);
    record_pod_forget(plan->dir, l->record->id, RECORD_ADDING);
}

static void finish(const struct plan *plan, struct pod_link *l)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    if (!l->error && (make_pod_end(plan, l, &e) ||
                      record_pod_move(plan->dir, l->record->id, RECORD_ADDING, RECORD_PODS, &e)))
        failed(l, &e);
    close_both(l);
    if (l->error)
        undo(plan, l);
    arena_fini(&a);
}

enum { WORKS_TIMEOUT_MS = 2000 };

/* Whoever hears that the pod is there may talk to it. */
static void await_links(const struct pod_site *site, const struct pod_link *v, size_t n)
{
    CLEANUP(free_ptr) char(*names)[IFNAMSIZ] = xcalloc(n + 1, sizeof *names);
    size_t made = 0;
    for (size_t i = 0; i < n; i++)
        if (!v[i].error)
            plan_link(site->plan->name, v[i].record->offset, names[made++]);
    if (!made)
        return;
    snprintf(names[made++], IFNAMSIZ, "%s", site->plan->bridge);
    link_wait_until_works(site->fd, names, made, WORKS_TIMEOUT_MS);
}

void pod_link_make(const struct pod_site *site, struct pod_link *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct arena a = ARENA_INIT;
        struct err e = ERR_INIT(&a);
        v[i].inner_fd = v[i].netns_fd = -1;
        v[i].error = 0;
        v[i].taken = false;
        if (make_namespace(site->plan, &v[i], &e))
            failed(&v[i], &e);
        arena_fini(&a);
    }
    make_host_ends(site, v, n);
    for (size_t i = 0; i < n; i++)
        finish(site->plan, &v[i]);
    await_links(site, v, n);
}

static void remove_one(const struct plan *plan, const struct record_pod *r)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    CLEANUP(free_ptr) char *pin = record_pin_path(plan->dir, r->id);
    int error = record_pod_move(plan->dir, r->id, RECORD_PODS, RECORD_REMOVING, &e);
    (void)error; /* without a record there is a pin at most */
    netns_unpin(pin);
    record_pod_forget(plan->dir, r->id, RECORD_REMOVING);
    arena_fini(&a);
}

void pod_link_remove(const struct pod_site *site, const struct record_pod *const *v, size_t n)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    for (size_t i = 0; i < n; i++) {
        struct ip ips[2];
        pod_ips(site->plan, v[i]->offset, ips);
        for (size_t f = 0; f < 2 && v[i]->offset; f++)
            if (ips[f].family)
                link_remove_host_route(&b, site->bridge, ips[f]);
        remove_one(site->plan, v[i]);
    }
    int error = nl_run(site->fd, &b, &e);
    (void)error; /* a route too many leads to a link that is not there */
    arena_fini(&a);
}
