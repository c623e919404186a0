/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "base/log.h"
#include "base/map.h"
#include "controller/controller.h"

enum {
    BACKOFF_MIN_MS = 5,
    BACKOFF_MAX_MS = 1000 * 1000,
    BACKOFF_CHANGED_MAX_MS = 1000, /* when something changed during the run that failed */
    CACHE_WAIT_MAX_MS = 5000,      /* against a server whose revisions we cannot trust */
    PARALLEL_DEFAULT = 8,
    BATCH_PARALLEL_MAX = 64, /* intents of one key under way */
};

enum intent_kind {
    INTENT_CREATE,
    INTENT_UPDATE,
    INTENT_PATCH,
    INTENT_DELETE,
    INTENT_DELETE_ALL,
    INTENT_GET,
    INTENT_LIST,
};

struct intent {
    struct intent *next;
    struct work_key *key;
    struct list link; /* in work_key.sent */
    struct call *call;
    enum intent_kind kind;
    const struct resource_def *res;
    struct str ns, name, body;
    const char *subresource;
    enum client_patch patch;
    struct client_delete how;
    uint32_t limit; /* of a list */
    uint32_t batch;
    enum err_code fine; /* an answer that counts as success */
    intent_fn *then;
    void *arg;
};

/* What a cache has to see before the key runs again: a revision, or that an object has gone. */
struct debt {
    struct cache *cache;
    rev_t rev;
    char *ns, *name, *uid; /* NULL: a revision */
};

enum key_state {
    KEY_IDLE,
    KEY_READY,    /* in runner.ready */
    KEY_RUNNING,  /* its intents are carried out */
    KEY_SETTLING, /* in runner.settling: until its debts are paid */
    KEY_DELAYED,  /* back-off, or a requeue */
};

/* One key of one controller, from its first event until it has nothing to do and nothing owed. */
struct work_key {
    struct runner *r;
    struct list link;
    char *ns, *name;
    enum key_state state;
    bool wanted; /* to run again: after this run, or after settling */
    uint32_t failures;
    struct timer timer;
    VEC(struct debt) debts;
    /* of the present run */
    struct arena arena;
    struct reconcile rc;
    struct list sent; /* intents under way */
    size_t n_sent;
    int failure;
    bool pointless; /* it failed because the namespace goes away: it always will */
};

struct source {
    struct list link;
    struct runner *r;
    struct cache *cache;
    struct cache_handler handler;
    map_fn *map;
};

struct runner {
    struct controller c;
    struct manager *m;
    struct list sources;
    struct map keys; /* "ns/name" -> struct work_key */
    struct list ready, settling;
    struct task run;
    uint32_t running, failing;
};

struct manager {
    struct client *client;
    struct arena arena;
    struct str ca_pem;
    uint32_t parallel_max;
    struct runner *runners;
    size_t n;
};

static struct loop *loop_of(const struct work_key *k)
{
    return client_loop(k->r->m->client);
}

/* ---- intents ---- */

static struct intent *intent_add(struct reconcile *rc, enum intent_kind kind,
                                 const struct resource_def *res, struct str ns, struct str name)
{
    struct intent *i = arena_new(rc->arena, struct intent);
    i->key = CONTAINER_OF(rc, struct work_key, rc);
    i->kind = kind;
    i->res = res;
    i->ns = arena_str(rc->arena, ns);
    i->name = arena_str(rc->arena, name);
    i->batch = rc->batch;
    if (!rc->next)
        rc->tail = &rc->next;
    *rc->tail = i;
    rc->tail = &i->next;
    return i;
}

struct str intent_text(struct reconcile *rc, const struct desc *d, const void *obj)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    desc_encode_json(d, obj, &b);
    return buf_to_arena(&b, rc->arena);
}

struct intent *intend_create_text(struct reconcile *rc, const struct resource_def *res,
                                  struct str ns, struct str text)
{
    struct intent *i = intent_add(rc, INTENT_CREATE, res, ns, STR(""));
    i->body = text;
    return i;
}

