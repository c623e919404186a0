/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world: queue, clock, chance, machines, loops, work. */
#include <arpa/inet.h>

#include "base/log.h"
#include "loop/sim_impl.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

enum { PORT_FIRST = 32768 };

const struct sim_faults sim_faults_none = {
    .latency_us_min = 100,
    .latency_us_max = 500,
    .local_us_min = 5,
    .local_us_max = 50,
    .work_us_min = 20,
    .work_us_max = 2000,
};

const struct sim_faults sim_faults_rough = {
    .latency_us_min = 100,
    .latency_us_max = 20000,
    .local_us_min = 5,
    .local_us_max = 500,
    .work_us_min = 20,
    .work_us_max = 50000,
    .loss_ppm = 10000,
    .duplicate_ppm = 10000,
    .reset_ppm = 500,
    .short_io_ppm = 200000,
    .slow_reader_ppm = 20000,
};

/* ---- chance ---- */

/* splitmix64: Steele, Lea, Flood 2014. */
uint64_t chance_u64(struct chance *c)
{
    uint64_t z = c->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t chance_below(struct chance *c, uint64_t below)
{
    return (uint64_t)((unsigned __int128)chance_u64(c) * below >> 64);
}

int64_t chance_between(struct chance *c, int64_t min, int64_t max)
{
    return max <= min ? min : min + (int64_t)chance_below(c, (uint64_t)(max - min) + 1);
}

bool chance_ppm(struct chance *c, uint32_t ppm)
{
    return ppm && chance_below(c, 1000000) < ppm;
}

uint64_t sim_draw(struct sim *w, uint64_t below)
{
    return chance_below(&w->scenario, below);
}

/* ---- the trace ---- */

static void mix(struct sim *w, uint64_t v)
{
    struct chance c = {w->trace ^ v};
    w->trace = chance_u64(&c);
}

void sim_mark(struct sim *w, const char *kind, uint64_t id, int64_t number, struct str bytes)
{
    mix(w, (uint64_t)w->now_ns);
    mix(w, str_hash(str_z(kind)));
    mix(w, id);
    mix(w, (uint64_t)number);
    if (bytes.n)
        mix(w, str_hash(bytes));
    if (w->trace_to)
        fprintf(w->trace_to, "%12.6f %-10s %4d %d\n", (double)w->now_ns / 1e9, kind, (int)id,
                (int)number);
}

uint64_t sim_trace(const struct sim *w)
{
    return w->trace;
}

void sim_note(struct sim *w, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mix(w, str_hash(str_z(text)));
    if (w->trace_to)
        fprintf(w->trace_to, "%12.6f # %s\n", (double)w->now_ns / 1e9, text);
}

void sim_trace_to(struct sim *w, FILE *f)
{
    w->trace_to = f;
}

/* ---- the queue ---- */

void sim_cancel(struct sim *w, struct sim_event *ev)
{
    heap_remove(&w->queue, &ev->node);
}

/* The draw takes the place of the heap's insertion count: events of one instant come in an order
 * that the seed decides. */
static void push(struct sim *w, struct heap_node *node, int64_t at_ns)
{
    w->queue.seq = chance_u64(&w->order);
    heap_push(&w->queue, node, MAX(at_ns, w->now_ns));
}

void sim_schedule(struct sim *w, struct sim_event *ev, int64_t delay_ns,
                  void (*fn)(struct sim_event *ev), const char *name)
{
    int64_t at;
    sim_cancel(w, ev);
    ev->fn = fn;
    ev->name = name;
    if (__builtin_add_overflow(w->now_ns, MAX(delay_ns, 0), &at))
        at = INT64_MAX;
    push(w, &ev->node, at);
}

int64_t sim_latency_ns(struct sim *w, const struct sim_machine *from, const struct sim_machine *to)
{
    const struct sim_faults *f = &w->faults;
    int64_t us = from == to ? chance_between(&w->order, f->local_us_min, f->local_us_max)
                            : chance_between(&w->order, f->latency_us_min, f->latency_us_max);
    /* Below the microsecond too, so that events seldom tie by accident. */
    return us * NS_PER_US + (int64_t)chance_below(&w->order, NS_PER_US);
}

static int64_t work_ns(struct sim *w)
{
    return chance_between(&w->order, w->faults.work_us_min, w->faults.work_us_max) * NS_PER_US;
}

/* ---- a loop's turn ---- */

static int64_t machine_ms(const struct sim_machine *m)
{
    return m->boot_ms + m->sim->now_ns / NS_PER_MS;
}

/* Nanoseconds until the loop has something to do by itself; -1: nothing. */
static int64_t turn_delay_ns(struct sim_loop *l)
{
    if (loop_busy(&l->base))
        return 0;
    int64_t deadline = loop_next_deadline(&l->base), at;
    if (deadline == INT64_MAX ||
        __builtin_mul_overflow(deadline - l->machine->boot_ms, NS_PER_MS, &at))
        return -1;
    return MAX(at - l->sim->now_ns, 0);
}

/* One timer, posted task or deferred task; which kind is drawn, within a kind they keep order. */
static void take_turn(struct sim_event *ev)
{
    struct sim_loop *l = CONTAINER_OF(ev, struct sim_loop, turn);
    static bool (*const kinds[])(struct loop *) = {loop_run_timer, loop_run_posted, loop_run_task};
    size_t first = chance_below(&l->sim->order, ARRAY_LEN(kinds));
    sim_mark(l->sim, "turn", l->id, 0, STR_NULL);
    sim_enter(l);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[(first + i) % ARRAY_LEN(kinds)](&l->base))
            break;
    sim_leave(l);
}

