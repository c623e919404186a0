/* SPDX-License-Identifier: Apache-2.0 */
#include "store/simdisk.h"

struct sim_row {
    struct row row; /* its strings point to bytes; the value is all in head */
    char bytes[];
};

struct sim_commit {
    struct list link; /* sim_disk.unsynced */
    VEC(struct sim_row *) rows;
    VEC(int64_t) drop;
    rev_t reserve;
};

struct sim_backend {
    struct backend base;
    struct loop *loop;
    struct sim_disk *disk; /* NULL: remembers nothing */
    struct timer timer;
    struct job *job; /* under way */
    bool drained;
};

static struct sim_backend *sim_of(struct backend *b)
{
    return CONTAINER_OF(b, struct sim_backend, base);
}

/* ---- the disk ---- */

static struct sim_row *row_copy(const struct row *r)
{
    struct sim_row *copy = xmalloc(sizeof *copy + r->key.n + r->head.n + r->tail.n);
    char *at = copy->bytes;
    copy->row = *r;
    const struct str parts[] = {r->key, r->head, r->tail};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].n)
            memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    copy->row.key = str_n(copy->bytes, r->key.n);
    copy->row.head = str_n(copy->bytes + r->key.n, r->head.n + r->tail.n);
    copy->row.tail = STR_NULL;
    return copy;
}

/* Number of rows with smaller ids. */
static size_t rows_below(const struct sim_disk *d, int64_t id)
{
    size_t lo = 0, hi = d->rows.n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (d->rows.v[mid]->row.id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void disk_put(struct sim_disk *d, struct sim_row *r)
{
    size_t at = rows_below(d, r->row.id);
    must(at == d->rows.n || d->rows.v[at]->row.id != r->row.id);
    vec_push(&d->rows, r);
    memmove(d->rows.v + at + 1, d->rows.v + at, (d->rows.n - 1 - at) * sizeof(struct sim_row *));
    d->rows.v[at] = r;
}

static void disk_drop(struct sim_disk *d, int64_t id)
{
    size_t at = rows_below(d, id);
    must(at < d->rows.n && d->rows.v[at]->row.id == id);
    free(d->rows.v[at]);
    d->rows.n--;
    memmove(d->rows.v + at, d->rows.v + at + 1, (d->rows.n - at) * sizeof(struct sim_row *));
}

static struct sim_commit *commit_new(struct sim_disk *d, const struct job *j)
{
    struct sim_commit *c = xcalloc(1, sizeof *c);
    for (size_t i = 0; i < j->n_rows; i++)
        vec_push(&c->rows, row_copy(&j->rows[i]));
    for (size_t i = 0; i < j->n_drop; i++)
        vec_push(&c->drop, j->drop[i]);
    c->reserve = j->reserve;
    list_push_back(&d->unsynced, &c->link);
    d->n_unsynced++;
    return c;
}

static void commit_remove(struct sim_disk *d, struct sim_commit *c)
{
    list_remove(&c->link);
    d->n_unsynced--;
    vec_free(&c->rows);
    vec_free(&c->drop);
    free(c);
}

static void commit_lose(struct sim_disk *d, struct sim_commit *c)
{
    LIST_EACH (r, &c->rows)
        free(*r);
    commit_remove(d, c);
}

static void sync_oldest(struct sim_disk *d)
{
    struct sim_commit *c = list_entry(list_first(&d->unsynced), struct sim_commit, link);
    LIST_EACH (r, &c->rows)
        disk_put(d, *r);
    LIST_EACH (id, &c->drop)
        disk_drop(d, *id);
    if (c->reserve)
        d->reserved = c->reserve;
    commit_remove(d, c);
}

static void sync_down_to(struct sim_disk *d, size_t left)
{
    while (d->n_unsynced > left)
        sync_oldest(d);
}

void sim_disk_init(struct sim_disk *d)
{
    *d = (struct sim_disk){0};
    list_init(&d->unsynced);
}

void sim_disk_fini(struct sim_disk *d)
{
    sim_disk_crash(d, 0);
    LIST_EACH (r, &d->rows)
        free(*r);
    vec_free(&d->rows);
}

size_t sim_disk_unsynced(const struct sim_disk *d)
{
    return d->n_unsynced;
}

void sim_disk_crash(struct sim_disk *d, size_t keep)
{
    while (keep-- && d->n_unsynced)
        sync_oldest(d);
    while (d->n_unsynced)
        commit_lose(d, list_entry(list_first(&d->unsynced), struct sim_commit, link));
}

size_t sim_disk_rows(const struct sim_disk *d)
{
    return d->rows.n;
}

/* ---- the back-end ---- */

static int sim_load(struct backend *base, int (*fn)(void *arg, const struct row *r, struct err *e),
                    void *arg, rev_t *ret_reserved, struct err *e)
{
    struct sim_disk *d = sim_of(base)->disk;
    if (!d)
        return 0;
    sync_down_to(d, 0);
    *ret_reserved = d->reserved;
    int rc = 0;
    for (size_t i = 0; i < d->rows.n && rc == 0; i++)
        rc = fn(arg, &d->rows.v[i]->row, e);
    return rc;
}

static int commit_end(struct sim_disk *d)
{
    if (d->fail_next == 0) {
        d->commits++;
        sync_down_to(d, d->unsynced_max);
        return 0;
    }
    d->fail_next--;
    commit_lose(d, list_entry(d->unsynced.prev, struct sim_commit, link));
    return -ERR_IO;
}

static void job_end(struct sim_backend *b)
{
    struct job *j = TAKE_PTR(b->job);
    if (j->kind == JOB_BACKUP)
        j->error = -ERR_BAD_REQUEST;
    else if (j->kind == JOB_COMMIT && b->disk)
        j->error = commit_end(b->disk);
    if (j->error)
        snprintf(j->why, sizeof j->why, "the simulated disk refused");
    j->done(j);
}

static void time_over(struct timer *t)
{
    job_end(CONTAINER_OF(t, struct sim_backend, timer));
}

static void sim_start(struct backend *base, struct job *j)
{
    struct sim_backend *b = sim_of(base);
    must(!b->job);
    b->job = j;
    if (j->kind == JOB_COMMIT && b->disk)
        commit_new(b->disk, j);
    if (b->drained)
        job_end(b);
    else
        timer_start(b->loop, &b->timer, b->disk ? b->disk->commit_ms : 0, time_over);
}

static void sim_drain(struct backend *base)
{
    struct sim_backend *b = sim_of(base);
    b->drained = true;
    timer_stop(&b->timer);
    if (b->job)
        job_end(b);
}

static void sim_abandon(struct backend *base)
{
    struct sim_backend *b = sim_of(base);
    timer_stop(&b->timer);
    free(b);
}

static void sim_close(struct backend *base)
{
    struct sim_backend *b = sim_of(base);
    must(!b->job);
    if (b->disk)
        sync_down_to(b->disk, 0);
    sim_abandon(base);
}

static const struct backend_ops sim_ops = {
    .load = sim_load,
    .start = sim_start,
    .drain = sim_drain,
    .close = sim_close,
    .abandon = sim_abandon,
};

struct backend *sim_disk_open(struct loop *l, struct sim_disk *d)
{
    struct sim_backend *b = xcalloc(1, sizeof *b);
    b->base.ops = &sim_ops;
    b->loop = l;
    b->disk = d;
    return &b->base;
}

struct backend *memory_backend_open(struct loop *l)
{
    return sim_disk_open(l, NULL);
}