struct intent *intend_create(struct reconcile *rc, const struct resource_def *res, struct str ns,
                             const void *obj)
{
    return intend_create_text(rc, res, ns, intent_text(rc, res->desc, obj));
}

struct intent *intend_create_if_absent(struct reconcile *rc, const struct resource_def *res,
                                       struct str ns, const void *obj)
{
    struct intent *i = intend_create(rc, res, ns, obj);
    i->fine = ERR_ALREADY_EXISTS;
    return i;
}

static const struct metav1_object_meta *meta_of(const struct resource_def *res, const void *obj)
{
    const struct field *f = desc_field(res->desc, STR("metadata"));
    return (const void *)((const char *)obj + f->offset);
}

struct intent *intend_update(struct reconcile *rc, const struct resource_def *res, const void *obj,
                             const char *subresource)
{
    const struct metav1_object_meta *m = meta_of(res, obj);
    struct intent *i = intent_add(rc, INTENT_UPDATE, res, m->namespace, m->name);
    i->body = intent_text(rc, res->desc, obj);
    i->subresource = subresource;
    return i;
}

struct intent *intend_patch(struct reconcile *rc, const struct resource_def *res, struct str ns,
                            struct str name, const char *subresource, enum client_patch type,
                            struct str body)
{
    struct intent *i = intent_add(rc, INTENT_PATCH, res, ns, name);
    i->subresource = subresource;
    i->patch = type;
    i->body = arena_str(rc->arena, body);
    return i;
}

struct intent *intend_delete(struct reconcile *rc, const struct resource_def *res, struct str ns,
                             struct str name, const struct client_delete *how)
{
    struct intent *i = intent_add(rc, INTENT_DELETE, res, ns, name);
    i->how = how ? *how : (struct client_delete){.grace_s = -1};
    i->how.uid = arena_str(rc->arena, i->how.uid);
    i->how.resource_version = arena_str(rc->arena, i->how.resource_version);
    i->fine = ERR_NOT_FOUND;
    return i;
}

struct intent *intend_delete_all(struct reconcile *rc, const struct resource_def *res,
                                 struct str ns)
{
    return intent_add(rc, INTENT_DELETE_ALL, res, ns, STR(""));
}

struct intent *intend_get(struct reconcile *rc, const struct resource_def *res, struct str ns,
                          struct str name)
{
    struct intent *i = intent_add(rc, INTENT_GET, res, ns, name);
    i->fine = ERR_NOT_FOUND;
    return i;
}

struct intent *intend_list(struct reconcile *rc, const struct resource_def *res, struct str ns,
                           uint32_t limit)
{
    struct intent *i = intent_add(rc, INTENT_LIST, res, ns, STR(""));
    i->limit = limit;
    return i;
}

void intent_then(struct intent *i, intent_fn *fn, void *arg)
{
    i->then = fn;
    i->arg = arg;
}

void intend_batch_begin(struct reconcile *rc)
{
    rc->batch = ++rc->batches;
}

void intend_batch_end(struct reconcile *rc)
{
    rc->batch = 0;
}

void intend_requeue(struct reconcile *rc, int64_t after_ms)
{
    if (rc->requeue_ms < 0 || after_ms < rc->requeue_ms)
        rc->requeue_ms = MAX(after_ms, 0);
}

static void drop_item(void *arg)
{
    item_unref(arg);
}

struct item *reconcile_hold(struct reconcile *rc, struct item *i)
{
    arena_on_free(rc->arena, drop_item, item_ref(i));
    return i;
}

void reconcile_event(struct reconcile *rc, const struct resource_def *res, struct item *obj,
                     const char *type, const char *reason, const char *fmt, ...)
{
    const struct controller_def *d = rc->c->def;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB(16));
    struct event_source from = {.component = d->component
                                                 ? str_z(d->component)
                                                 : arena_fmt(rc->arena, "%s-controller", d->name)};
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(&text, fmt, ap);
    va_end(ap);
    client_event(rc->m->client, &from, res, obj, STR(""), type, reason, "%.*s",
                 STR_ARG(buf_view(&text)));
}

