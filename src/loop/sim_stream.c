/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated TCP and Unix streams: what the kernels and the wire between two ends do. */
#include <arpa/inet.h>
#include <errno.h>

#include "loop/sim_impl.h"

#define NS_PER_MS INT64_C(1000000)

enum { NO_ROUTE_MS = 3000, SYN_RETRY_MS = 1000, SLOW_READ_BYTES = 1024, SLOW_READ_MS = 50 };

enum segment_kind { SEGMENT_DATA, SEGMENT_FIN, SEGMENT_RESET };

struct segment {
    struct list link;
    int64_t at_ns;
    enum segment_kind kind;
    size_t n;
    char bytes[];
};

/* One direction, from end `side` of conn to the other. */
struct pipe {
    struct sim_conn *conn;
    int side;
    struct sim_event arrive; /* of the first segment under way */
    struct list flight;      /* struct segment.link, in order */
    size_t flight_n;         /* bytes in it */
    int64_t last_at_ns;
    bool held; /* the first segment could not pass */
    bool fin_sent, fin_arrived;
    struct buf ready; /* arrived, unread from ready_at on */
    size_t ready_at;
};

struct sim_conn {
    struct list link;
    struct sim *sim;
    struct sim_machine *machine[2];
    struct sim_end *end[2]; /* NULL: nobody holds this side any more */
    struct pipe pipe[2];    /* pipe[i]: from end i */
    struct sim_event probe; /* keep-alive: notices that the other side is gone */
    bool lost[2];           /* this side's machine lost its power */
};

struct sim_end {
    struct stream base;
    struct sim_conn *conn; /* NULL: the process crashed */
    int side;
    uint32_t id;
    struct list link; /* in the loop's ends, then in the world's closed */
    struct buf queue; /* what the kernel has not taken */
    struct sim_event deliver, pump;
    bool started, paused, ended, shut, closed, slow;
    bool forced; /* an error is reported even when paused or ended: bytes could not be sent */
    bool failed; /* it was */
    int error;
    char peer[64];
};

struct sim_listener {
    struct listener base;
    struct list link;
    char key[128];
};

static struct sim_end *end_of(struct stream *s)
{
    return CONTAINER_OF(s, struct sim_end, base);
}

static struct sim_loop *loop_of(struct sim_end *e)
{
    return sim_of(e->base.loop);
}

/* ---- the wire ---- */

static void arrive(struct sim_event *ev);

static struct pipe *from(struct sim_end *e)
{
    return &e->conn->pipe[e->side];
}

static struct pipe *towards(struct sim_end *e)
{
    return &e->conn->pipe[!e->side];
}

static struct sim_end *other(struct sim_end *e)
{
    return e->conn->end[!e->side];
}

static size_t unread(const struct pipe *p)
{
    return p->ready.n - p->ready_at;
}

static size_t room(const struct pipe *p)
{
    return SIM_STREAM_BYTES - MIN(p->flight_n + unread(p), (size_t)SIM_STREAM_BYTES);
}

/* A lost segment comes later, and so does all that follows it. */
static int64_t wire_delay_ns(struct sim_conn *c, int side)
{
    struct sim *w = c->sim;
    int64_t ns = sim_latency_ns(w, c->machine[side], c->machine[!side]);
    if (c->machine[0] == c->machine[1])
        return ns;
    for (int64_t again = SIM_RETRANSMIT_MS; chance_ppm(&w->order, w->faults.loss_ppm); again *= 2)
        ns += again * NS_PER_MS;
    return ns;
}

static void wire_next(struct pipe *p)
{
    struct sim *w = p->conn->sim;
    struct list *first = list_first(&p->flight);
    if (!first || p->held || sim_scheduled(&p->arrive))
        return;
    struct segment *s = list_entry(first, struct segment, link);
    sim_schedule(w, &p->arrive, s->at_ns - w->now_ns, arrive, "arrive");
}

static void wire_send(struct sim_conn *c, int side, enum segment_kind kind, struct str bytes)
{
    struct pipe *p = &c->pipe[side];
    struct segment *s = xmalloc(sizeof *s + bytes.n);
    *s = (struct segment){.kind = kind, .n = bytes.n};
    if (bytes.n)
        memcpy(s->bytes, bytes.p, bytes.n);
    p->last_at_ns = MAX(p->last_at_ns, c->sim->now_ns + wire_delay_ns(c, side));
    s->at_ns = p->last_at_ns;
    list_push_back(&p->flight, &s->link);
    p->flight_n += bytes.n;
    p->fin_sent |= kind != SEGMENT_DATA;
    wire_next(p);
}

