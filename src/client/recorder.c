/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: what happened to an object, for people. Equal ones within ten minutes are counted in one
 * object; an object that makes too many is cut off for a while (client-go's tools/record: bursts
 * of 25, then one in five minutes).
 */
#include <stdarg.h>

#include "api/corev1.h"
#include "client/impl.h"

enum {
    SAME_WINDOW_MS = 10 * 60 * 1000,
    SPAM_BURST = 25,
    SPAM_REFILL_MS = 5 * 60 * 1000,
    MEMORY_MAX = 2048, /* remembered events; the oldest is forgotten */
};

struct memory {
    struct list lru;
    struct recorder *r;
    char *key;
    char *ns, *name; /* of the Event object */
    int32_t count;
    int64_t last_ms;
};

struct budget {
    double tokens;
    int64_t at_ms;
};

struct recorder {
    struct client *client;
    struct map memories; /* what is equal -> struct memory */
    struct map budgets;  /* source and object -> struct budget */
    struct list lru;
};

static struct recorder *recorder_of(struct client *c)
{
    if (!c->recorder) {
        c->recorder = xcalloc(1, sizeof *c->recorder);
        c->recorder->client = c;
        list_init(&c->recorder->lru);
    }
    return c->recorder;
}

static void forget(struct memory *m)
{
    list_remove(&m->lru);
    map_remove(&m->r->memories, str_z(m->key));
    free(m->key);
    free(m->ns);
    free(m->name);
    free(m);
}

void recorder_free(struct recorder *r)
{
    uint32_t it = 0;
    if (!r)
        return;
    while (!list_empty(&r->lru))
        forget(list_entry(list_first(&r->lru), struct memory, lru));
    for (struct map_entry *e; (e = map_next(&r->budgets, &it));)
        free(e->value);
    map_fini(&r->memories);
    map_fini(&r->budgets);
    free(r);
}

static bool within_budget(struct recorder *r, struct str key)
{
    int64_t now = loop_now_ms(r->client->loop);
    struct budget *b = map_get(&r->budgets, key);
    if (!b) {
        if (r->budgets.count >= MEMORY_MAX) {
            uint32_t it = 0;
            for (struct map_entry *e; (e = map_next(&r->budgets, &it));)
                free(e->value);
            map_clear(&r->budgets);
        }
        b = xcalloc(1, sizeof *b);
        *b = (struct budget){SPAM_BURST, now};
        map_put(&r->budgets, key, b);
    }
    b->tokens = MIN((double)SPAM_BURST, b->tokens + (double)(now - b->at_ms) / SPAM_REFILL_MS);
    b->at_ms = now;
    if (b->tokens < 1)
        return false;
    b->tokens -= 1;
    return true;
}

/* An event is best effort: a failed one is not tried again. */
static void posted(void *arg, int rc, struct item *item, const struct err *e)
{
}

static const struct resource_def *events_def(void)
{
    return resource_find(STR(""), STR("v1"), STR("events"));
}

static void count_up(struct recorder *r, struct memory *m, struct wall now, struct str message)
{
    char time[WALL_TEXT_MAX];
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(16));
    wall_format(time, now);
    buf_fmt(&b, "{\"count\":%d,\"lastTimestamp\":\"%s\",\"message\":", m->count, time);
    json_put_string(&b, message);
    buf_c(&b, '}');
    client_patch(r->client, events_def(), str_z(m->ns), str_z(m->name), NULL, CLIENT_PATCH_MERGE,
                 buf_view(&b), posted, r);
}

static struct memory *remember(struct recorder *r, struct str key, struct str ns, struct str name)
{
    struct memory *m = xcalloc(1, sizeof *m);
    if (r->memories.count >= MEMORY_MAX)
        forget(list_entry(list_first(&r->lru), struct memory, lru));
    m->r = r;
    m->key = xasprintf("%.*s", STR_ARG(key));
    m->ns = xasprintf("%.*s", STR_ARG(ns));
    m->name = xasprintf("%.*s", STR_ARG(name));
    map_put(&r->memories, key, m);
    list_push_back(&r->lru, &m->lru);
    return m;
}

static void fill(struct corev1_event *ev, struct arena *a, const struct event_source *from,
                 const struct resource_def *res, const struct metav1_object_meta *m,
                 struct str field_path)
{
    ev->kind = STR("Event");
    ev->api_version = STR("v1");
    ev->metadata.namespace = m->namespace.n ? m->namespace : STR("default");
    ev->involved_object.kind = str_z(res->kind);
    ev->involved_object.api_version = api_version_join(a, str_z(res->group), str_z(res->version));
    ev->involved_object.namespace = m->namespace;
    ev->involved_object.name = m->name;
    ev->involved_object.uid = m->uid;
    ev->involved_object.resource_version = m->resource_version;
    ev->involved_object.field_path = field_path;
    ev->source.component = from->component;
    ev->source.host = from->host;
    ev->reporting_component = from->component;
    ev->reporting_instance = from->host;
}

void client_event(struct client *c, const struct event_source *from, const struct resource_def *res,
                  struct item *obj, struct str field_path, const char *type, const char *reason,
                  const char *fmt, ...)
{
    struct recorder *r = recorder_of(c);
    struct arena a = ARENA_INIT;
    struct corev1_event ev = {0};
    struct metav1_object_meta meta;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB(4));
    struct wall now = loop_wall(c->loop);
    va_list ap;
    now.ns = 0;
    va_start(ap, fmt);
    buf_vfmt(&text, fmt, ap);
    va_end(ap);
    struct str message = str_sub(buf_view(&text), 0, 1024); /* the API's limit */
    item_meta(&a, obj, &meta);
    fill(&ev, &a, from, res, &meta, field_path);
    ev.type = str_z(type);
    ev.reason = str_z(reason);
    ev.message = message;
    ev.first_timestamp = ev.last_timestamp = now;
    ev.count = 1;
    struct str who = arena_fmt(&a, "%.*s|%.*s|%.*s", STR_ARG(from->component), STR_ARG(from->host),
                               STR_ARG(meta.uid));
    struct str key = arena_fmt(&a, "%.*s|%.*s|%s|%s|%.*s", STR_ARG(who), STR_ARG(field_path), type,
                               reason, STR_ARG(message));
    struct memory *m = map_get(&r->memories, key);
    if (m && loop_now_ms(c->loop) - m->last_ms > SAME_WINDOW_MS) {
        forget(m);
        m = NULL;
    }
    if (within_budget(r, who)) {
        if (m) {
            m->count++;
            count_up(r, m, now, message);
        } else {
            ev.metadata.name = arena_fmt(&a, "%.*s.%016llx", STR_ARG(meta.name),
                                         (unsigned long long)loop_random_u64(c->loop));
            m = remember(r, key, ev.metadata.namespace, ev.metadata.name);
            m->count = 1;
            client_create(c, events_def(), ev.metadata.namespace, &ev, posted, r);
        }
        m->last_ms = loop_now_ms(c->loop);
    }
    arena_fini(&a);
}