/* ---- debts ---- */

static struct cache *cache_of(struct runner *r, const struct resource_def *res)
{
    struct source *s;
    list_each (s, &r->sources, link)
        if (cache_resource(s->cache) == res)
            return s->cache;
    return NULL;
}

static void owe_revision(struct work_key *k, struct cache *cache, rev_t rev)
{
    if (cache_revision(cache) >= rev)
        return;
    LIST_EACH (d, &k->debts) {
        if (d->cache == cache && !d->uid) {
            d->rev = MAX(d->rev, rev);
            return;
        }
    }
    vec_push(&k->debts, ((struct debt){.cache = cache, .rev = rev}));
}

/* The answer to a complete delete names no revision: the cache must lose the object. */
static void owe_absence(struct work_key *k, struct cache *cache, const struct intent *i)
{
    struct item *there = cache_get(cache, i->ns, i->name);
    struct metav1_object_meta m;
    if (!there)
        return;
    item_meta(&k->arena, there, &m);
    vec_push(&k->debts, ((struct debt){.cache = cache,
                                       .ns = xasprintf("%.*s", STR_ARG(i->ns)),
                                       .name = xasprintf("%.*s", STR_ARG(i->name)),
                                       .uid = xasprintf("%.*s", STR_ARG(m.uid))}));
}

static void owe(struct work_key *k, const struct intent *i, struct item *item)
{
    struct cache *cache = cache_of(k->r, i->res);
    if (!cache || i->kind == INTENT_DELETE_ALL || i->kind == INTENT_GET || i->kind == INTENT_LIST)
        return;
    if (item)
        owe_revision(k, cache, item->mod_rev);
    else if (i->kind == INTENT_DELETE)
        owe_absence(k, cache, i);
}

static bool debt_paid(const struct debt *d)
{
    if (!d->uid)
        return cache_revision(d->cache) >= d->rev;
    struct item *there = cache_get(d->cache, str_z(d->ns), str_z(d->name));
    if (!there)
        return true;
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    item_meta(&scratch, there, &m);
    bool paid = !str_eqz(m.uid, d->uid);
    arena_fini(&scratch);
    return paid;
}

static void debt_fini(struct debt *d)
{
    free(d->ns);
    free(d->name);
    free(d->uid);
}

static void debts_forget(struct work_key *k)
{
    LIST_EACH (d, &k->debts)
        debt_fini(d);
    vec_free(&k->debts);
}

static bool debts_paid(struct work_key *k)
{
    while (k->debts.n && debt_paid(&k->debts.v[k->debts.n - 1]))
        debt_fini(&k->debts.v[--k->debts.n]);
    return k->debts.n == 0;
}

/* ---- the states of a key ---- */

static void runner_run(struct task *t);

static void runner_kick(struct runner *r)
{
    loop_defer(client_loop(r->m->client), &r->run, runner_run);
}

static void key_free(struct work_key *k)
{
    struct arena scratch = ARENA_INIT;
    map_remove(&k->r->keys, arena_fmt(&scratch, "%s/%s", k->ns, k->name));
    arena_fini(&scratch);
    while (!list_empty(&k->sent)) {
        struct intent *i = list_entry(list_pop_front(&k->sent), struct intent, link);
        call_cancel(i->call);
    }
    timer_stop(&k->timer);
    list_remove(&k->link);
    debts_forget(k);
    arena_fini(&k->arena);
    free(k->ns);
    free(k->name);
    free(k);
}

static void key_ready(struct work_key *k)
{
    timer_stop(&k->timer);
    list_remove(&k->link);
    k->wanted = false;
    k->state = KEY_READY;
    list_push_back(&k->r->ready, &k->link);
    runner_kick(k->r);
}

static void timer_over(struct timer *t);

/* Waits for the caches to see what the key wrote. The timer is against a server that never sends
 * it. */
