/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "base/log.h"
#include "base/map.h"
#include "controller/controller.h"

enum {
    BACKOFF_MIN_MS = 5,
    BACKOFF_MAX_MS = 1000 * 1000,
    CACHE_WAIT_MAX_MS = 5000, /* against a server whose revisions we cannot trust */
    PARALLEL_DEFAULT = 8,
};

enum intent_kind { INTENT_CREATE, INTENT_UPDATE, INTENT_PATCH, INTENT_DELETE, INTENT_EVENT };

struct intent {
    struct intent *next;
    enum intent_kind kind;
    const struct resource_def *res;
    struct str ns, name;
    const char *subresource;
    const void *obj;
    enum client_patch patch;
    struct str body;
    struct client_delete how;
    bool may_exist;
    bool on_failure;
    struct item *about; /* of an event */
    const char *type, *reason;
    struct str message;
};

/* One key of one controller, from its first event until it has nothing to do and nothing owed. */
struct work_key {
    struct runner *r;
    struct list link; /* in runner.ready */
    char *ns, *name;
    bool queued; /* waits or will run again */
    bool running;
    uint32_t failures;
    struct timer delay; /* back-off, requeue, or waiting for the caches */
    struct arena arena; /* of the present run */
    struct reconcile rc;
    struct intent *at; /* being carried out */
    int64_t requeue_ms;
    /* What this key wrote last, by cache: it runs again when they have caught up. */
    struct {
        struct cache *cache;
        rev_t rev;
    } owed[4];
    size_t n_owed;
    int64_t owed_since_ms;
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
    struct list ready;
    struct task run;
    uint32_t running;
};

struct manager {
    struct client *client;
    struct arena arena;
    struct str ca_pem;
    uint32_t parallel_max;
    struct runner *runners;
    size_t n;
};

static void runner_kick(struct runner *r);

/* ---- intents ---- */

static struct intent *intent_add(struct reconcile *rc, enum intent_kind kind,
                                 const struct resource_def *res, struct str ns)
{
    struct intent *i = arena_new(rc->arena, struct intent);
    i->kind = kind;
    i->res = res;
    i->ns = ns;
    if (!rc->tail)
        rc->tail = &rc->intents;
    *rc->tail = i;
    rc->tail = &i->next;
    return i;
}

void intend_create(struct reconcile *rc, const struct resource_def *res, struct str ns,
                   const void *obj)
{
    intent_add(rc, INTENT_CREATE, res, ns)->obj = obj;
}

void intend_create_if_absent(struct reconcile *rc, const struct resource_def *res, struct str ns,
                             const void *obj)
{
    struct intent *i = intent_add(rc, INTENT_CREATE, res, ns);
    i->obj = obj;
    i->may_exist = true;
}

static const struct metav1_object_meta *meta_of(const struct resource_def *res, const void *obj)
{
    const struct field *f = desc_field(res->desc, STR("metadata"));
    return (const void *)((const char *)obj + f->offset);
}

void intend_update(struct reconcile *rc, const struct resource_def *res, const void *obj,
                   const char *subresource)
{
    const struct metav1_object_meta *m = meta_of(res, obj);
    struct intent *i = intent_add(rc, INTENT_UPDATE, res, m->namespace);
    i->name = m->name;
    i->obj = obj;
    i->subresource = subresource;
}

void intend_patch(struct reconcile *rc, const struct resource_def *res, struct str ns,
                  struct str name, const char *subresource, enum client_patch type, struct str body)
{
    struct intent *i = intent_add(rc, INTENT_PATCH, res, ns);
    i->name = name;
    i->subresource = subresource;
    i->patch = type;
    i->body = body;
}

void intend_delete(struct reconcile *rc, const struct resource_def *res, struct str ns,
                   struct str name, const struct client_delete *how)
{
    struct intent *i = intent_add(rc, INTENT_DELETE, res, ns);
    i->name = name;
    i->how = how ? *how : (struct client_delete){.grace_s = -1};
}

static void drop_item(void *arg)
{
    item_unref(arg);
}

static struct intent *event_add(struct reconcile *rc, const struct resource_def *res,
                                struct item *obj)
{
    struct intent *i = intent_add(rc, INTENT_EVENT, res, STR(""));
    i->about = item_ref(obj);
    arena_on_free(rc->arena, drop_item, obj);
    return i;
}

void intend_event(struct reconcile *rc, const struct resource_def *res, struct item *obj,
                  const char *type, const char *reason, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct intent *i = event_add(rc, res, obj);
    i->type = type;
    i->reason = reason;
    i->message = arena_cstr(rc->arena, text);
}

