/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch: a cursor into the store's ring. Events are the store's bytes with a frame around them;
 * a client that does not read stops its own cursor and nobody else's.
 */
#include "server/impl.h"
#include "server/select.h"
#include "server/table.h"

enum {
    WATCH_QUEUE_BYTES_MAX = 256 << 10,     /* unsent bytes at which the cursor stops */
    WATCH_TIMEOUT_MIN_MS = 30 * 60 * 1000, /* upstream's --min-request-timeout */
    BOOKMARK_INTERVAL_MS = 60 * 1000,
};

struct watch {
    struct request *r;
    struct store_watch *cursor;
    struct selection sel;
    struct timer timeout;
    struct task closing;
    bool columns_sent;
    int64_t last_sent_ms;
    rev_t last_sent;
};

static void watch_free(struct watch *w)
{
    timer_stop(&w->timeout);
    task_cancel(&w->closing);
    if (w->cursor)
        store_watch_stop(w->cursor);
    w->cursor = NULL;
}

static void watch_end(struct watch *w)
{
    struct request *r = w->r;
    watch_free(w);
    r->on_abort = NULL;
    r->on_drained = NULL;
    r->responder->end(r);
}

static void timed_out(struct timer *t)
{
    watch_end(CONTAINER_OF(t, struct watch, timeout));
}

static void end_later(struct task *t)
{
    watch_end(CONTAINER_OF(t, struct watch, closing));
}

static void aborted(struct request *r)
{
    watch_free(r->stage);
    request_free(r);
}

static void drained(struct request *r)
{
    struct watch *w = r->stage;
    if (w->cursor)
        store_watch_resume(w->cursor);
}

/* ---- frames ---- */

