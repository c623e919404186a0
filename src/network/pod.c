/* SPDX-License-Identifier: Apache-2.0 */
#include "network/pod.h"

enum { BATCH_MAX = 64, TAKEN_TRIES_MAX = 16 };

/* A pod on its way waits for two things: the worker, and the proxy's transaction. */
enum pod_state { POD_ADDING, POD_READY, POD_REMOVING };

struct pod {
    struct pods *ps;
    struct record_pod record;
    char link[IFNAMSIZ];
    char *pin;
    enum pod_state state;
    uint32_t tries;
    bool wants_worker, wants_proxy; /* not yet done */
    bool made;                      /* the worker has added it */
    struct list queued;             /* in ps->queue */
    struct proxy_pod *proxy;
    struct proxy_wait wait;
    struct network_pod_add *add; /* the operation under way */
    struct network_pod_remove *remove;
    struct list adds, removes; /* that wait for it to end */
    int error;
    char message[160];
};

struct pod_batch {
    struct work work;
    struct pods *ps;
    struct pod *pods[BATCH_MAX];
    struct pod_link links[BATCH_MAX];         /* of those that are being added, in order */
    const struct record_pod *gone[BATCH_MAX]; /* of those that are being removed */
    size_t n, link_count, gone_count;
};

static void pod_next(struct pod *p);

/* ---- answers ---- */

static void fill(const struct pod *p, struct network_pod *ret)
{
    struct ip ips[2];
    const struct plan *plan = p->ps->site.plan;
    pod_ips(plan, p->record.offset, ips);
    *ret = (struct network_pod){.netns = p->pin, .link = p->link};
    ret->ips[0] = ips[plan->primary];
    ret->ips[1] = ips[!plan->primary];
}

static void answer_add(struct network_pod_add *op, int error, const char *message)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    if (error)
        err_set(&e, (enum err_code) - error, "%s", message);
    op->done(op, error, error ? &e : NULL);
    arena_fini(&a);
}

static void answer_remove(struct network_pod_remove *op, int error, const char *message)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    if (error)
        err_set(&e, (enum err_code) - error, "%s", message);
    op->done(op, error, error ? &e : NULL);
    arena_fini(&a);
}

static void pod_failed(struct pod *p, int error, const char *message)
{
    if (p->error)
        return;
    p->error = error;
    snprintf(p->message, sizeof p->message, "%s", message);
}

/* ---- one pod ---- */

static struct pod *pod_new(struct pods *ps, struct str id)
{
    struct pod *p = xcalloc(1, sizeof *p);
    p->ps = ps;
    memcpy(p->record.id, id.p, id.n);
    p->pin = record_pin_path(ps->site.plan->dir, p->record.id);
    list_init(&p->adds);
    list_init(&p->removes);
    map_put(&ps->by_id, str_z(p->record.id), p);
    return p;
}

static void pod_free(struct pod *p)
{
    map_remove(&p->ps->by_id, str_z(p->record.id));
    free(p->record.ports);
    free(p->pin);
    free(p);
}

static void set_offset(struct pod *p, uint32_t offset)
{
    p->record.offset = offset;
    plan_link(p->ps->site.plan->name, offset, p->link);
}

static bool copy_ports(struct pod *p, const struct network_pod_add *op)
{
    size_t n = op->host_port_count;
    p->record.ports = xcalloc(n ? n : 1, sizeof *p->record.ports);
    for (size_t i = 0; i < n; i++) {
        const struct network_host_port *from = &op->host_ports[i];
        struct record_port *to = &p->record.ports[p->record.port_count++];
        *to = (struct record_port){.protocol = from->protocol,
                                   .host_port = from->host_port,
                                   .container_port = from->container_port};
        if (!str_empty(from->host_ip) && !ip_parse(from->host_ip, &to->host_ip))
            return false;
        if (!to->host_ip.family)
            to->host_ip.family = p->ps->site.plan->primary ? 6 : 4;
    }
    return true;
}

/* Host ports of families the pod has; "any" of both. */
static size_t proxy_ports(const struct pod *p, const struct ip ips[2], struct proxy_host_port *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < p->record.port_count; i++) {
        const struct record_port *port = &p->record.ports[i];
        for (size_t f = 0; f < 2; f++) {
            bool any = ip_is_any(port->host_ip);
            if (!ips[f].family || (!any && port->host_ip.family != ips[f].family))
                continue;
            ret[n++] = (struct proxy_host_port){
                .key = {.ip = any ? (struct ip){.family = ips[f].family} : port->host_ip,
                        .protocol = (uint8_t)port->protocol,
                        .port = port->host_port},
                .backend = {.ip = ips[f], .port = port->container_port}};
        }
    }
    return n;
}