void intend_event_on_failure(struct reconcile *rc, const struct resource_def *res, struct item *obj,
                             const char *reason, const char *what)
{
    struct intent *i = event_add(rc, res, obj);
    i->on_failure = true;
    i->type = "Warning";
    i->reason = reason;
    i->message = str_z(what);
}

void intend_requeue(struct reconcile *rc, int64_t after_ms)
{
    if (rc->requeue_ms < 0 || after_ms < rc->requeue_ms)
        rc->requeue_ms = after_ms;
}

/* ---- carrying out ---- */

static struct cache *cache_of(struct runner *r, const struct resource_def *res)
{
    struct source *s;
    list_each (s, &r->sources, link)
        if (cache_resource(s->cache) == res)
            return s->cache;
    return NULL;
}

static void owe(struct work_key *k, const struct resource_def *res, rev_t rev)
{
    struct cache *cache = cache_of(k->r, res);
    if (!cache || rev == 0)
        return;
    k->owed_since_ms = loop_now_ms(client_loop(k->r->m->client));
    for (size_t i = 0; i < k->n_owed; i++) {
        if (k->owed[i].cache == cache) {
            k->owed[i].rev = MAX(k->owed[i].rev, rev);
            return;
        }
    }
    if (k->n_owed < ARRAY_LEN(k->owed)) {
        k->owed[k->n_owed].cache = cache;
        k->owed[k->n_owed++].rev = rev;
    }
}

static bool caught_up(struct work_key *k)
{
    for (size_t i = 0; i < k->n_owed; i++)
        if (cache_revision(k->owed[i].cache) < k->owed[i].rev)
            return false;
    k->n_owed = 0;
    return true;
}

static void key_ready(struct work_key *k)
{
    k->queued = true;
    timer_stop(&k->delay);
    if (!k->running && !list_linked(&k->link))
        list_push_back(&k->r->ready, &k->link);
    runner_kick(k->r);
}

static void delay_over(struct timer *t)
{
    key_ready(CONTAINER_OF(t, struct work_key, delay));
}

static void key_free(struct work_key *k)
{
    struct arena scratch = ARENA_INIT;
    map_remove(&k->r->keys, arena_fmt(&scratch, "%s/%s", k->ns, k->name));
    arena_fini(&scratch);
    timer_stop(&k->delay);
    list_remove(&k->link);
    arena_fini(&k->arena);
    free(k->ns);
    free(k->name);
    free(k);
}

static void key_end(struct work_key *k, int rc)
{
    struct runner *r = k->r;
    struct loop *l = client_loop(r->m->client);
    k->running = false;
    r->running--;
    arena_fini(&k->arena);
    if (rc < 0) {
        int64_t delay = BACKOFF_MIN_MS;
        for (uint32_t i = 0; i < k->failures && delay < BACKOFF_MAX_MS; i++)
            delay *= 2;
        k->failures++;
        timer_start(l, &k->delay, MIN(delay, BACKOFF_MAX_MS), delay_over);
    } else {
        k->failures = 0;
        if (k->queued)
            key_ready(k);
        else if (k->requeue_ms >= 0)
            timer_start(l, &k->delay, k->requeue_ms, delay_over);
        else if (k->n_owed == 0)
            key_free(k);
    }
    runner_kick(r);
}

static void key_next(struct work_key *k);

static void log_failure(struct work_key *k, const struct err *e)
{
    enum log_level level =
        e->code == ERR_CONFLICT || e->code == ERR_NOT_FOUND ? LOG_DEBUG : LOG_WARN;
    log_at(level, k->r->c.def->name, "%s/%s: %.*s", k->ns, k->name, STR_ARG(e->message));
}

static void post_event(struct work_key *k, const struct intent *i, struct str message)
{
    struct arena scratch = ARENA_INIT;
    struct event_source from = {.component =
                                    arena_fmt(&scratch, "%s-controller", k->r->c.def->name)};
    client_event(k->r->m->client, &from, i->res, i->about, STR(""), i->type, i->reason, "%.*s",
                 STR_ARG(message));
    arena_fini(&scratch);
}