static void pipe_drop(struct sim_conn *c, struct pipe *p)
{
    struct list *first;
    sim_cancel(c->sim, &p->arrive);
    while ((first = list_pop_front(&p->flight)))
        free(list_entry(first, struct segment, link));
    p->flight_n = p->ready_at = 0;
    p->held = false;
    buf_fini(&p->ready);
}

static void conn_free(struct sim_conn *c)
{
    sim_cancel(c->sim, &c->probe);
    for (int i = 0; i < 2; i++)
        pipe_drop(c, &c->pipe[i]);
    list_remove(&c->link);
    free(c);
}

/* ---- an end learns things ---- */

static void deliver(struct sim_event *ev);

static void wake_reader(struct sim_end *e, int64_t delay_ns)
{
    if (e && !e->closed && e->started && (!e->ended || (e->forced && !e->failed)))
        sim_schedule(loop_of(e)->sim, &e->deliver, delay_ns, deliver, "deliver");
}

/* The connection is broken as seen from this end. */
static void end_break(struct sim_end *e, int error)
{
    if (!e || e->error)
        return;
    e->error = error;
    e->forced |= e->queue.n > 0;
    buf_clear(&e->queue);
    pipe_drop(e->conn, towards(e));
    wake_reader(e, 0);
}

static void conn_break(struct sim_conn *c, int error)
{
    sim_mark(c->sim, "break", 0, error, STR_NULL);
    for (int i = 0; i < 2; i++) {
        pipe_drop(c, &c->pipe[i]);
        end_break(c->end[i], error);
    }
}

static void probe(struct sim_event *ev)
{
    struct sim_conn *c = CONTAINER_OF(ev, struct sim_conn, probe);
    bool reachable = sim_reachable(c->machine[0], c->machine[1]);
    conn_break(c, reachable ? -ECONNRESET : -ETIMEDOUT);
}

/* Starts or ends the patience with a silent peer. */
static void conn_rethink(struct sim_conn *c)
{
    struct sim *w = c->sim;
    if (!sim_reachable(c->machine[0], c->machine[1])) {
        if (!sim_scheduled(&c->probe))
            sim_schedule(w, &c->probe, SIM_DEAD_MS * NS_PER_MS, probe, "probe");
        return;
    }
    sim_cancel(w, &c->probe);
    if (c->lost[0] || c->lost[1])
        sim_schedule(w, &c->probe, chance_between(&w->order, 1, 75000) * NS_PER_MS, probe, "probe");
    for (int i = 0; i < 2; i++) {
        struct pipe *p = &c->pipe[i];
        if (!p->held)
            continue;
        p->held = false;
        int64_t ns = chance_between(&w->order, 0, SIM_RETRANSMIT_MS) * NS_PER_MS;
        sim_schedule(w, &p->arrive, ns + wire_delay_ns(c, i), arrive, "arrive");
    }
}

void sim_streams_rethink(struct sim *w)
{
    struct sim_conn *c;
    list_each (c, &w->conns, link)
        conn_rethink(c);
}

static void take_segment(struct pipe *p, struct segment *s)
{
    struct sim_conn *c = p->conn;
    struct sim_end *to = c->end[!p->side];
    if (!to || to->error) {
        /* Nobody there: what is sent to it is answered by a reset. */
        if (s->kind == SEGMENT_DATA && c->end[p->side])
            wire_send(c, !p->side, SEGMENT_RESET, STR_NULL);
        return;
    }
    sim_mark(c->sim, "arrive", to->id, (int64_t)s->n, str_n(s->bytes, s->n));
    if (s->kind == SEGMENT_RESET) {
        end_break(to, -ECONNRESET);
        return;
    }
    buf_add(&p->ready, s->bytes, s->n);
    must(!p->ready.failed);
    p->fin_arrived |= s->kind == SEGMENT_FIN;
    if (!sim_scheduled(&to->deliver))
        wake_reader(to, 0);
}

static void arrive(struct sim_event *ev)
{
    struct pipe *p = CONTAINER_OF(ev, struct pipe, arrive);
    struct sim_conn *c = p->conn;
    bool remote = c->machine[0] != c->machine[1];
    if (!sim_reachable(c->machine[0], c->machine[1])) {
        p->held = true;
        return;
    }
    if (remote && chance_ppm(&c->sim->order, c->sim->faults.reset_ppm)) {
        conn_break(c, -ECONNRESET);
        return;
    }
    struct segment *s = list_entry(list_pop_front(&p->flight), struct segment, link);
    p->flight_n -= s->n;
    take_segment(p, s);
    free(s);
    wire_next(p);
}