static void key_settle(struct work_key *k, bool wanted)
{
    list_remove(&k->link);
    k->wanted = wanted;
    k->state = KEY_SETTLING;
    list_push_back(&k->r->settling, &k->link);
    if (wanted)
        timer_start(loop_of(k), &k->timer, CACHE_WAIT_MAX_MS, timer_over);
}

static void key_wake(struct work_key *k)
{
    if (debts_paid(k))
        key_ready(k);
    else
        key_settle(k, true);
}

static void timer_over(struct timer *t)
{
    struct work_key *k = CONTAINER_OF(t, struct work_key, timer);
    if (k->state == KEY_SETTLING) {
        log_warn(k->r->c.def->name, "%s/%s: the caches do not catch up", k->ns, k->name);
        debts_forget(k);
    }
    key_wake(k);
}

static void key_delay(struct work_key *k, int64_t ms)
{
    k->state = KEY_DELAYED;
    timer_start(loop_of(k), &k->timer, ms, timer_over);
}

static void key_failed(struct work_key *k)
{
    int64_t delay = BACKOFF_MIN_MS, most = k->wanted ? BACKOFF_CHANGED_MAX_MS : BACKOFF_MAX_MS;
    for (uint32_t i = 0; i < k->failures && delay < most; i++)
        delay *= 2;
    if (!k->failures++)
        k->r->failing++;
    key_delay(k, MIN(delay, most));
}

static void key_end(struct work_key *k)
{
    struct runner *r = k->r;
    int64_t requeue_ms = k->rc.requeue_ms;
    arena_fini(&k->arena);
    r->running--;
    k->state = KEY_IDLE;
    runner_kick(r);
    if (k->failure < 0 && !k->pointless) {
        key_failed(k);
        return;
    }
    if (k->failures)
        r->failing--;
    k->failures = 0;
    if (k->wanted)
        key_wake(k);
    else if (requeue_ms >= 0)
        key_delay(k, requeue_ms);
    else if (!debts_paid(k))
        key_settle(k, false);
    else
        key_free(k);
}

/* A cache went on: keys that waited for it may go on too. */
static void runner_settle(struct runner *r)
{
    struct work_key *k, *next;
    list_each_safe (k, next, &r->settling, link) {
        if (!debts_paid(k))
            continue;
        if (k->wanted)
            key_ready(k);
        else
            key_free(k);
    }
}

/* ---- carrying out ---- */

static void key_go_on(struct work_key *k);

static void log_failure(struct work_key *k, const struct err *e)
{
    bool usual = e->code == ERR_CONFLICT || e->code == ERR_NOT_FOUND || e->code == ERR_FORBIDDEN;
    log_at(usual ? LOG_DEBUG : LOG_WARN, k->r->c.def->name, "%s/%s: %.*s", k->ns, k->name,
           STR_ARG(e->message));
}

static void intent_done(void *arg, int rc, struct item *item, const struct err *e)
{
    struct intent *i = arg;
    struct work_key *k = i->key;
    list_remove(&i->link);
    k->n_sent--;
    if (rc == 0 || (enum err_code) - rc == i->fine) {
        owe(k, i, item);
    } else {
        if (!k->failure) {
            k->failure = rc;
            k->pointless = err_has_cause(e, "NamespaceTerminating");
            log_failure(k, e);
        }
        k->rc.next = NULL;
    }
    if (i->then)
        i->then(&k->rc, i->arg, rc, item, e);
    key_go_on(k);
}