static void refresh(struct sim_loop *l)
{
    int64_t delay = l->dead ? -1 : turn_delay_ns(l);
    if (delay < 0)
        sim_cancel(l->sim, &l->turn);
    else if (!sim_scheduled(&l->turn) || l->turn.node.key != l->sim->now_ns + delay)
        sim_schedule(l->sim, &l->turn, delay, take_turn, "turn");
}

static void refresh_all(struct sim *w)
{
    struct sim_loop *l;
    list_each (l, &w->loops, link)
        refresh(l);
    w->changed = false;
}

void sim_enter(struct sim_loop *l)
{
    must(!l->sim->inside && !l->dead);
    l->sim->inside = l;
}

void sim_leave(struct sim_loop *l)
{
    l->sim->inside = NULL;
    refresh(l);
}

/* ---- running ---- */

static int64_t next_key(const struct heap *h)
{
    struct heap_node *top = heap_top(h);
    return top ? top->key : INT64_MAX;
}

static void advance(struct sim *w, int64_t to_ns)
{
    if (to_ns > w->now_ns) {
        w->now_ns = to_ns;
        w->steps_instant = 0;
    }
    must(++w->steps_instant < SIM_STEPS_INSTANT_MAX); /* a livelock */
}

/* The next thing at or before the limit; alarms come before the events of their instant. */
static bool step(struct sim *w, int64_t limit_ns)
{
    sim_streams_sweep(w);
    if (w->changed)
        refresh_all(w);
    int64_t event_at = next_key(&w->queue), alarm_at = next_key(&w->alarms);
    int64_t at = MIN(event_at, alarm_at);
    if (at == INT64_MAX || at > limit_ns)
        return false;
    advance(w, at);
    if (alarm_at <= event_at) {
        struct sim_alarm *a = CONTAINER_OF(heap_pop(&w->alarms), struct sim_alarm, node);
        sim_mark(w, "alarm", 0, 0, STR_NULL);
        a->fn(a);
        w->changed = true;
    } else {
        struct sim_event *ev = CONTAINER_OF(heap_pop(&w->queue), struct sim_event, node);
        ev->fn(ev);
    }
    w->steps++;
    if (w->check)
        w->check(w->check_arg);
    return true;
}

bool sim_run_until(struct sim *w, bool (*pred)(void *arg), void *arg, int64_t ms_max)
{
    must(!w->running);
    int64_t limit;
    if (__builtin_mul_overflow(ms_max, NS_PER_MS, &limit) ||
        __builtin_add_overflow(limit, w->now_ns, &limit))
        limit = INT64_MAX - 1;
    w->running = w->changed = true;
    w->stopped = false;
    bool held = pred && pred(arg), more = true;
    while (!held && !w->stopped && (more = step(w, limit)))
        held = pred && pred(arg);
    /* What is left lies behind the limit. Without a condition, idle time passes as well. */
    if (!more && limit < INT64_MAX - 1 && (!pred || w->queue.n + w->alarms.n > 0))
        w->now_ns = limit;
    w->running = false;
    struct sim_loop *l;
    list_each (l, &w->loops, link)
        l->base.stopping = false;
    return held;
}

