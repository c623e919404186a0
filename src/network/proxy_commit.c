/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions: one at a time, on a worker; what to do when one fails; who waits for them. */
#include "network/proxy_impl.h"

enum { RETRY_MIN_MS = 100, RETRY_MAX_MS = 30000 };

struct commit {
    struct work work;
    struct proxy *p;
    struct nl_batch batch;
    struct nft_config config;
    struct proxy_leftovers left;
    struct arena arena; /* of the error */
    struct err error;
    uint64_t generation;
    int fd;
    int64_t began_ns;
    bool rebuild;
    bool written; /* the transaction itself succeeded */
};

static void flush(struct task *t);

void proxy_flush_soon(struct proxy *p)
{
    if (p->fd >= 0 && !p->commit && !p->stopped && !timer_active(&p->retry))
        loop_defer(p->loop, &p->flush, flush);
}

static void state_changed(void *arg)
{
    proxy_flush_soon(arg);
}

/* ---- those who wait ---- */

/* e == NULL: the transactions up to done_generation succeeded. */
static void wake(struct proxy *p, const struct err *e)
{
    struct list due;
    list_init(&due);
    struct proxy_wait *w, *next;
    list_each_safe (w, next, &p->waits, link) {
        if (!e && w->generation > p->done_generation)
            continue;
        list_remove(&w->link);
        list_push_back(&due, &w->link);
    }
    for (struct list *at; (at = list_pop_front(&due));) {
        w = list_entry(at, struct proxy_wait, link);
        w->fn(w, e);
    }
}

void proxy_wait(struct proxy *p, struct proxy_wait *w, bool services,
                void (*fn)(struct proxy_wait *w, const struct err *e))
{
    w->fn = fn;
    w->services = services;
    w->generation = p->generation + 1;
    list_push_back(services && !p->synced ? &p->sync_waits : &p->waits, &w->link);
    proxy_flush_soon(p);
}

void proxy_synced(struct proxy *p)
{
    p->synced = true;
    for (struct list *at; (at = list_pop_front(&p->sync_waits));) {
        list_entry(at, struct proxy_wait, link)->generation = p->generation + 1;
        list_push_back(&p->waits, at);
    }
    proxy_flush_soon(p);
}

/* Pods hear of a failure, so that the agent can say why; services wait for better times. */
static void fail_pod_waits(struct proxy *p, const struct err *e)
{
    struct list services;
    list_init(&services);
    struct proxy_wait *w, *next;
    list_each_safe (w, next, &p->waits, link) {
        if (!w->services)
            continue;
        list_remove(&w->link);
        list_push_back(&services, &w->link);
    }
    wake(p, e);
    for (struct list *at; (at = list_pop_front(&services));)
        list_push_back(&p->waits, at);
}

/* ---- a transaction ---- */

static void leftovers_free(struct proxy_leftovers *left)
{
    conntrack_job_free(&left->flows);
    LIST_EACH (st, &left->clients)
        free(st->backends);
    vec_free(&left->clients);
}

static void commit_free(struct commit *c)
{
    nl_batch_fini(&c->batch);
    leftovers_free(&c->left);
    arena_fini(&c->arena);
    free(c);
}

static void commit_run(struct work *w)
{
    struct commit *c = CONTAINER_OF(w, struct commit, work);
    if (nl_run(c->fd, &c->batch, &c->error))
        return;
    c->written = true;
    int error =
        nft_forget_clients(c->fd, &c->config, c->left.clients.v, c->left.clients.n, &c->error);
    if (!error)
        error = conntrack_clean(&c->left.flows, NULL, &c->error);
    (void)error; /* is in c->error */
}

static void carry(struct proxy *p, struct proxy_leftovers *left)
{
    for (size_t i = 0; i < left->flows.frontends.n; i++)
        vec_push(&p->carry.flows.frontends, left->flows.frontends.v[i]);
    for (size_t i = 0; i < left->clients.n; i++)
        vec_push(&p->carry.clients, left->clients.v[i]);
    vec_free(&left->flows.frontends);
    vec_free(&left->clients);
}

static void retry(struct timer *t)
{
    proxy_flush_soon(CONTAINER_OF(t, struct proxy, retry));
}