static struct call *intent_send(struct intent *i)
{
    struct client *c = i->key->r->m->client;
    switch (i->kind) {
    case INTENT_CREATE: return client_create_json(c, i->res, i->ns, i->body, intent_done, i);
    case INTENT_UPDATE:
        return client_update_json(c, i->res, i->ns, i->name, i->subresource, i->body, intent_done,
                                  i);
    case INTENT_PATCH:
        return client_patch(c, i->res, i->ns, i->name, i->subresource, i->patch, i->body,
                            intent_done, i);
    case INTENT_DELETE: return client_delete(c, i->res, i->ns, i->name, &i->how, intent_done, i);
    case INTENT_DELETE_ALL: return client_delete_all(c, i->res, i->ns, intent_done, i);
    case INTENT_GET: return client_get(c, i->res, i->ns, i->name, intent_done, i);
    case INTENT_LIST: return client_list(c, i->res, i->ns, i->limit, intent_done, i);
    }
    never("an intent of no kind");
}

/* Sends what may be under way now. */
static void key_go_on(struct work_key *k)
{
    uint32_t batch = k->n_sent ? list_entry(k->sent.next, struct intent, link)->batch : 0;
    while (k->rc.next) {
        struct intent *i = k->rc.next;
        if (k->n_sent && (!batch || i->batch != batch || k->n_sent >= BATCH_PARALLEL_MAX))
            return;
        k->rc.next = i->next;
        batch = i->batch;
        list_push_back(&k->sent, &i->link);
        k->n_sent++;
        i->call = intent_send(i);
    }
    if (!k->n_sent)
        key_end(k);
}

/* ---- running keys ---- */

static bool all_synced(struct runner *r)
{
    struct source *s;
    list_each (s, &r->sources, link)
        if (!cache_synced(s->cache))
            return false;
    return true;
}

static void key_run(struct work_key *k)
{
    struct runner *r = k->r;
    k->state = KEY_RUNNING;
    k->failure = 0;
    k->pointless = false;
    r->running++;
    arena_init(&k->arena, ARENA_CAP_DEFAULT);
    k->rc = (struct reconcile){.c = &r->c,
                               .m = r->m,
                               .arena = &k->arena,
                               .ns = str_z(k->ns),
                               .name = str_z(k->name),
                               .now = loop_wall(loop_of(k)),
                               .requeue_ms = -1};
    r->c.def->reconcile(&k->rc);
    key_go_on(k);
}

static void runner_run(struct task *t)
{
    struct runner *r = CONTAINER_OF(t, struct runner, run);
    if (!all_synced(r))
        return; /* source_synced kicks again */
    while (r->running < r->m->parallel_max && !list_empty(&r->ready))
        key_run(list_entry(list_pop_front(&r->ready), struct work_key, link));
    item_views_trim();
}

void controller_enqueue(struct controller *c, struct str ns, struct str name)
{
    struct runner *r = CONTAINER_OF(c, struct runner, c);
    struct arena scratch = ARENA_INIT;
    struct str key = arena_fmt(&scratch, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name));
    struct work_key *k = map_get(&r->keys, key);
    if (!k) {
        k = xcalloc(1, sizeof *k);
        k->r = r;
        k->ns = xasprintf("%.*s", STR_ARG(ns));
        k->name = xasprintf("%.*s", STR_ARG(name));
        list_init(&k->sent);
        map_put(&r->keys, key, k);
    }
    arena_fini(&scratch);
    switch (k->state) {
    case KEY_READY: return;
    case KEY_RUNNING: k->wanted = true; return;
    case KEY_SETTLING:
        if (!k->wanted)
            key_settle(k, true);
        return;
    case KEY_IDLE:
    case KEY_DELAYED: key_wake(k); return;
    }
}

void item_names(const struct item *i, struct str *ret_ns, struct str *ret_name)
{
    struct str key = item_key(i), head;
    ptrdiff_t at = str_rindex(key, '/');
    *ret_name = str_sub(key, (size_t)(at + 1), key.n);
    head = str_sub(key, 0, (size_t)MAX(at, 0));
    *ret_ns = str_sub(head, (size_t)(str_rindex(head, '/') + 1), head.n);
}

void controller_enqueue_item(struct controller *c, struct item *i)
{
    struct str ns, name;
    item_names(i, &ns, &name);
    controller_enqueue(c, ns, name);
}

