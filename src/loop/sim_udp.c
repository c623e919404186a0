/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated datagrams: lost, doubled and overtaken as the profile says. IPv4 only. */
#include <arpa/inet.h>
#include <errno.h>

#include "loop/sim_impl.h"

struct sim_udp {
    struct udp base;
    struct list link; /* in the loop's sockets */
    uint32_t id;
    uint16_t port_be;
};

struct sim_datagram {
    struct sim_event ev;
    struct list link; /* in the world's mail */
    struct sim *sim;
    struct sim_machine *to, *from;
    struct sockaddr_in source;
    uint16_t port_be;
    size_t n;
    char bytes[];
};

static struct str port_key(const uint16_t *port_be)
{
    return str_n((const char *)port_be, sizeof *port_be);
}

static void datagram_free(struct sim_datagram *g)
{
    sim_cancel(g->sim, &g->ev);
    list_remove(&g->link);
    free(g);
}

static void datagram_arrive(struct sim_event *ev)
{
    struct sim_datagram *g = CONTAINER_OF(ev, struct sim_datagram, ev);
    struct sim_udp *u = map_get(&g->to->datagrams, port_key(&g->port_be));
    if (u && sim_reachable(g->from, g->to)) {
        struct sim_loop *l = sim_of(u->base.loop);
        struct str bytes = str_n(g->bytes, g->n);
        sim_mark(g->sim, "datagram", u->id, (int64_t)g->n, bytes);
        sim_enter(l);
        u->base.received(&u->base, u->base.arg, bytes, &g->source, sizeof g->source);
        sim_leave(l);
    }
    datagram_free(g);
}

struct udp *sim_udp_new(struct loop *l, const struct address *asked, struct err *e)
{
    struct sim_loop *sl = sim_of(l);
    struct address a = *asked;
    if (sl->dead || a.in.any.sa_family != AF_INET) {
        err_set(e, ERR_UNAVAILABLE, "only IPv4 datagrams are simulated");
        return NULL;
    }
    if (a.in.v4.sin_port == 0)
        a.in.v4.sin_port = htons(sim_port(sl->machine));
    if (map_has(&sl->machine->datagrams, port_key(&a.in.v4.sin_port))) {
        err_errno(e, EADDRINUSE, "listening on udp port %d", ntohs(a.in.v4.sin_port));
        return NULL;
    }
    struct sim_udp *u = xcalloc(1, sizeof *u);
    u->base.loop = l;
    u->id = sl->sim->next_id++;
    u->port_be = a.in.v4.sin_port;
    address_format(u->base.address, sizeof u->base.address, &a);
    map_put(&sl->machine->datagrams, port_key(&u->port_be), u);
    list_push_back(&sl->sockets, &u->link);
    sl->registered++;
    return &u->base;
}

static void post(struct sim_udp *u, struct sim_machine *to, const struct sockaddr_in *peer,
                 struct str bytes)
{
    struct sim_loop *l = sim_of(u->base.loop);
    struct sim *w = l->sim;
    struct sim_datagram *g = xcalloc(1, sizeof *g + bytes.n);
    g->sim = w;
    g->to = to;
    g->from = l->machine;
    g->port_be = peer->sin_port;
    g->source = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = u->port_be};
    g->source.sin_addr.s_addr = to == l->machine ? peer->sin_addr.s_addr : l->machine->ip_be;
    g->n = bytes.n;
    if (bytes.n)
        memcpy(g->bytes, bytes.p, bytes.n);
    list_push_back(&w->mail, &g->link);
    sim_schedule(w, &g->ev, sim_latency_ns(w, l->machine, to), datagram_arrive, "datagram");
}

void sim_udp_send(struct udp *base, struct str bytes, const void *peer, size_t peer_len)
{
    struct sim_udp *u = CONTAINER_OF(base, struct sim_udp, base);
    struct sim_loop *l = sim_of(base->loop);
    struct sim *w = l->sim;
    struct address a = {.scheme = ADDRESS_UDP};
    if (l->dead || peer_len != sizeof a.in.v4)
        return;
    memcpy(&a.in.v4, peer, sizeof a.in.v4);
    struct sim_machine *to = sim_route(l->machine, &a);
    if (!to || chance_ppm(&w->order, w->faults.loss_ppm))
        return;
    post(u, to, &a.in.v4, bytes);
    if (chance_ppm(&w->order, w->faults.duplicate_ppm))
        post(u, to, &a.in.v4, bytes);
}

static void detach(struct sim_udp *u)
{
    map_remove(&sim_of(u->base.loop)->machine->datagrams, port_key(&u->port_be));
}

void sim_udp_close(struct udp *base)
{
    struct sim_udp *u = CONTAINER_OF(base, struct sim_udp, base);
    struct sim_loop *l = sim_of(base->loop);
    if (!l->dead) {
        detach(u);
        l->registered--;
    }
    list_remove(&u->link);
    free(u);
}

void sim_udp_crash(struct sim_loop *l)
{
    struct sim_udp *u;
    list_each (u, &l->sockets, link)
        detach(u);
}

void sim_udp_abandon(struct sim_loop *l)
{
    while (!list_empty(&l->sockets))
        free(list_entry(list_pop_front(&l->sockets), struct sim_udp, link));
}

void sim_udp_fini(struct sim *w)
{
    while (!list_empty(&w->mail))
        datagram_free(list_entry(list_first(&w->mail), struct sim_datagram, link));
}