/* The kernel has something else than we thought: all anew. At once the first time. */
static void commit_failed(struct proxy *p, struct commit *c)
{
    p->failures++;
    p->rebuild = true;
    carry(p, &c->left);
    if (!c->rebuild)
        return;
    p->retry_ms = MIN(MAX(p->retry_ms * 2, RETRY_MIN_MS), RETRY_MAX_MS);
    timer_start(p->loop, &p->retry, p->retry_ms, retry);
    fail_pod_waits(p, &c->error);
}

static void commit_done(struct work *w)
{
    struct commit *c = CONTAINER_OF(w, struct commit, work);
    struct proxy *p = c->p;
    p->last_commit_ns = loop_now_ns(p->loop) - c->began_ns;
    if (c->written) {
        p->commits++;
        p->rebuilds += c->rebuild;
        p->retry_ms = 0;
        p->done_generation = c->generation;
        wake(p, NULL);
    } else {
        commit_failed(p, c);
    }
    if (c->error.code && p->trouble && !p->stopped)
        p->trouble(p->trouble_arg, &c->error);
    p->commit = NULL;
    commit_free(c);
    if (p->stopped)
        p->stop_done(p->stop_arg);
    else
        proxy_flush_soon(p);
}

static struct commit *commit_new(struct proxy *p)
{
    struct commit *c = xcalloc(1, sizeof *c);
    c->p = p;
    c->fd = p->fd;
    c->generation = ++p->generation;
    c->rebuild = p->rebuild;
    nl_batch_init(&c->batch);
    arena_init(&c->arena, ARENA_CAP_DEFAULT);
    c->error = ERR_INIT(&c->arena);
    c->left = p->carry;
    p->carry = (struct proxy_leftovers){0};
    c->config = p->nft.config;
    for (size_t i = 0; i < 2; i++)
        c->left.flows.cluster[i] = c->config.cluster[i];
    return c;
}

static void flush(struct task *t)
{
    struct proxy *p = CONTAINER_OF(t, struct proxy, flush);
    if (p->commit)
        return;
    struct commit *c = commit_new(p);
    proxy_write_changes(p, &c->left);
    if (p->rebuild) {
        nft_define(&p->nft, true);
        proxy_write_everything(p);
        p->rebuild = false;
    }
    if (!nft_take(&p->nft, &c->batch) && !c->left.flows.frontends.n && !c->left.clients.n) {
        p->done_generation = c->generation;
        commit_free(c);
        wake(p, NULL);
        return;
    }
    p->commit = c;
    c->began_ns = loop_now_ns(p->loop);
    loop_work(p->loop, &c->work, commit_run, commit_done);
}

void proxy_lost(struct proxy *p)
{
    p->rebuild = true;
    proxy_flush_soon(p);
}

/* ---- life ---- */

void proxy_init(struct proxy *p, struct loop *l, struct network_state *st,
                const struct nft_config *c)
{
    *p = (struct proxy){.loop = l, .state = st, .fd = -1, .frontends = MAP_INIT_BORROWED};
    list_init(&p->dirty);
    list_init(&p->pods);
    list_init(&p->dirty_pods);
    list_init(&p->waits);
    list_init(&p->sync_waits);
    nft_init(&p->nft, c);
    st->changed = state_changed;
    st->changed_arg = p;
}

void proxy_start(struct proxy *p, int netlink_fd, const struct nft_found *found)
{
    p->fd = netlink_fd;
    if (found->table && proxy_adopt(p, found))
        nft_define(&p->nft, false);
    else
        p->rebuild = true;
    proxy_flush_soon(p);
}

bool proxy_stop(struct proxy *p, void (*done)(void *arg), void *arg)
{
    p->stopped = true;
    p->stop_done = done;
    p->stop_arg = arg;
    task_cancel(&p->flush);
    timer_stop(&p->retry);
    for (struct list *at; (at = list_pop_front(&p->sync_waits));)
        list_push_back(&p->waits, at);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    err_set(&e, ERR_CANCELED, "the network is being closed");
    wake(p, &e);
    arena_fini(&a);
    return p->commit != NULL;
}

void proxy_fini(struct proxy *p)
{
    must(!p->commit);
    p->state->changed = NULL;
    leftovers_free(&p->carry);
    proxy_forget(p);
    nft_fini(&p->nft);
    close_fd(&p->fd);
}