void sim_run(struct sim *w, int64_t ms)
{
    sim_run_until(w, NULL, NULL, ms);
}

bool sim_idle(struct sim *w)
{
    refresh_all(w);
    return w->queue.n + w->alarms.n == 0;
}

int64_t sim_now_ms(const struct sim *w)
{
    return w->now_ns / NS_PER_MS;
}

uint64_t sim_steps(const struct sim *w)
{
    return w->steps;
}

uint64_t sim_seed(const struct sim *w)
{
    return w->seed;
}

void sim_alarm(struct sim *w, struct sim_alarm *a, int64_t delay_ms,
               void (*fn)(struct sim_alarm *a))
{
    sim_alarm_stop(a);
    a->fn = fn;
    a->sim = w;
    heap_push(&w->alarms, &a->node, w->now_ns + MAX(delay_ms, 0) * NS_PER_MS);
}

void sim_alarm_stop(struct sim_alarm *a)
{
    if (heap_linked(&a->node))
        heap_remove(&a->sim->alarms, &a->node);
}

void sim_check(struct sim *w, void (*fn)(void *arg), void *arg)
{
    w->check = fn;
    w->check_arg = arg;
}

void sim_set_faults(struct sim *w, const struct sim_faults *f)
{
    w->faults = *f;
}

/* ---- the backend's clock, chance and rounds ---- */

static bool alive(struct sim_loop *l)
{
    return !l->dead && (l->registered || loop_has_timers_or_tasks(&l->base));
}

static void run(struct loop *base)
{
    struct sim_loop *l = sim_of(base);
    struct sim *w = l->sim;
    must(!w->running);
    w->running = w->changed = true;
    while (!base->stopping && alive(l) && step(w, INT64_MAX - 1)) {
        /* the world goes on */
    }
    w->running = false;
}

static void stop(struct loop *l)
{
    sim_of(l)->sim->stopped = true;
}

static void wake(struct loop *base)
{
    struct sim_loop *l = sim_of(base);
    /* The running callback's own loop is looked at when that returns. */
    if (l->sim->inside != l)
        refresh(l);
}

static int64_t now_ms(struct loop *l)
{
    return machine_ms(sim_of(l)->machine);
}

static int64_t now_ns(struct loop *l)
{
    return sim_of(l)->machine->boot_ms * NS_PER_MS + sim_of(l)->sim->now_ns;
}

static const struct wall wall_start = {1767225600, 0}; /* 2026-01-01T00:00:00Z */

static struct wall wall_of(const struct sim_machine *m)
{
    int64_t ns = m->sim->now_ns;
    struct wall t = wall_add_ms(wall_start, ns / NS_PER_MS + m->wall_off_ms);
    t.ns += (int32_t)(ns % NS_PER_MS);
    return t;
}

static struct wall wall_now(struct loop *l)
{
    return wall_of(sim_of(l)->machine);
}

static void random_bytes(struct loop *l, void *p, size_t n)
{
    unsigned char *to = p;
    while (n > 0) {
        uint64_t v = chance_u64(&sim_of(l)->random);
        size_t part = MIN(n, sizeof v);
        memcpy(to, &v, part);
        to += part;
        n -= part;
    }
}

/* ---- work ---- */

struct sim_job {
    struct sim_event ev;
    struct list link;
    struct sim_loop *l;
    struct work *w;
    bool started;
};

static void job_start(struct sim_loop *l);

static void job_done(struct sim_event *ev)
{
    struct sim_job *j = CONTAINER_OF(ev, struct sim_job, ev);
    struct sim_loop *l = j->l;
    struct work *w = j->w;
    list_remove(&j->link);
    free(j);
    l->jobs_running--;
    l->registered--;
    job_start(l);
    sim_mark(l->sim, "work done", l->id, 0, STR_NULL);
    sim_enter(l);
    w->done(w);
    sim_leave(l);
}

static void job_run(struct sim_event *ev)
{
    struct sim_job *j = CONTAINER_OF(ev, struct sim_job, ev);
    struct sim *w = j->l->sim;
    sim_mark(w, "work run", j->l->id, 0, STR_NULL);
    j->w->run(j->w);
    sim_schedule(w, &j->ev, work_ns(w), job_done, "work done");
}