/* ---- reading ---- */

static void pump(struct sim_event *ev);

static void report_end(struct sim_end *e, int error)
{
    struct sim_loop *l = loop_of(e);
    e->ended = true;
    e->failed = error != 0;
    sim_mark(l->sim, "end", e->id, error, STR_NULL);
    sim_enter(l);
    e->base.ops->end(&e->base, e->base.arg, error);
    sim_leave(l);
}

/* Takes up to n unread bytes into the world's buffer, which makes room for the sender. */
static struct str take_unread(struct sim_end *e, size_t n)
{
    struct pipe *p = towards(e);
    struct sim *w = e->conn->sim;
    struct sim_end *sender = other(e);
    memcpy(w->read_buffer, p->ready.p + p->ready_at, n);
    p->ready_at += n;
    if (unread(p) == 0) {
        buf_clear(&p->ready);
        p->ready_at = 0;
    } else if (p->ready_at > SIM_READ_BYTES_MAX) {
        buf_consume(&p->ready, p->ready_at);
        p->ready_at = 0;
    }
    if (sender && sender->queue.n && !sim_scheduled(&sender->pump))
        sim_schedule(w, &sender->pump, wire_delay_ns(e->conn, e->side), pump, "pump");
    return str_n(w->read_buffer, n);
}

static size_t read_size(struct sim_end *e)
{
    struct sim *w = e->conn->sim;
    size_t n = MIN(unread(towards(e)), (size_t)SIM_READ_BYTES_MAX);
    if (e->slow)
        n = MIN(n, (size_t)SLOW_READ_BYTES);
    return chance_ppm(&w->order, w->faults.short_io_ppm) ? 1 + chance_below(&w->order, n) : n;
}

static void read_some(struct sim_end *e)
{
    struct sim_loop *l = loop_of(e);
    struct str bytes = take_unread(e, read_size(e));
    sim_mark(l->sim, "read", e->id, (int64_t)bytes.n, STR_NULL);
    sim_enter(l);
    e->base.ops->read(&e->base, e->base.arg, bytes);
    sim_leave(l);
    if (e->closed || e->error || sim_scheduled(&e->deliver))
        return;
    struct pipe *p = towards(e);
    if (unread(p) || p->fin_arrived)
        wake_reader(e, e->slow ? chance_between(&l->sim->order, 1, SLOW_READ_MS) * NS_PER_MS : 0);
}

static void deliver(struct sim_event *ev)
{
    struct sim_end *e = CONTAINER_OF(ev, struct sim_end, deliver);
    if (e->failed || ((e->ended || e->paused) && !e->forced))
        return;
    if (e->error)
        report_end(e, e->error);
    else if (unread(towards(e)))
        read_some(e);
    else if (towards(e)->fin_arrived)
        report_end(e, 0);
}

void sim_stream_start(struct stream *s)
{
    struct sim_end *e = end_of(s);
    e->started = true;
    e->forced |= e->error != 0;
    if (e->conn)
        wake_reader(e, 0);
}

void sim_stream_pause(struct stream *s, bool paused)
{
    struct sim_end *e = end_of(s);
    e->paused = paused;
    if (!paused && e->conn)
        wake_reader(e, 0);
}

/* ---- writing ---- */

/* Puts on the wire what fits; returns how much that was. */
static size_t put_on_wire(struct sim_end *e, struct str bytes)
{
    size_t n = MIN(bytes.n, room(from(e)));
    if (n > 0)
        wire_send(e->conn, e->side, SEGMENT_DATA, str_sub(bytes, 0, n));
    return n;
}

static void pump(struct sim_event *ev)
{
    struct sim_end *e = CONTAINER_OF(ev, struct sim_end, pump);
    struct sim_loop *l = loop_of(e);
    buf_consume(&e->queue, put_on_wire(e, buf_view(&e->queue)));
    if (e->queue.n)
        return; /* until the peer reads */
    buf_fini(&e->queue);
    if (e->shut)
        wire_send(e->conn, e->side, SEGMENT_FIN, STR_NULL);
    if (!e->base.ops || !e->base.ops->drained)
        return;
    sim_mark(l->sim, "drained", e->id, 0, STR_NULL);
    sim_enter(l);
    e->base.ops->drained(&e->base, e->base.arg);
    sim_leave(l);
}

