/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and loading, closing, statistics. */
#include "store/core.h"
#include "store/sort.h"

enum { RING_EVENTS_DEFAULT = 100000, RING_BYTES_DEFAULT = 32 << 20 };

/* ---- loading ---- */

struct load {
    VEC(struct item *) items; /* one for each row */
    rev_t last;
};

static bool row_plausible(const struct row *r, const struct load *load)
{
    rev_t rev = row_rev(r->id);
    return r->key.n > 0 && r->key.n <= STORE_KEY_MAX && rev > 0 && rev >= load->last &&
           r->create_rev > 0 && r->create_rev <= rev && r->head.n <= STORE_VALUE_MAX &&
           (r->splice_at == SIZE_MAX || r->splice_at <= r->head.n);
}

static int load_row(void *arg, const struct row *r, struct err *e)
{
    struct load *load = arg;
    if (!row_plausible(r, load))
        return err_set(e, ERR_STORE_CORRUPT, "row %lld makes no sense", (long long)r->id);
    struct item_spec spec = {
        .key = r->key,
        .create_rev = r->create_rev,
        .mod_rev = row_rev(r->id),
        .place = row_place(r->id),
        .flags = r->deleted ? ITEM_DELETED : 0,
    };
    item_spec_value(&spec, r->head, r->splice_at);
    struct item *i = item_new(&spec);
    if (!i)
        return err_set(e, ERR_LIMIT, "out of memory after %zu rows", load->items.n);
    vec_push(&load->items, i);
    load->last = spec.mod_rev;
    return 0;
}

static void discard(struct store *s, struct item *i)
{
    garbage_add(&s->garbage, item_id(i), item_size(i));
    item_unref(i);
}

/* Keeps the newest item of each key, unless it is a delete's. Returns how many are kept. */
static size_t keep_newest(struct store *s, struct item **v, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool newest = i + 1 == n || !str_eq(item_key(v[i]), item_key(v[i + 1]));
        if (newest && !item_deleted(v[i])) {
            s->stats.item_bytes += item_size(v[i]);
            v[kept++] = v[i];
            continue;
        }
        discard(s, v[i]);
    }
    return kept;
}

static int load(struct store *s, struct err *e)
{
    struct load load = {0};
    rev_t reserved = 0;
    int rc = s->backend->ops->load(s->backend, load_row, &load, &reserved, e);
    if (rc == 0) {
        items_sort(load.items.v, load.items.n);
        size_t n = keep_newest(s, load.items.v, load.items.n);
        index_build(&s->index, (void **)load.items.v, n);
    } else {
        LIST_EACH (i, &load.items)
            item_unref(*i);
    }
    vec_free(&load.items);
    s->assigned = s->visible = s->floor = MAX(MAX(reserved, load.last), 1);
    ring_init(&s->ring, s->visible);
    return rc;
}

/* ---- opening and closing ---- */

static void store_free(struct store *s)
{
    task_cancel(&s->next_job);
    task_cancel(&s->settle);
    watches_free_all(s);
    watches_fini(&s->watches);
    write_abandon(s);
    ring_fini(&s->ring);
    index_fini(&s->index);
    free(s);
}

static int backend_open(struct loop *l, const struct store_config *c, struct backend **ret,
                        struct err *e)
{
    if (!c->backend && strcmp(c->path, ":memory:") != 0)
        return sqlite_backend_open(l, c->path, ret, e);
    *ret = c->backend ? c->backend : memory_backend_open(l);
    return 0;
}

int store_open(struct loop *l, const struct store_config *c, struct store **ret, struct err *e)
{
    struct backend *b;
    int rc = backend_open(l, c, &b, e);
    if (rc)
        return rc;
    struct store *s = xcalloc(1, sizeof *s);
    s->loop = l;
    s->backend = b;
    s->ring_events_max = c->ring_events_max ? c->ring_events_max : RING_EVENTS_DEFAULT;
    s->ring_bytes_max = c->ring_bytes_max ? c->ring_bytes_max : RING_BYTES_DEFAULT;
    index_init(&s->index);
    watches_init(&s->watches);
    write_init(s);
    rc = load(s, e);
    if (rc) {
        b->ops->drain(b);
        b->ops->close(b);
        store_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    must(!s->closing && !s->reading && !s->watches.passing && s->watches.groups.n == 0);
    s->closing = true;
    s->backend->ops->drain(s->backend);
    backup_cancel(s);
    write_flush(s);
    run_finished(s);
    s->backend->ops->close(s->backend);
    store_free(s);
}

void store_abandon(struct store *s)
{
    s->backend->ops->abandon(s->backend);
    backup_forget(s);
    store_free(s);
}

/* ---- looking ---- */

rev_t store_revision(const struct store *s)
{
    return s->visible;
}

rev_t store_oldest(const struct store *s)
{
    return s->ring.oldest;
}

void store_stats(const struct store *s, struct store_stats *ret)
{
    *ret = s->stats;
    ret->keys = s->index.count;
    ret->ring_events = ring_count(&s->ring);
    ret->ring_bytes = s->ring.bytes;
    ret->superseded_rows = garbage_count(&s->garbage);
}

struct str store_failure(const struct store *s)
{
    return str_z(s->failure);
}