static int tell_proxy(struct pod *p, struct err *e)
{
    struct ip ips[2];
    pod_ips(p->ps->site.plan, p->record.offset, ips);
    CLEANUP(free_ptr)
    struct proxy_host_port *ports = xcalloc(2 * p->record.port_count + 1, sizeof *ports);
    return proxy_pod_add(p->ps->proxy, ips, ports, proxy_ports(p, ips, ports), &p->proxy, e);
}

static void untell_proxy(struct pod *p)
{
    if (p->proxy)
        proxy_pod_remove(p->ps->proxy, p->proxy);
    p->proxy = NULL;
}

/* ---- the worker ---- */

static void batch_start(struct task *t);

static void start_soon(struct pods *ps)
{
    if (!ps->batch && ps->started && !list_empty(&ps->queue))
        loop_defer(ps->loop, &ps->start, batch_start);
}

static void enqueue(struct pod *p)
{
    p->wants_worker = true;
    list_push_back(&p->ps->queue, &p->queued);
    start_soon(p->ps);
}

/* ---- the end of an operation ---- */

/* The answers come last: they may ask for the next thing, or end everything. */
static void add_ended(struct pod *p)
{
    struct network_pod_add *op = p->add;
    int error = p->error;
    char message[sizeof p->message];
    memcpy(message, p->message, sizeof message);
    p->add = NULL;
    p->error = 0;
    if (error) {
        untell_proxy(p);
        ipam_release(&p->ps->ipam, p->record.offset);
        p->state = POD_REMOVING; /* nothing is left to remove */
    } else {
        p->state = POD_READY;
        p->ps->ready++;
        fill(p, &op->pod);
    }
    pod_next(p);
    answer_add(op, error, message);
}

static void remove_ended(struct pod *p)
{
    struct network_pod_remove *op = p->remove;
    struct pods *ps = p->ps;
    p->remove = NULL;
    if (p->add) { /* an addition that failed late */
        add_ended(p);
        return;
    }
    ipam_release(&ps->ipam, p->record.offset);
    pod_next(p);
    if (op)
        answer_remove(op, 0, "");
}

static void maybe_ended(struct pod *p)
{
    if (p->wants_worker || p->wants_proxy)
        return;
    if (p->state == POD_ADDING && p->error && p->made && !p->ps->stopped) {
        p->made = false;
        p->state = POD_REMOVING;
        enqueue(p);
        return;
    }
    if (p->state == POD_ADDING)
        add_ended(p);
    else
        remove_ended(p);
}

/* ---- batches ---- */

static void batch_run(struct work *w)
{
    struct pod_batch *b = CONTAINER_OF(w, struct pod_batch, work);
    if (b->gone_count)
        pod_link_remove(&b->ps->site, b->gone, b->gone_count);
    if (b->link_count)
        pod_link_make(&b->ps->site, b->links, b->link_count);
}

/* The link of an earlier pod with that address still lingers: another address. */
static bool try_elsewhere(struct pod *p, const struct pod_link *l)
{
    if (!l->taken || ++p->tries > TAKEN_TRIES_MAX || p->ps->stopped)
        return false;
    uint32_t offset = ipam_take(&p->ps->ipam);
    if (!offset)
        return false;
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    untell_proxy(p);
    ipam_release(&p->ps->ipam, p->record.offset);
    set_offset(p, offset);
    int error = tell_proxy(p, &e);
    arena_fini(&a);
    if (error)
        return false;
    enqueue(p);
    return true;
}

static void worker_done(struct pod *p, const struct pod_link *l)
{
    p->wants_worker = false;
    if (l && l->error && try_elsewhere(p, l))
        return;
    if (l && l->error)
        pod_failed(p, l->error, l->message);
    p->made = l && !l->error;
    maybe_ended(p);
}

static void batch_done(struct work *w)
{
    struct pod_batch *b = CONTAINER_OF(w, struct pod_batch, work);
    struct pods *ps = b->ps;
    const struct pod_link *l = b->links;
    for (size_t i = 0; i < b->n; i++)
        worker_done(b->pods[i], b->pods[i]->state == POD_ADDING ? l++ : NULL);
    ps->batch = NULL;
    free(b);
    if (ps->stopped)
        ps->stop_done(ps->stop_arg);
    else
        start_soon(ps);
}