/* What the kernel takes of a part right now. */
static size_t write_now(struct sim_end *e, struct str part)
{
    struct sim *w = e->conn->sim;
    if (e->queue.n)
        return 0;
    if (part.n && chance_ppm(&w->order, w->faults.short_io_ppm))
        part.n = chance_below(&w->order, part.n);
    return put_on_wire(e, part);
}

ssize_t sim_stream_write(struct stream *s, const struct str *parts, size_t n_parts)
{
    struct sim_end *e = end_of(s);
    must(!e->shut && !e->closed);
    if (!e->conn)
        return -ERR_IO;
    if (e->error) {
        e->forced = true;
        wake_reader(e, 0);
        return -ERR_IO;
    }
    for (size_t i = 0; i < n_parts; i++)
        buf_str(&e->queue, str_sub(parts[i], write_now(e, parts[i]), parts[i].n));
    must(!e->queue.failed);
    if (e->queue.n && room(from(e)) && !sim_scheduled(&e->pump))
        sim_schedule(e->conn->sim, &e->pump, wire_delay_ns(e->conn, e->side), pump, "pump");
    return (ssize_t)e->queue.n;
}

size_t sim_stream_queued(const struct stream *s)
{
    const struct sim_end *e = (const void *)s; /* base is the first member */
    return e->queue.n;
}

void sim_stream_shutdown(struct stream *s)
{
    struct sim_end *e = end_of(s);
    if (e->shut || e->error || !e->conn)
        return;
    e->shut = true;
    if (!e->queue.n)
        wire_send(e->conn, e->side, SEGMENT_FIN, STR_NULL);
}

/* ---- ends ---- */

static struct sim_end *end_new(struct sim_conn *c, int side, struct loop *l)
{
    struct sim_end *e = xcalloc(1, sizeof *e);
    struct sim_loop *sl = sim_of(l);
    e->base.loop = l;
    e->conn = c;
    e->side = side;
    e->id = c->sim->next_id++;
    e->slow = chance_ppm(&c->sim->order, c->sim->faults.slow_reader_ppm);
    buf_init(&e->queue, BUF_CAP_DEFAULT);
    c->end[side] = e;
    list_push_back(&sl->ends, &e->link);
    sl->registered++;
    return e;
}

/* The kernel's part of closing: the peer gets what is on the wire and then the end of it, or a
 * reset when something came that nobody will read. */
static void end_detach(struct sim_end *e, bool reset)
{
    struct sim_conn *c = e->conn;
    if (!c)
        return;
    reset |= unread(towards(e)) > 0 || towards(e)->flight_n > 0;
    if (!e->error && (reset || !from(e)->fin_sent))
        wire_send(c, e->side, reset ? SEGMENT_RESET : SEGMENT_FIN, STR_NULL);
    pipe_drop(c, towards(e));
    sim_cancel(c->sim, &e->deliver);
    sim_cancel(c->sim, &e->pump);
    c->end[e->side] = NULL;
    e->conn = NULL;
    if (!c->end[!e->side])
        conn_free(c);
}

void sim_stream_close(struct stream *s)
{
    struct sim_end *e = end_of(s);
    struct sim_loop *l = loop_of(e);
    must(!e->closed);
    e->closed = true;
    end_detach(e, false);
    if (!l->dead)
        l->registered--;
    list_remove(&e->link);
    /* A callback of this stream may be running. */
    list_push_back(&l->sim->closed, &e->link);
}

struct str sim_stream_peer(struct stream *s)
{
    return str_z(end_of(s)->peer);
}

static void end_free(struct sim_end *e)
{
    list_remove(&e->link);
    buf_fini(&e->queue);
    free(e);
}

void sim_streams_sweep(struct sim *w)
{
    while (!list_empty(&w->closed))
        end_free(list_entry(list_first(&w->closed), struct sim_end, link));
}

/* ---- listening ---- */

static bool is_wildcard(const struct address *a)
{
    return a->in.any.sa_family == AF_INET ? a->in.v4.sin_addr.s_addr == 0
                                          : IN6_IS_ADDR_UNSPECIFIED(&a->in.v6.sin6_addr);
}

static int bind_check(struct sim_machine *m, struct address *a)
{
    if (a->scheme != ADDRESS_UNIX && !is_wildcard(a) && sim_route(m, a) != m)
        return EADDRNOTAVAIL;
    if (a->scheme != ADDRESS_UNIX && a->in.v4.sin_port == 0)
        a->in.v4.sin_port = htons(sim_port(m)); /* at the same place in v6 */
    char key[128];
    address_format(key, sizeof key, a);
    return map_has(&m->listeners, str_z(key)) ? EADDRINUSE : 0;
}