static void job_start(struct sim_loop *l)
{
    struct sim_job *j;
    list_each (j, &l->jobs, link) {
        if (l->jobs_running >= WORK_PARALLEL_MAX)
            return;
        if (j->started)
            continue;
        j->started = true;
        l->jobs_running++;
        sim_schedule(l->sim, &j->ev, work_ns(l->sim), job_run, "work run");
    }
}

static void work(struct loop *base, struct work *w)
{
    struct sim_loop *l = sim_of(base);
    if (l->dead)
        return;
    struct sim_job *j = xcalloc(1, sizeof *j);
    j->l = l;
    j->w = w;
    list_push_back(&l->jobs, &j->link);
    l->registered++;
    job_start(l);
}

static void drop_jobs(struct sim_loop *l)
{
    struct list *first;
    while ((first = list_pop_front(&l->jobs))) {
        struct sim_job *j = list_entry(first, struct sim_job, link);
        sim_cancel(l->sim, &j->ev);
        free(j);
    }
}

/* ---- names ---- */

struct sim_lookup {
    struct sim_event ev;
    struct list link;
    struct sim_loop *l;
    struct resolve *r;
    char host[256];
};

static void answer(struct sim_machine *asking, const char *host, struct resolve *r)
{
    struct in6_addr v6;
    struct in_addr v4;
    struct sim_machine *m = map_get(&asking->sim->machines, str_z(host));
    const char *found = m ? m->ip : NULL;
    if (strcmp(host, "localhost") == 0)
        found = "127.0.0.1";
    else if (inet_pton(AF_INET, host, &v4) == 1 || inet_pton(AF_INET6, host, &v6) == 1)
        found = host;
    r->error = found ? 0 : -ERR_NOT_FOUND;
    if (!found)
        return;
    r->n = 1;
    snprintf(r->addresses[0], sizeof r->addresses[0], "%s", found);
}

static void resolved(struct sim_event *ev)
{
    struct sim_lookup *k = CONTAINER_OF(ev, struct sim_lookup, ev);
    struct sim_loop *l = k->l;
    struct resolve *r = k->r;
    answer(l->machine, k->host, r);
    list_remove(&k->link);
    free(k);
    l->registered--;
    sim_mark(l->sim, "resolved", l->id, r->error, STR_NULL);
    sim_enter(l);
    r->fn(r);
    sim_leave(l);
}

static void resolve(struct loop *base, struct resolve *r, struct str host)
{
    struct sim_loop *l = sim_of(base);
    if (l->dead)
        return;
    struct sim_lookup *k = xcalloc(1, sizeof *k);
    k->l = l;
    k->r = r;
    if (host.n < sizeof k->host)
        snprintf(k->host, sizeof k->host, "%.*s", STR_ARG(host));
    list_push_back(&l->lookups, &k->link);
    l->registered++;
    sim_schedule(l->sim, &k->ev, work_ns(l->sim), resolved, "resolved");
}

static void drop_lookups(struct sim_loop *l)
{
    struct list *first;
    while ((first = list_pop_front(&l->lookups))) {
        struct sim_lookup *k = list_entry(first, struct sim_lookup, link);
        sim_cancel(l->sim, &k->ev);
        free(k);
    }
}

/* ---- what is not simulated ---- */

static struct stream *stream_from_fd(struct loop *l, int fd, struct err *e)
{
    err_set(e, ERR_UNAVAILABLE, "descriptors are not simulated");
    return NULL;
}

static int stream_no_fd(struct stream *s)
{
    return -1;
}

static void fd_watch(struct fd_watch *w, bool want_read, bool want_write)
{
    never("descriptors are not simulated");
}

static void fd_unwatch(struct fd_watch *w)
{
}

static int spawn(struct loop *l, struct child *c, const struct spawn *how, struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "cannot run %s: children are not simulated", how->argv[0]);
}

static void kill_child(struct child *c, int signal)
{
}

static void signal_start(struct signal_watch *w, int signal)
{
}

static void signal_stop(struct signal_watch *w)
{
}

/* ---- loops ---- */

static void drop_common(struct sim_loop *l)
{
    struct heap_node *timer;
    while ((timer = heap_pop(&l->base.timers))) {
        /* the owner may still stop it, without effect */
    }
    while (list_pop_front(&l->base.tasks) || list_pop_front(&l->base.posted)) {
        /* likewise */
    }
}