void map_self(struct controller *c, struct item *old, struct item *now)
{
    controller_enqueue_item(c, now ? now : old);
}

const struct metav1_owner_reference *controller_of(const struct metav1_object_meta *m)
{
    LIST_EACH (o, &m->owner_references)
        if (o->controller && *o->controller)
            return o;
    return NULL;
}

void enqueue_controller(struct controller *c, struct item *i, const char *kind)
{
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    item_meta(&scratch, i, &m);
    const struct metav1_owner_reference *o = controller_of(&m);
    if (o && str_eqz(o->kind, kind))
        controller_enqueue(c, m.namespace, o->name);
    arena_fini(&scratch);
}

/* ---- the manager ---- */

const struct resource_def *resource_named(const char *resource)
{
    struct str rest = str_z(resource), parts[3], part;
    size_t n = 0;
    while (n < 3 && str_next(&rest, '/', &part))
        parts[n++] = part;
    const struct resource_def *d = n == 3 ? resource_find(parts[0], parts[1], parts[2])
                                          : resource_find(STR(""), parts[0], parts[1]);
    must(d != NULL);
    return d;
}

static void source_event(void *arg, struct item *old, struct item *now)
{
    struct source *s = arg;
    if (s->map)
        s->map(&s->r->c, old, now);
}

static void source_synced(void *arg)
{
    struct source *s = arg;
    runner_kick(s->r);
}

static void source_progress(void *arg)
{
    struct source *s = arg;
    runner_settle(s->r);
}

struct cache *controller_watch_def(struct controller *c, const struct resource_def *res,
                                   map_fn *map)
{
    struct runner *r = CONTAINER_OF(c, struct runner, c);
    struct source *s = xcalloc(1, sizeof *s);
    s->r = r;
    s->map = map;
    s->cache = client_cache(r->m->client, res, STR(""), STR(""));
    s->handler = (struct cache_handler){
        .event = source_event, .synced = source_synced, .progress = source_progress, .arg = s};
    list_push_back(&r->sources, &s->link);
    cache_handle(s->cache, &s->handler);
    return s->cache;
}

struct cache *controller_watch(struct controller *c, const char *resource, map_fn *map)
{
    return controller_watch_def(c, resource_named(resource), map);
}

struct manager *manager_new(const struct manager_config *c,
                            const struct controller_def *const *defs, size_t n)
{
    struct manager *m = xcalloc(1, sizeof *m);
    m->client = c->client;
    m->arena = ARENA_INIT;
    m->ca_pem = arena_str(&m->arena, c->ca_pem);
    m->parallel_max = c->parallel_max ? c->parallel_max : PARALLEL_DEFAULT;
    m->runners = xcalloc(n, sizeof *m->runners);
    m->n = n;
    for (size_t i = 0; i < n; i++) {
        struct runner *r = &m->runners[i];
        r->m = m;
        r->c = (struct controller){.def = defs[i], .m = m};
        list_init(&r->sources);
        list_init(&r->ready);
        list_init(&r->settling);
        defs[i]->start(&r->c);
    }
    return m;
}

static void runner_free(struct runner *r)
{
    task_cancel(&r->run);
    while (!list_empty(&r->sources)) {
        struct source *s = list_entry(list_pop_front(&r->sources), struct source, link);
        cache_unhandle(&s->handler);
        free(s);
    }
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&r->keys, &it));)
        key_free(e->value);
    map_fini(&r->keys);
    if (r->c.def->stop)
        r->c.def->stop(&r->c);
}

void manager_free(struct manager *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        runner_free(&m->runners[i]);
    free(m->runners);
    arena_fini(&m->arena);
    free(m);
}

struct client *manager_client(struct manager *m)
{
    return m->client;
}

struct str manager_ca(struct manager *m)
{
    return m->ca_pem;
}

bool manager_idle(const struct manager *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct runner *r = &m->runners[i];
        if (r->running || r->failing || !list_empty(&r->ready) || !list_empty(&r->settling))
            return false;
    }
    return true;
}