struct listener *sim_listen(struct loop *l, const struct address *asked, struct err *e)
{
    struct sim_loop *sl = sim_of(l);
    struct address a = *asked;
    int failed = sl->dead ? ENETDOWN : bind_check(sl->machine, &a);
    if (failed) {
        char text[128];
        address_format(text, sizeof text, &a);
        err_errno(e, failed, "listening on %s", text);
        return NULL;
    }
    struct sim_listener *ls = xcalloc(1, sizeof *ls);
    ls->base.loop = l;
    address_format(ls->base.address, sizeof ls->base.address, &a);
    memcpy(ls->key, ls->base.address, sizeof ls->key);
    map_put(&sl->machine->listeners, str_z(ls->key), ls);
    list_push_back(&sl->listeners, &ls->link);
    sl->registered++;
    return &ls->base;
}

static void listener_detach(struct sim_listener *ls)
{
    map_remove(&sim_of(ls->base.loop)->machine->listeners, str_z(ls->key));
}

void sim_listener_close(struct listener *base)
{
    struct sim_listener *ls = CONTAINER_OF(base, struct sim_listener, base);
    struct sim_loop *l = sim_of(base->loop);
    if (!l->dead) {
        listener_detach(ls);
        l->registered--;
    }
    list_remove(&ls->link);
    free(ls);
}

static struct sim_listener *find_listener(struct sim_machine *m, struct address a)
{
    char key[128];
    address_format(key, sizeof key, &a);
    struct sim_listener *ls = map_get(&m->listeners, str_z(key));
    if (ls || a.scheme == ADDRESS_UNIX)
        return ls;
    snprintf(key, sizeof key, "tcp:0.0.0.0:%d", ntohs(a.in.v4.sin_port));
    ls = map_get(&m->listeners, str_z(key));
    if (ls)
        return ls;
    snprintf(key, sizeof key, "tcp:[::]:%d", ntohs(a.in.v4.sin_port));
    return map_get(&m->listeners, str_z(key));
}

/* ---- dialling ---- */

struct dial {
    struct sim_event ev;
    struct list link; /* in the loop's dials */
    struct sim_loop *l;
    struct connect *c;
    struct address target;
    struct sim_end *end; /* connected, not yet reported */
    int error;
};

static void dial_free(struct dial *d)
{
    sim_cancel(d->l->sim, &d->ev);
    timer_stop(&d->c->timer);
    d->c->private_ = NULL;
    list_remove(&d->link);
    if (d->end)
        sim_stream_close(&d->end->base);
    free(d);
}

static void dial_report(struct sim_event *ev)
{
    struct dial *d = CONTAINER_OF(ev, struct dial, ev);
    struct sim_loop *l = d->l;
    struct connect *c = d->c;
    struct sim_end *e = TAKE_PTR(d->end);
    int error = d->error;
    dial_free(d);
    sim_mark(l->sim, "connected", e ? e->id : 0, error, STR_NULL);
    sim_enter(l);
    c->fn(c, e ? &e->base : NULL, error);
    sim_leave(l);
}

static void dial_fail(struct dial *d, int error, int64_t delay_ns)
{
    d->error = error;
    sim_schedule(d->l->sim, &d->ev, delay_ns, dial_report, "connected");
}

/* Runs in the dialling loop's turn. */
static void dial_timeout(struct timer *t)
{
    struct dial *d = CONTAINER_OF(t, struct connect, timer)->private_;
    struct connect *c = d->c;
    dial_free(d);
    c->fn(c, NULL, -ETIMEDOUT);
}

static struct sim_conn *conn_new(struct sim *w, struct sim_machine *a, struct sim_machine *b)
{
    struct sim_conn *c = xcalloc(1, sizeof *c);
    c->sim = w;
    c->machine[0] = a;
    c->machine[1] = b;
    for (int i = 0; i < 2; i++) {
        c->pipe[i].conn = c;
        c->pipe[i].side = i;
        list_init(&c->pipe[i].flight);
        buf_init(&c->pipe[i].ready, 2 * SIM_STREAM_BYTES); /* with what was just read */
    }
    list_push_back(&w->conns, &c->link);
    return c;
}