/* WatchEvent {1 type, 2 object RawExtension {1 raw}} behind its length (four bytes, big endian). */
static size_t send_pb(struct watch *w, const char *type, struct str object)
{
    CLEANUP(pb_out_fini) struct pb_out o;
    pb_out_init(&o, BUF_CAP_DEFAULT);
    pb_put_bytes_field(&o, 1, object);
    pb_put_message_header(&o, 2, 0);
    pb_put_bytes_field(&o, 1, str_z(type));
    uint32_t n = (uint32_t)pb_out_len(&o);
    char head[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    struct str parts[] = {{head, 4}, pb_out_view(&o)};
    return w->r->responder->write(w->r, parts, 2);
}

static size_t send_frame(struct watch *w, const char *type, struct str object)
{
    struct request *r = w->r;
    w->last_sent_ms = loop_now_ms(r->server->loop);
    if (r->out == FORMAT_PB)
        return send_pb(w, type, object);
    if (r->out == FORMAT_YAML) {
        struct str parts[] = {STR("type: "), str_z(type), STR("\nobject:\n"), object, STR("---\n")};
        return r->responder->write(r, parts, ARRAY_LEN(parts));
    }
    struct str parts[] = {STR("{\"type\":\""), str_z(type), STR("\",\"object\":"), object,
                          STR("}\n")};
    return r->responder->write(r, parts, ARRAY_LEN(parts));
}

static struct str event_body(struct watch *w, struct item *i)
{
    struct request *r = w->r;
    if (r->shape != SHAPE_TABLE)
        return item_body(r, i);
    struct str text = table_event(r, item_in_version(r, i), !w->columns_sent);
    w->columns_sent = true;
    return text;
}

static void send_error(struct watch *w)
{
    struct metav1_status st;
    status_from_err(w->r, &st);
    (void)send_frame(w, "ERROR", encode_typed(w->r, &metav1_status_desc, &st));
}

/* An object with nothing but kind, apiVersion and the revision reached. */
static void send_bookmark(struct watch *w, rev_t rev, bool initial_end)
{
    struct request *r = w->r;
    struct str rv = arena_fmt(r->arena, "%lld", (long long)rev);
    w->last_sent = rev;
    if (r->shape == SHAPE_TABLE) {
        (void)send_frame(w, "BOOKMARK", table_bookmark(r, rv));
        return;
    }
    struct object *o = object_new(r->res, r->arena);
    o->meta->resource_version = rv;
    if (initial_end)
        str_map_set(r->arena, &o->meta->annotations, STR("k8s.io/initial-events-end"), STR("true"));
    (void)send_frame(w, "BOOKMARK", object_body(r, o));
}

/* ---- events ---- */

static bool offer(struct watch *w, const struct store_event *ev)
{
    struct resource *res = w->r->res;
    bool now = !ev->deleted && selection_matches(&w->sel, res, ev->item);
    bool before = ev->prev && selection_matches(&w->sel, res, ev->prev);
    if (ev->deleted && !ev->prev)
        before = selection_matches(&w->sel, res, ev->item);
    if (!now && !before)
        return true;
    const char *type = now ? (before ? "MODIFIED" : "ADDED") : "DELETED";
    struct item *shown = ev->item;
    w->last_sent = ev->rev;
    return send_frame(w, type, event_body(w, shown)) <= WATCH_QUEUE_BYTES_MAX;
}

static bool events(void *arg, const struct store_event *v, size_t n)
{
    struct watch *w = arg;
    bool room = true;
    for (size_t i = 0; i < n; i++)
        room &= offer(w, &v[i]);
    return room;
}

/* Bookmarks ride on commits: an idle cluster has no news to bookmark. */
static void progress(void *arg, rev_t rev)
{
    struct watch *w = arg;
    if (!w->r->opts.allow_bookmarks || rev <= w->last_sent ||
        loop_now_ms(w->r->server->loop) - w->last_sent_ms < BOOKMARK_INTERVAL_MS)
        return;
    send_bookmark(w, rev, false);
}

static void expired(void *arg)
{
    struct watch *w = arg;
    (void)err_set(&w->r->err, ERR_EXPIRED, "too old resource version: %lld (%lld)",
                  (long long)store_watch_revision(w->cursor),
                  (long long)store_oldest(w->r->server->store));
    send_error(w);
    loop_defer(w->r->server->loop, &w->closing, end_later);
}

static const struct store_watch_ops watch_ops = {events, progress, expired};

static bool send_added(void *arg, struct item *i)
{
    struct watch *w = arg;
    if (selection_matches(&w->sel, w->r->res, i))
        (void)send_frame(w, "ADDED", event_body(w, i));
    return true;
}

/* ---- starting ---- */

static int check_options(struct request *r)
{
    const struct options *o = &r->opts;
    if (!o->has_send_initial_events)
        return o->resource_version_match.n
                   ? err_set(&r->err, ERR_INVALID,
                             "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
                             "for watch unless sendInitialEvents is provided")
                   : 0;
    if (!str_eq(o->resource_version_match, STR("NotOlderThan")))
        return err_set(&r->err, ERR_INVALID,
                       "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
                       "resourceVersionMatch to NotOlderThan");
    if (o->send_initial_events && !o->allow_bookmarks)
        return err_set(&r->err, ERR_INVALID,
                       "allowWatchBookmarks: Invalid value: false: sendInitialEvents requires "
                       "allowWatchBookmarks");
    return 0;
}

/* The current state as ADDED events, then (if asked for) the bookmark that ends it. */
static rev_t send_state(struct watch *w)
{
    struct request *r = w->r;
    struct store_range all = {.prefix = selection_prefix(&w->sel, r)};
    rev_t rev = store_revision(r->server->store);
    must(store_each(r->server->store, &all, send_added, w) == 0);
    w->last_sent = rev;
    if (r->opts.send_initial_events)
        send_bookmark(w, rev, true);
    return rev;
}

static struct str stream_type(const struct request *r)
{
    switch (r->out) {
    case FORMAT_PB: return STR("application/vnd.kubernetes.protobuf;stream=watch");
    case FORMAT_YAML: return STR("application/yaml;stream=watch");
    case FORMAT_JSON:
    case FORMAT_OTHER: return STR("application/json");
    }
    never("format");
}

static void start_timeout(struct watch *w)
{
    struct loop *l = w->r->server->loop;
    int64_t ms = w->r->opts.timeout_s * 1000;
    if (!ms || w->r->opts.timeout_s > INT32_MAX)
        ms = WATCH_TIMEOUT_MIN_MS + (int64_t)(loop_random_u64(l) % WATCH_TIMEOUT_MIN_MS);
    timer_start(l, &w->timeout, ms, timed_out);
}

void verb_watch(struct request *r)
{
    rev_t since;
    struct watch *w = arena_new(r->arena, struct watch);
    w->r = r;
    if (request_revision(r, &since) < 0 || check_options(r) < 0 || selection_init(&w->sel, r) < 0) {
        respond_error(r);
        return;
    }
    struct http_headers h = {0};
    if (r->out == FORMAT_PB && (!r->res->desc || r->shape == SHAPE_TABLE))
        r->out = FORMAT_JSON;
    r->responded = true;
    r->stage = w;
    r->on_abort = aborted;
    r->on_drained = drained;
    r->responder->start(r, 200, stream_type(r), &h);
    start_timeout(w);
    w->last_sent_ms = loop_now_ms(r->server->loop);
    bool state = r->opts.has_send_initial_events ? r->opts.send_initial_events : since == 0;
    if (state)
        since = send_state(w);
    else if (since == 0)
        since = store_revision(r->server->store);
    if (store_watch_start(r->server->store, selection_prefix(&w->sel, r), since, &watch_ops, w,
                          &w->cursor, &r->err) < 0) {
        (void)err_set(&r->err, ERR_EXPIRED, "too old resource version: %lld (%lld)",
                      (long long)since, (long long)store_oldest(r->server->store));
        send_error(w);
        loop_defer(r->server->loop, &w->closing, end_later);
    }
}