static void free_loop(struct loop *base)
{
    struct sim_loop *l = sim_of(base);
    must(!l->sim->inside);
    if (l->dead) {
        sim_streams_abandon(l);
        sim_udp_abandon(l);
    } else {
        must(l->registered == 0);
    }
    sim_streams_sweep(l->sim);
    sim_cancel(l->sim, &l->turn);
    list_remove(&l->link);
    loop_fini(&l->base);
    free(l);
}

static void crash(struct sim_loop *l, bool silent)
{
    if (l->dead)
        return;
    sim_mark(l->sim, "crash", l->id, silent, STR_NULL);
    drop_jobs(l);
    drop_lookups(l);
    sim_streams_crash(l, silent);
    sim_udp_crash(l);
    drop_common(l); /* after the streams, whose dials have timers */
    l->dead = true;
    l->registered = 0;
    sim_cancel(l->sim, &l->turn);
}

void sim_crash(struct sim *w, struct loop *l)
{
    must(!w->inside && sim_of(l)->sim == w);
    crash(sim_of(l), false);
}

static const struct loop_backend backend = {
    .run = run,
    .stop = stop,
    .free = free_loop,
    .wake = wake,
    .now_ms = now_ms,
    .now_ns = now_ns,
    .wall = wall_now,
    .random = random_bytes,
    .work = work,
    .resolve = resolve,
    .listen = sim_listen,
    .listener_close = sim_listener_close,
    .connect = sim_connect,
    .connect_cancel = sim_connect_cancel,
    .stream_from_fd = stream_from_fd,
    .stream_start = sim_stream_start,
    .stream_pause = sim_stream_pause,
    .stream_write = sim_stream_write,
    .stream_queued = sim_stream_queued,
    .stream_shutdown = sim_stream_shutdown,
    .stream_close = sim_stream_close,
    .stream_peer = sim_stream_peer,
    .stream_fd = stream_no_fd,
    .udp = sim_udp_new,
    .udp_send = sim_udp_send,
    .udp_close = sim_udp_close,
    .fd_watch_start = fd_watch,
    .fd_watch_stop = fd_unwatch,
    .spawn = spawn,
    .child_kill = kill_child,
    .signal_start = signal_start,
    .signal_stop = signal_stop,
};

struct loop *sim_loop(struct sim *w, const char *machine)
{
    struct sim_loop *l = xcalloc(1, sizeof *l);
    loop_init(&l->base, &backend);
    l->sim = w;
    l->machine = sim_machine(w, machine);
    must(!l->machine->off);
    l->id = w->next_id++;
    l->random.state = chance_u64(&w->scenario);
    list_init(&l->jobs);
    list_init(&l->ends);
    list_init(&l->listeners);
    list_init(&l->dials);
    list_init(&l->lookups);
    list_init(&l->sockets);
    list_push_back(&w->loops, &l->link);
    w->changed = true;
    return &l->base;
}

/* ---- machines ---- */

struct sim_machine *sim_machine(struct sim *w, const char *name)
{
    struct sim_machine *m = map_get(&w->machines, str_z(name));
    if (m)
        return m;
    m = xcalloc(1, sizeof *m);
    m->sim = w;
    m->name = xstrdup(name);
    m->index = w->machines.count + 1;
    must(m->index < 1 << 16);
    m->ip_be = htonl(0x0a000000u + m->index);
    inet_ntop(AF_INET, &m->ip_be, m->ip, sizeof m->ip);
    m->boot_ms = (int64_t)chance_below(&w->scenario, 1000000000);
    m->next_port = PORT_FIRST;
    map_put(&w->machines, str_z(name), m);
    map_put(&w->by_ip, str_n((const char *)&m->ip_be, sizeof m->ip_be), m);
    return m;
}

struct sim_machine *sim_machine_at(struct sim *w, uint32_t ip_be)
{
    return map_get(&w->by_ip, str_n((const char *)&ip_be, sizeof ip_be));
}

struct sim_machine *sim_route(struct sim_machine *from, const struct address *a)
{
    if (a->scheme == ADDRESS_UNIX)
        return from;
    if (a->in.any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->in.v6.sin6_addr) ? from : NULL;
    uint32_t ip = a->in.v4.sin_addr.s_addr;
    return ntohl(ip) >> 24 == 127 ? from : sim_machine_at(from->sim, ip);
}