/* The listener's kernel has the client's SYN: both ends exist from now on. */
static void establish(struct dial *d, struct sim_listener *ls)
{
    struct sim_loop *server = sim_of(ls->base.loop);
    struct sim_machine *from_machine = d->l->machine;
    struct sim_conn *c = conn_new(d->l->sim, from_machine, server->machine);
    bool local = d->target.scheme == ADDRESS_UNIX;
    d->end = end_new(c, 0, &d->l->base);
    struct sim_end *accepted = end_new(c, 1, &server->base);
    address_format_peer(d->end->peer, sizeof d->end->peer, &d->target);
    if (local)
        snprintf(accepted->peer, sizeof accepted->peer, "@");
    else
        snprintf(accepted->peer, sizeof accepted->peer, "%s:%d", from_machine->ip,
                 sim_port(from_machine));
    sim_schedule(c->sim, &d->ev, wire_delay_ns(c, 1), dial_report, "connected");
    sim_mark(c->sim, "accept", accepted->id, 0, STR_NULL);
    sim_enter(server);
    ls->base.accepted(ls->base.arg, &accepted->base);
    sim_leave(server);
}

static void syn(struct sim_event *ev)
{
    struct dial *d = CONTAINER_OF(ev, struct dial, ev);
    struct sim *w = d->l->sim;
    struct sim_machine *m = sim_route(d->l->machine, &d->target);
    if (!sim_reachable(d->l->machine, m)) {
        sim_schedule(w, &d->ev, SYN_RETRY_MS * NS_PER_MS, syn, "syn");
        return;
    }
    struct sim_listener *ls = find_listener(m, d->target);
    if (ls)
        establish(d, ls);
    else
        dial_fail(d, d->target.scheme == ADDRESS_UNIX ? -ENOENT : -ECONNREFUSED,
                  sim_latency_ns(w, m, d->l->machine));
}

void sim_connect(struct loop *l, struct connect *c, const struct address *a, int64_t timeout_ms)
{
    struct sim_loop *sl = sim_of(l);
    struct dial *d = xcalloc(1, sizeof *d);
    d->l = sl;
    d->c = c;
    c->private_ = d;
    c->timer = (struct timer){0};
    list_push_back(&sl->dials, &d->link);
    if (sl->dead)
        return;
    timer_start(l, &c->timer, timeout_ms, dial_timeout);
    if (!a) {
        dial_fail(d, -EINVAL, 0);
        return;
    }
    d->target = *a;
    struct sim_machine *m = sim_route(sl->machine, a);
    if (m)
        sim_schedule(sl->sim, &d->ev, sim_latency_ns(sl->sim, sl->machine, m), syn, "syn");
    else
        dial_fail(d, -EHOSTUNREACH, NO_ROUTE_MS * NS_PER_MS);
}

void sim_connect_cancel(struct connect *c)
{
    if (c->private_)
        dial_free(c->private_);
}

/* ---- crashes ---- */

void sim_streams_crash(struct sim_loop *l, bool silent)
{
    struct sim *w = l->sim;
    struct sim_listener *ls;
    struct sim_end *e;
    struct dial *d;
    list_each (ls, &l->listeners, link)
        listener_detach(ls);
    list_each (d, &l->dials, link) {
        sim_cancel(w, &d->ev);
        d->end = NULL; /* goes with the other ends below, and is freed by sim_streams_abandon */
    }
    list_each (e, &l->ends, link) {
        if (silent && e->conn) {
            struct sim_conn *c = e->conn;
            c->lost[e->side] = true;
            e->error = -EIO; /* says nothing to the peer */
        }
        end_detach(e, chance_below(&w->order, 2));
    }
}

void sim_streams_abandon(struct sim_loop *l)
{
    while (!list_empty(&l->ends))
        end_free(list_entry(list_first(&l->ends), struct sim_end, link));
    while (!list_empty(&l->listeners)) {
        struct sim_listener *ls =
            list_entry(list_pop_front(&l->listeners), struct sim_listener, link);
        free(ls);
    }
    while (!list_empty(&l->dials))
        free(list_entry(list_pop_front(&l->dials), struct dial, link));
}

void sim_streams_reset(struct sim *w, const struct sim_machine *a, const struct sim_machine *b)
{
    struct sim_conn *c;
    list_each (c, &w->conns, link)
        for (int i = 0; i < 2; i++)
            if (c->machine[i] == a && (!b || c->machine[!i] == b))
                conn_break(c, -ECONNRESET);
}

void sim_streams_fini(struct sim *w)
{
    struct sim_conn *c, *next;
    list_each_safe (c, next, &w->conns, link)
        conn_free(c);
}
