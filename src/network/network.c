/* SPDX-License-Identifier: Apache-2.0 */
#include "network/network.h"

#include "network/dns_server.h"
#include "network/pod.h"
#include "network/watch.h"

enum life { NEW, STARTING, RUNNING, CLOSING };

struct network {
    struct loop *loop;
    struct plan plan;
    struct network_state state;
    struct proxy proxy;
    struct pods pods;
    struct dns_server dns;
    struct table_watch watch;
    struct host host;
    enum life life;
    void (*trouble)(void *arg, const struct err *e);
    void *trouble_arg;

    struct work setup;
    struct arena setup_arena;
    struct err setup_error;
    void (*started)(void *arg, const struct err *e);
    void *started_arg;

    int parts; /* that must end before the end */
    struct task end;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- new ---- */

static int check_records(const struct network *n, struct err *e)
{
    struct record_host h;
    int outcome = record_host_load(n->plan.dir, &h, e);
    if (outcome)
        return MIN(outcome, 0);
    bool same = strcmp(h.name, n->plan.name) == 0 && strcmp(h.ranges, n->plan.ranges) == 0;
    int error = same ? 0
                     : err_set(e, ERR_CONFLICT,
                               "%s was made for cluster \"%s\" with %s, not \"%s\" with %s: purge "
                               "it first",
                               n->plan.dir, h.name, h.ranges, n->plan.name, n->plan.ranges);
    record_host_fini(&h);
    return error;
}

static void make_parts(struct network *n)
{
    const struct plan *p = &n->plan;
    struct nft_config table;
    struct dns_zone zone = {.state = &n->state, .domain = p->dns_domain};
    plan_nft(p, &table);
    for (size_t i = 0; i < 2; i++) {
        zone.address[i] = p->dns[i];
        zone.local[i] = p->services[i];
        zone.local[2 + i] = p->pods[i];
    }
    state_init(&n->state, str_z(p->node_name));
    proxy_init(&n->proxy, n->loop, &n->state, &table);
    n->proxy.trouble = n->trouble;
    n->proxy.trouble_arg = n->trouble_arg;
    pods_init(&n->pods, n->loop, &n->proxy, p);
    dns_server_init(&n->dns, n->loop, &zone, p->resolv_conf);
}

struct network *network_new(struct loop *l, const struct network_config *c, struct err *e)
{
    struct network *n = xcalloc(1, sizeof *n);
    n->loop = l;
    n->host = HOST_INIT;
    n->trouble = c->trouble;
    n->trouble_arg = c->trouble_arg;
    if (plan_init(&n->plan, c, e) || check_records(n, e)) {
        plan_fini(&n->plan);
        free(n);
        return NULL;
    }
    make_parts(n);
    return n;
}

struct ip network_gateway(const struct network *n, int family)
{
    return n->plan.gateway[family == 6];
}

/* ---- start ---- */

static void setup_run(struct work *w)
{
    struct network *n = CONTAINER_OF(w, struct network, setup);
    int error = host_setup(&n->plan, &n->host, &n->setup_error);
    (void)error; /* is in setup_error */
}

static void table_lost(void *arg)
{
    struct network *n = arg;
    proxy_lost(&n->proxy);
}

static int listen_for_dns(struct network *n, struct err *e)
{
    enum { DNS_PORT = 53 };
    for (size_t i = 0; i < 2; i++) {
        struct ip a = n->plan.dns[i];
        int error = a.family ? dns_server_listen(&n->dns, a, DNS_PORT, e) : 0;
        if (error)
            return error;
    }
    return 0;
}

static int open_ears(struct network *n, struct err *e)
{
    int error = listen_for_dns(n, e);
    if (!error)
        error = table_watch_start(&n->watch, n->loop, n->host.filter_fd, n->plan.name, table_lost,
                                  n, e);
    if (error)
        dns_server_close(&n->dns);
    return error;
}

static void end_part(void *arg);

static void begin_running(struct network *n)
{
    n->life = RUNNING;
    proxy_start(&n->proxy, TAKE_FD(n->host.filter_fd), &n->host.found);
    pods_start(&n->pods, &n->host);
}

static void setup_done(struct work *w)
{
    struct network *n = CONTAINER_OF(w, struct network, setup);
    bool closing = n->life == CLOSING;
    struct err *e = &n->setup_error;
    if (closing)
        err_set(e, ERR_CANCELED, "the network is being closed");
    if (!e->code && open_ears(n, e) == 0)
        begin_running(n);
    if (e->code) {
        host_fini(&n->host);
        n->life = closing ? CLOSING : NEW;
    }
    struct arena arena = n->setup_arena; /* the answer may start or close */
    struct err told = *e;
    n->started(n->started_arg, told.code ? &told : NULL);
    arena_fini(&arena);
    if (closing)
        end_part(n);
}

void network_start(struct network *n, void (*started)(void *arg, const struct err *e), void *arg)
{
    must(n->life == NEW);
    n->life = STARTING;
    n->started = started;
    n->started_arg = arg;
    arena_init(&n->setup_arena, ARENA_CAP_DEFAULT);
    n->setup_error = ERR_INIT(&n->setup_arena);
    loop_work(n->loop, &n->setup, setup_run, setup_done);
}

/* ---- close ---- */

static void end(struct task *t)
{
    struct network *n = CONTAINER_OF(t, struct network, end);
    void (*closed)(void *) = n->closed;
    void *arg = n->closed_arg;
    pods_fini(&n->pods);
    proxy_fini(&n->proxy);
    state_fini(&n->state);
    host_fini(&n->host);
    plan_fini(&n->plan);
    free(n);
    if (closed)
        closed(arg);
}

static void end_part(void *arg)
{
    struct network *n = arg;
    if (--n->parts == 0)
        loop_defer(n->loop, &n->end, end);
}

void network_close(struct network *n, void (*closed)(void *arg), void *arg)
{
    must(n->life != CLOSING);
    bool starting = n->life == STARTING;
    n->life = CLOSING;
    n->closed = closed;
    n->closed_arg = arg;
    n->parts = 1 + starting;
    table_watch_stop(&n->watch);
    dns_server_close(&n->dns);
    n->parts += pods_stop(&n->pods, end_part, n);
    n->parts += proxy_stop(&n->proxy, end_part, n);
    end_part(n);
}

int network_purge(struct str data_dir, struct err *e)
{
    CLEANUP(free_ptr) char *dir = xcalloc(1, data_dir.n + 1);
    if (data_dir.n == 0 || data_dir.p[0] != '/')
        return err_set(e, ERR_INVALID, "the data folder must be an absolute path");
    memcpy(dir, data_dir.p, data_dir.n);
    return host_purge(dir, e);
}

/* ---- pods ---- */

void network_pod_add(struct network *n, struct network_pod_add *op)
{
    pods_add(&n->pods, op);
}

void network_pod_remove(struct network *n, struct network_pod_remove *op)
{
    pods_remove(&n->pods, op);
}

bool network_pod_find(const struct network *n, struct str id, struct network_pod *ret)
{
    return pods_find(&n->pods, id, ret);
}

void network_pod_keep_only(struct network *n, const struct str *ids, size_t count)
{
    pods_keep_only(&n->pods, ids, count);
}

/* ---- services ---- */

int network_service_set(struct network *n, const struct network_service *s, struct err *e)
{
    return state_service_set(&n->state, s, e);
}

void network_service_remove(struct network *n, struct str namespace_, struct str name)
{
    state_service_remove(&n->state, namespace_, name);
}

int network_slice_set(struct network *n, const struct network_slice *s, struct err *e)
{
    return state_slice_set(&n->state, s, e);
}

void network_slice_remove(struct network *n, struct str namespace_, struct str name)
{
    state_slice_remove(&n->state, namespace_, name);
}

void network_synced(struct network *n)
{
    n->state.synced = true;
    proxy_synced(&n->proxy);
}

struct settling {
    struct proxy_wait wait;
    void (*fn)(void *arg);
    void *arg;
};

static void settled(struct proxy_wait *w, const struct err *e)
{
    struct settling *s = CONTAINER_OF(w, struct settling, wait);
    if (!e)
        s->fn(s->arg);
    free(s);
}

void network_settle(struct network *n, void (*fn)(void *arg), void *arg)
{
    struct settling *s = xcalloc(1, sizeof *s);
    s->fn = fn;
    s->arg = arg;
    proxy_wait(&n->proxy, &s->wait, true, settled);
}

void network_stats(const struct network *n, struct network_stats *ret)
{
    *ret = (struct network_stats){
        .pods = n->pods.ready,
        .pods_max = ipam_size(&n->pods.ipam),
        .services = n->state.service_count,
        .slices = n->state.slice_count,
        .frontends = n->proxy.frontends.count,
        .backends = n->proxy.backend_count,
        .commits = n->proxy.commits,
        .commit_failures = n->proxy.failures,
        .rebuilds = n->proxy.rebuilds,
        .last_commit_ns = n->proxy.last_commit_ns,
        .dns_queries = n->dns.queries,
        .dns_forwarded = n->dns.forwarded,
        .dns_dropped = n->dns.dropped,
        .dns_upstream_failures = n->dns.upstream_failures,
    };
}