static struct str ip_key(const struct sim_machine *m)
{
    return str_n((const char *)&m->ip_be, sizeof m->ip_be);
}

bool sim_reachable(const struct sim_machine *a, const struct sim_machine *b)
{
    return !a->off && !b->off && !map_has(&a->cut, ip_key(b)) && !map_has(&b->cut, ip_key(a));
}

uint16_t sim_port(struct sim_machine *m)
{
    uint16_t port = m->next_port;
    m->next_port = port == UINT16_MAX ? PORT_FIRST : (uint16_t)(port + 1);
    return port;
}

const char *sim_ip(struct sim *w, const char *machine)
{
    return sim_machine(w, machine)->ip;
}

static void set_cut(struct sim_machine *a, struct sim_machine *b, bool cut)
{
    if (a == b)
        return;
    if (cut)
        map_put(&a->cut, ip_key(b), b);
    else
        map_remove(&a->cut, ip_key(b));
}

static void cut_or_heal(struct sim *w, const char *a, const char *b, bool cut)
{
    must(!w->inside);
    struct sim_machine *from = sim_machine(w, a), *one = b ? sim_machine(w, b) : NULL;
    uint32_t it = 0;
    struct map_entry *e;
    while ((e = map_next(&w->machines, &it))) {
        struct sim_machine *m = e->value;
        if (one && m != one)
            continue;
        set_cut(from, m, cut);
        set_cut(m, from, cut);
    }
    sim_mark(w, cut ? "partition" : "heal", from->index, one ? one->index : 0, STR_NULL);
    sim_streams_rethink(w);
}

void sim_partition(struct sim *w, const char *a, const char *b)
{
    cut_or_heal(w, a, b, true);
}

void sim_heal(struct sim *w, const char *a, const char *b)
{
    cut_or_heal(w, a, b, false);
}

void sim_power_off(struct sim *w, const char *machine)
{
    must(!w->inside);
    struct sim_machine *m = sim_machine(w, machine);
    struct sim_loop *l;
    m->off = true;
    list_each (l, &w->loops, link)
        if (l->machine == m)
            crash(l, true);
    sim_streams_rethink(w);
}

void sim_power_on(struct sim *w, const char *machine)
{
    must(!w->inside);
    sim_machine(w, machine)->off = false;
    sim_streams_rethink(w);
}

void sim_reset_streams(struct sim *w, const char *a, const char *b)
{
    must(!w->inside);
    sim_streams_reset(w, sim_machine(w, a), b ? sim_machine(w, b) : NULL);
}

void sim_wall_step(struct sim *w, const char *machine, int64_t ms)
{
    struct sim_machine *m = sim_machine(w, machine);
    m->wall_off_ms += ms;
    sim_mark(w, "wall step", m->index, ms, STR_NULL);
}

/* ---- the world ---- */

static struct sim *log_world;

static int64_t log_now_ms(void)
{
    return wall_ms(wall_start) + sim_now_ms(log_world);
}

struct sim *sim_new(uint64_t seed)
{
    struct sim *w = xcalloc(1, sizeof *w);
    w->seed = seed;
    w->order.state = seed;
    w->scenario.state = seed ^ 0x5ce4a210;
    w->trace = seed;
    w->faults = sim_faults_none;
    w->machines = MAP_INIT;
    w->by_ip = MAP_INIT;
    list_init(&w->loops);
    list_init(&w->conns);
    list_init(&w->closed);
    list_init(&w->mail);
    log_world = w;
    log_clock(log_now_ms);
    return w;
}

static void machine_free(struct sim_machine *m)
{
    map_fini(&m->listeners);
    map_fini(&m->datagrams);
    map_fini(&m->cut);
    free(m->name);
    free(m);
}

void sim_free(struct sim *w)
{
    must(list_empty(&w->loops) && !w->running);
    sim_streams_sweep(w);
    sim_streams_fini(w);
    sim_udp_fini(w);
    uint32_t it = 0;
    struct map_entry *e;
    while ((e = map_next(&w->machines, &it)))
        machine_free(e->value);
    map_fini(&w->machines);
    map_fini(&w->by_ip);
    heap_fini(&w->queue);
    heap_fini(&w->alarms);
    if (log_world == w) {
        log_world = NULL;
        log_clock(NULL);
    }
    free(w);
}