static void batch_start(struct task *t)
{
    struct pods *ps = CONTAINER_OF(t, struct pods, start);
    if (ps->batch || list_empty(&ps->queue))
        return;
    struct pod_batch *b = xcalloc(1, sizeof *b);
    b->ps = ps;
    for (struct list *at; b->n < BATCH_MAX && (at = list_pop_front(&ps->queue));) {
        struct pod *p = list_entry(at, struct pod, queued);
        b->pods[b->n++] = p;
        if (p->state == POD_ADDING)
            b->links[b->link_count++].record = &p->record;
        else
            b->gone[b->gone_count++] = &p->record;
    }
    ps->batch = b;
    loop_work(ps->loop, &b->work, batch_run, batch_done);
}

/* ---- the proxy ---- */

static void proxy_done(struct proxy_wait *w, const struct err *e)
{
    struct pod *p = CONTAINER_OF(w, struct pod, wait);
    p->wants_proxy = false;
    if (e && p->state == POD_ADDING)
        pod_failed(p, -(int)e->code, e->message.p ? e->message.p : "");
    maybe_ended(p);
}

static void await_proxy(struct pod *p)
{
    p->wants_proxy = true;
    proxy_wait(p->ps->proxy, &p->wait, false, proxy_done);
}

/* ---- operations ---- */

static int check_add(const struct network_pod_add *op, struct err *e)
{
    if (!record_id_valid(op->id))
        return err_set(e, ERR_INVALID, "\"%.*s\" is no valid sandbox id", STR_ARG(op->id));
    if (op->host_port_count > NETWORK_HOST_PORTS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d host ports", NETWORK_HOST_PORTS_MAX);
    return 0;
}

/* The pod is new: gives it an address, and begins. Returns an error with nothing begun. */
static int begin_add(struct pod *p, struct network_pod_add *op, struct err *e)
{
    struct pods *ps = p->ps;
    if (!copy_ports(p, op))
        return err_set(e, ERR_INVALID, "a host IP is no address");
    uint32_t offset = ipam_take(&ps->ipam);
    if (!offset)
        return err_set(e, ERR_LIMIT, "all %u pod addresses of this node are in use",
                       ipam_size(&ps->ipam));
    set_offset(p, offset);
    int error = tell_proxy(p, e);
    if (error) {
        ipam_release(&ps->ipam, offset);
        return error;
    }
    p->state = POD_ADDING;
    p->add = op;
    await_proxy(p);
    enqueue(p);
    return 0;
}

static void try_add(struct pods *ps, struct network_pod_add *op)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    int error = check_add(op, &e);
    struct pod *p = error ? NULL : map_get(&ps->by_id, op->id);
    if (p && p->state == POD_READY) {
        fill(p, &op->pod);
        op->done(op, 0, NULL);
    } else if (p) {
        list_push_back(&p->adds, &op->link);
    } else if (!error) {
        p = pod_new(ps, op->id);
        error = begin_add(p, op, &e);
        if (error)
            pod_free(p);
    }
    if (error)
        op->done(op, error, &e);
    arena_fini(&a);
}

static void begin_remove(struct pod *p, struct network_pod_remove *op)
{
    p->state = POD_REMOVING;
    p->ps->ready--;
    p->remove = op;
    untell_proxy(p);
    await_proxy(p);
    enqueue(p);
}

static void try_remove(struct pods *ps, struct network_pod_remove *op)
{
    struct pod *p = record_id_valid(op->id) ? map_get(&ps->by_id, op->id) : NULL;
    if (p && p->state == POD_READY)
        begin_remove(p, op);
    else if (p)
        list_push_back(&p->removes, &op->link);
    else
        op->done(op, 0, NULL);
}

/* An operation has ended: those that waited for it have their turn, removals first. */
static void pod_next(struct pod *p)
{
    struct pods *ps = p->ps;
    struct list adds, removes;
    list_init(&adds);
    list_init(&removes);
    for (struct list *at; (at = list_pop_front(&p->adds));)
        list_push_back(&adds, at);
    for (struct list *at; (at = list_pop_front(&p->removes));)
        list_push_back(&removes, at);
    if (p->state == POD_REMOVING)
        pod_free(p);
    for (struct list *at; (at = list_pop_front(&removes));)
        try_remove(ps, list_entry(at, struct network_pod_remove, link));
    for (struct list *at; (at = list_pop_front(&adds));)
        try_add(ps, list_entry(at, struct network_pod_add, link));
}