static void intent_done(void *arg, int rc, struct item *item, const struct err *e)
{
    struct work_key *k = arg;
    struct intent *i = k->at;
    bool fine = rc == 0 || (i->may_exist && rc == -ERR_ALREADY_EXISTS) ||
                (i->kind == INTENT_DELETE && rc == -ERR_NOT_FOUND);
    if (fine) {
        if (item)
            owe(k, i->res, item->mod_rev);
        k->at = i->next;
        key_next(k);
        return;
    }
    log_failure(k, e);
    for (struct intent *f = i->next; f && f->kind == INTENT_EVENT; f = f->next)
        if (f->on_failure)
            post_event(k, f,
                       arena_fmt(&k->arena, "%.*s%.*s", STR_ARG(f->message), STR_ARG(e->message)));
    key_end(k, rc);
}

static void key_next(struct work_key *k)
{
    struct client *c = k->r->m->client;
    struct intent *i = k->at;
    while (i && i->kind == INTENT_EVENT) {
        if (!i->on_failure)
            post_event(k, i, i->message);
        k->at = i = i->next;
    }
    if (!i) {
        key_end(k, 0);
        return;
    }
    switch (i->kind) {
    case INTENT_CREATE: client_create(c, i->res, i->ns, i->obj, intent_done, k); return;
    case INTENT_UPDATE:
        client_update(c, i->res, i->ns, i->name, i->subresource, i->obj, intent_done, k);
        return;
    case INTENT_PATCH:
        client_patch(c, i->res, i->ns, i->name, i->subresource, i->patch, i->body, intent_done, k);
        return;
    case INTENT_DELETE: client_delete(c, i->res, i->ns, i->name, &i->how, intent_done, k); return;
    case INTENT_EVENT: never("events were taken above");
    }
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
    struct loop *l = client_loop(r->m->client);
    if (!caught_up(k) && loop_now_ms(l) - k->owed_since_ms < CACHE_WAIT_MAX_MS) {
        /* The event that the cache still has to see will wake the key; the timer is for a server
         * that never sends it. */
        timer_start(l, &k->delay, CACHE_WAIT_MAX_MS, delay_over);
        return;
    }
    k->queued = false;
    k->running = true;
    r->running++;
    k->n_owed = 0;
    arena_init(&k->arena, ARENA_CAP_DEFAULT);
    k->rc = (struct reconcile){.c = &r->c,
                               .m = r->m,
                               .arena = &k->arena,
                               .ns = str_z(k->ns),
                               .name = str_z(k->name),
                               .now = loop_wall(l),
                               .requeue_ms = -1};
    r->c.def->reconcile(&k->rc);
    k->requeue_ms = k->rc.requeue_ms;
    k->at = k->rc.intents;
    key_next(k);
}

static void runner_run(struct task *t)
{
    struct runner *r = CONTAINER_OF(t, struct runner, run);
    if (!all_synced(r))
        return; /* `synced` kicks again */
    while (r->running < r->m->parallel_max && !list_empty(&r->ready)) {
        struct work_key *k = list_entry(list_pop_front(&r->ready), struct work_key, link);
        key_run(k);
    }
    item_views_trim();
}

static void runner_kick(struct runner *r)
{
    loop_defer(client_loop(r->m->client), &r->run, runner_run);
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
        map_put(&r->keys, key, k);
    }
    arena_fini(&scratch);
    /* A key that backs off keeps its delay: an event does not make a refused write good. */
    if (k->failures && timer_active(&k->delay)) {
        k->queued = true;
        return;
    }
    key_ready(k);
}

void controller_enqueue_item(struct controller *c, struct item *i)
{
    struct str key = item_key(i), head, name, ns;
    ptrdiff_t at = str_rindex(key, '/');
    name = str_sub(key, (size_t)(at + 1), key.n);
    head = str_sub(key, 0, (size_t)MAX(at, 0));
    ns = str_sub(head, (size_t)(str_rindex(head, '/') + 1), head.n);
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
    if (!list_empty(&s->r->ready))
        runner_kick(s->r);
}

static void source_synced(void *arg)
{
    struct source *s = arg;
    runner_kick(s->r);
}

struct cache *controller_watch(struct controller *c, const char *resource, map_fn *map)
{
    struct runner *r = CONTAINER_OF(c, struct runner, c);
    struct source *s = xcalloc(1, sizeof *s);
    s->r = r;
    s->map = map;
    s->cache = client_cache(r->m->client, resource_named(resource), STR(""), STR(""));
    s->handler = (struct cache_handler){source_event, source_synced, s};
    list_push_back(&r->sources, &s->link);
    cache_handle(s->cache, &s->handler);
    return s->cache;
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
    for (size_t i = 0; i < m->n; i++)
        if (m->runners[i].running || !list_empty(&m->runners[i].ready))
            return false;
    return true;
}