void pods_add(struct pods *ps, struct network_pod_add *op)
{
    if (!ps->started || ps->stopped)
        answer_add(op, -ERR_UNAVAILABLE, "the network is not running");
    else
        try_add(ps, op);
}

void pods_remove(struct pods *ps, struct network_pod_remove *op)
{
    if (!ps->started || ps->stopped)
        answer_remove(op, -ERR_UNAVAILABLE, "the network is not running");
    else
        try_remove(ps, op);
}

bool pods_find(const struct pods *ps, struct str id, struct network_pod *ret)
{
    const struct pod *p = map_get(&ps->by_id, id);
    if (!p || p->state != POD_READY)
        return false;
    fill(p, ret);
    return true;
}

void pods_keep_only(struct pods *ps, const struct str *ids, size_t count)
{
    CLEANUP(map_fini) struct map keep = MAP_INIT_BORROWED;
    for (size_t i = 0; i < count; i++)
        map_put(&keep, ids[i], ps);
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&ps->by_id, &it));) {
        struct pod *p = entry->value;
        if (p->state == POD_READY && !map_has(&keep, entry->key))
            begin_remove(p, NULL);
    }
}

/* ---- life ---- */

void pods_init(struct pods *ps, struct loop *l, struct proxy *proxy, const struct plan *plan)
{
    *ps = (struct pods){.loop = l, .proxy = proxy, .by_id = MAP_INIT_BORROWED};
    ps->site.plan = plan;
    list_init(&ps->queue);
    ipam_init(&ps->ipam, plan->pods[plan->primary]);
    struct ipam other;
    if (plan->pods[!plan->primary].ip.family) { /* one offset for both families */
        ipam_init(&other, plan->pods[!plan->primary]);
        ps->ipam.last = MIN(ps->ipam.last, other.last);
        ipam_fini(&other);
    }
}

static void adopt(struct pods *ps, struct record_pod *r)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    if (!ipam_claim(&ps->ipam, r->offset)) {
        const struct record_pod *stray = r; /* two records with one address: not from us */
        r->offset = 0;                      /* the routes are the other one's */
        pod_link_remove(&ps->site, &stray, 1);
        free(r->ports);
        return;
    }
    struct pod *p = pod_new(ps, str_z(r->id));
    p->record.ports = r->ports;
    p->record.port_count = r->port_count;
    set_offset(p, r->offset);
    p->state = POD_READY;
    ps->ready++;
    int error = tell_proxy(p, &e);
    (void)error; /* a host port twice: the second pod is reached by its address alone */
    arena_fini(&a);
}

void pods_start(struct pods *ps, struct host *h)
{
    ps->site.fd = h->route_fd;
    ps->site.bridge = h->bridge;
    ps->site.mtu = h->mtu;
    ps->started = true;
    for (size_t i = 0; i < h->pods.v.n; i++)
        adopt(ps, &h->pods.v.v[i]);
    h->pods.v.n = 0;
}

static void cancel_waiting(struct pod *p)
{
    for (struct list *at; (at = list_pop_front(&p->removes));)
        answer_remove(list_entry(at, struct network_pod_remove, link), -ERR_CANCELED,
                      "the network is being closed");
    for (struct list *at; (at = list_pop_front(&p->adds));)
        answer_add(list_entry(at, struct network_pod_add, link), -ERR_CANCELED,
                   "the network is being closed");
}

/* Not begun: the worker has not seen it. */
static void cancel_queued(struct pod *p)
{
    p->wants_worker = false;
    pod_failed(p, -ERR_CANCELED, "the network is being closed");
    if (p->state == POD_REMOVING && p->remove) {
        struct network_pod_remove *op = p->remove;
        p->remove = NULL;
        answer_remove(op, -ERR_CANCELED, "the network is being closed");
    }
    maybe_ended(p);
}

bool pods_stop(struct pods *ps, void (*done)(void *arg), void *arg)
{
    ps->stopped = true;
    ps->stop_done = done;
    ps->stop_arg = arg;
    task_cancel(&ps->start);
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&ps->by_id, &it));)
        cancel_waiting(entry->value);
    for (struct list *at; (at = list_pop_front(&ps->queue));)
        cancel_queued(list_entry(at, struct pod, queued));
    return ps->batch != NULL;
}

void pods_fini(struct pods *ps)
{
    must(!ps->batch);
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&ps->by_id, &it));)
        pod_free(entry->value);
    map_fini(&ps->by_id);
    ipam_fini(&ps->ipam);
}
