/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path of a write.
 *
 * A transaction is checked against the newest state of its keys, visible or still queued, gets its
 * revision and joins the queue. Durable ones are committed in batches, one batch at a time, each
 * taking all that came in during the one before. The queue is published strictly from the front:
 * a volatile transaction needs no commit but waits for the ones before it, so that nobody ever
 * sees revisions out of order.
 *
 * When a batch fails, its transactions fail, and so do those behind it that were checked against
 * values which now never come to be: the rest of the queue is checked again by identity of the
 * items.
 */
#include "store/core.h"

enum txn_state { TXN_QUEUED, TXN_IN_BATCH, TXN_COMMITTED, TXN_FAILED };

struct change {
    struct item *item; /* new; of a delete the delete's item */
    struct item *base; /* what it was checked against; NULL: the key was never there */
};

struct txn {
    struct list link; /* store.queue, then store.finished */
    rev_t rev;
    enum txn_state state;
    int outcome;
    bool durable; /* needs a commit */
    size_t bytes;
    store_done_fn *done;
    void *arg;
    size_t n;
    struct change changes[];
};

/* The newest item of the key, which may be that of a delete. */
static struct item *newest(struct store *s, struct str key)
{
    struct item *i = map_get(&s->pending, key);
    return i ? i : index_get(&s->index, key);
}

static struct item *unless_deleted(struct item *i)
{
    return i && !item_deleted(i) ? i : NULL;
}

struct item *store_get_pending(struct store *s, struct str key)
{
    return unless_deleted(newest(s, key));
}

/* ---- checking and queueing ---- */

static bool put_deletes(const struct put *p)
{
    return p->flags & STORE_DELETE;
}

static bool conflicts(const struct put *p, const struct item *now)
{
    if (put_deletes(p) && !now)
        return true;
    if (p->expect_mod_rev < 0)
        return false;
    return p->expect_mod_rev != (now ? now->mod_rev : 0);
}

/* With an external arbiter this is a forecast only: its answer decides. */
static bool txn_conflicts(struct store *s, const struct put *puts, size_t n,
                          struct item **ret_conflict)
{
    for (size_t i = 0; i < n; i++) {
        struct item *now = store_get_pending(s, puts[i].key);
        if (!conflicts(&puts[i], now))
            continue;
        if (ret_conflict)
            *ret_conflict = now;
        return true;
    }
    return false;
}

static bool fits(const struct put *puts, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        size_t value_n = put_deletes(&puts[i]) ? 0 : puts[i].value.n;
        if (puts[i].key.n == 0 || puts[i].key.n > STORE_KEY_MAX || value_n > STORE_VALUE_MAX)
            return false;
        bytes += value_n;
    }
    return bytes <= STORE_TXN_BYTES_MAX;
}

/* Does the put change anything on disk, were it alone? */
static bool needs_row(const struct put *p, const struct item *base)
{
    if (put_deletes(p))
        return item_durable_id(base) != 0;
    return !(p->flags & STORE_VOLATILE);
}

static struct item *change_item(const struct txn *t, size_t place, const struct put *p,
                                struct item *base)
{
    struct item *live = unless_deleted(base);
    struct item_spec spec = {
        .key = p->key,
        .create_rev = live ? live->create_rev : t->rev,
        .mod_rev = t->rev,
        .place = (uint8_t)place,
    };
    if (put_deletes(p)) {
        item_raw_value(live, &spec);
        spec.flags = ITEM_DELETED;
    } else {
        item_spec_value(&spec, p->value, p->splice_at);
    }
    if (!t->durable) {
        spec.flags |= ITEM_VOLATILE;
        spec.hidden = live ? item_durable_id(live) : 0;
    }
    return item_new(&spec);
}

static void txn_free(struct txn *t)
{
    for (size_t i = 0; i < t->n; i++) {
        item_unref(t->changes[i].item);
        item_unref(t->changes[i].base);
    }
    free(t);
}

/* Gives the transaction its revision and makes its items. False when memory is out. */
static bool txn_settle(struct store *s, struct txn *t, const struct put *puts)
{
    t->rev = ++s->assigned;
    for (size_t i = 0; i < t->n; i++) {
        struct change *c = &t->changes[i];
        c->item = change_item(t, i, &puts[i], c->base);
        if (!c->item)
            return false;
        t->bytes += item_size(c->item);
    }
    return true;
}

/* NULL when memory is out. */
static struct txn *txn_new(struct store *s, const struct put *puts, size_t n)
{
    struct txn *t = xcalloc(1, sizeof *t + n * sizeof t->changes[0]);
    t->n = n;
    for (size_t i = 0; i < n; i++) {
        struct item *base = newest(s, puts[i].key);
        t->changes[i].base = base ? item_ref(base) : NULL;
        t->durable |= needs_row(&puts[i], base);
    }
    if (txn_settle(s, t, puts))
        return t;
    txn_free(t);
    return NULL;
}

/* From now on these are the newest items of their keys. */
static void add_pending(struct store *s, const struct txn *t)
{
    for (size_t i = 0; i < t->n; i++) {
        struct item *was = map_put(&s->pending, item_key(t->changes[i].item), t->changes[i].item);
        must(!was || was->mod_rev != t->rev); /* the keys of one call differ */
    }
}

static void advance(struct store *s);
static void start_next_job(struct store *s);

static void run_next_job(struct task *task)
{
    start_next_job(CONTAINER_OF(task, struct store, next_job));
}

void jobs_soon(struct store *s)
{
    if (!s->busy)
        loop_defer(s->loop, &s->next_job, run_next_job);
}

int store_write(struct store *s, const struct put *puts, size_t n_puts, struct item **ret_conflict,
                store_done_fn *done, void *arg)
{
    must(!s->reading && n_puts > 0 && n_puts <= STORE_TXN_PUTS_MAX);
    if (s->closing)
        return -ERR_UNAVAILABLE;
    if (!fits(puts, n_puts) || s->queued_bytes > STORE_QUEUE_BYTES_MAX)
        return -ERR_LIMIT;
    if (txn_conflicts(s, puts, n_puts, ret_conflict))
        return STORE_CONFLICT;
    struct txn *t = txn_new(s, puts, n_puts);
    if (!t)
        return -ERR_LIMIT;
    t->done = done;
    t->arg = arg;
    list_push_back(&s->queue, &t->link);
    s->queued_bytes += t->bytes;
    add_pending(s, t);
    if (!t->durable && s->floor - t->rev < RESERVE_REVS / 4)
        s->want_reserve = true;
    advance(s);
    if (t->durable || s->want_reserve)
        jobs_soon(s);
    return STORE_OK;
}

/* ---- publishing ---- */

static void count_change(struct store *s, const struct item *item, const struct item *old)
{
    if (old) {
        s->stats.item_bytes -= item_size(old);
        s->volatile_items -= item_volatile(old);
    }
    if (item_deleted(item))
        return;
    s->stats.item_bytes += item_size(item);
    s->volatile_items += item_volatile(item);
}

/* Which rows the change has left behind. A volatile item keeps the row that it hides. */
static void note_garbage(struct store *s, const struct item *item, const struct item *old)
{
    int64_t old_id = old ? item_durable_id(old) : 0;
    if (item_volatile(item) || !old_id)
        return;
    garbage_add(&s->garbage, old_id, item_size(old));
    if (item_deleted(item))
        garbage_add(&s->garbage, item_id(item), item->key_len);
}

static void publish_change(struct store *s, struct change *c)
{
    struct item *item = c->item;
    bool deleted = item_deleted(item);
    struct str key = item_key(item);
    struct item *old =
        deleted ? index_remove(&s->index, key) : index_put(&s->index, item_ref(item));
    must(old == unless_deleted(c->base));
    count_change(s, item, old);
    note_garbage(s, item, old);
    struct store_event ev = {
        .item = item_ref(item), .prev = old, .deleted = deleted, .rev = item->mod_rev};
    watches_note(s, ring_push(&s->ring, ev));
    if (map_get(&s->pending, key) == item)
        map_remove(&s->pending, key);
}

static void publish(struct store *s, struct txn *t)
{
    for (size_t i = 0; i < t->n; i++)
        publish_change(s, &t->changes[i]);
    s->visible = t->rev;
    if (!t->durable)
        s->stats.volatile_puts += t->n;
}

static bool publishable(const struct store *s, const struct txn *t)
{
    return t->state == TXN_COMMITTED || (!t->durable && t->rev <= s->floor);
}

/* Publishes what can be, from the front; callbacks come later, from settle. */
static void advance(struct store *s)
{
    bool moved = false;
    while (!list_empty(&s->queue)) {
        struct txn *t = list_entry(list_first(&s->queue), struct txn, link);
        if (t->state != TXN_FAILED && !publishable(s, t))
            break;
        if (t->state != TXN_FAILED)
            publish(s, t);
        list_remove(&t->link);
        list_push_back(&s->finished, &t->link);
        s->queued_bytes -= t->bytes;
        moved = true;
    }
    if (moved)
        settle_soon(s);
}

static void settle(struct task *task)
{
    struct store *s = CONTAINER_OF(task, struct store, settle);
    run_finished(s);
    watches_pass(s);
}

void settle_soon(struct store *s)
{
    if (!s->closing)
        loop_defer(s->loop, &s->settle, settle);
}

static void finish(struct txn *t)
{
    struct item *last = t->changes[t->n - 1].item;
    bool ok = t->outcome == STORE_OK;
    if (t->done)
        t->done(t->arg, t->outcome, ok ? unless_deleted(last) : NULL, t->rev);
    txn_free(t);
}

void run_finished(struct store *s)
{
    struct list due, *l; /* what callbacks add waits for the next round */
    list_init(&due);
    while ((l = list_pop_front(&s->finished)))
        list_push_back(&due, l);
    while ((l = list_pop_front(&due)))
        finish(list_entry(l, struct txn, link));
}

/* ---- committing ---- */

static void add_row(struct store *s, const struct item *i)
{
    struct item_spec raw;
    item_raw_value(i, &raw);
    struct row r = {
        .id = item_id(i),
        .create_rev = i->create_rev,
        .key = item_key(i),
        .deleted = item_deleted(i),
        .splice_at = SIZE_MAX,
    };
    if (!r.deleted) {
        r.head = raw.head;
        r.tail = raw.tail;
        r.splice_at = raw.spliced ? raw.head.n : SIZE_MAX;
    }
    vec_push(&s->rows, r);
}

/* A delete of what never reached the disk needs no row. */
static bool has_row(const struct change *c)
{
    return !item_deleted(c->item) || item_durable_id(unless_deleted(c->base)) != 0;
}

/* Moves queued transactions into the batch; returns the bytes of its rows. */
static size_t collect_batch(struct store *s)
{
    size_t bytes = 0;
    struct txn *t;
    s->rows.n = 0;
    list_each (t, &s->queue, link) {
        if (!t->durable || t->state != TXN_QUEUED)
            continue;
        if (s->rows.n + t->n > BATCH_ROWS_MAX || (s->rows.n && bytes + t->bytes > BATCH_BYTES_MAX))
            break;
        for (size_t i = 0; i < t->n; i++)
            if (has_row(&t->changes[i]))
                add_row(s, t->changes[i].item);
        bytes += t->bytes;
        t->state = TXN_IN_BATCH;
    }
    return bytes;
}

static void finish_batch(struct store *s, int error)
{
    struct txn *t;
    list_each (t, &s->queue, link) {
        if (t->state != TXN_IN_BATCH)
            continue;
        t->state = error ? TXN_FAILED : TXN_COMMITTED;
        t->outcome = error;
        if (!error) {
            s->floor = MAX(s->floor, t->rev);
            s->stats.puts += t->n;
        }
    }
}

static bool still_holds(struct store *s, const struct txn *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct change *c = &t->changes[i];
        if (store_get_pending(s, item_key(c->item)) != unless_deleted(c->base))
            return false;
    }
    return true;
}

/* After a failed commit: what waits behind it must not build on it. A volatile transaction that
 * needed the reservation fails too, or it would have the commit tried again and again. */
static void recheck_queue(struct store *s, int error)
{
    map_clear(&s->pending);
    struct txn *t;
    list_each (t, &s->queue, link) {
        if (t->state == TXN_FAILED)
            continue;
        bool covered = t->durable || t->rev <= s->floor;
        if (covered && still_holds(s, t)) {
            add_pending(s, t);
            continue;
        }
        t->state = TXN_FAILED;
        t->outcome = error;
    }
}

static void commit_succeeded(struct store *s, const struct job *j)
{
    finish_batch(s, 0);
    s->floor = MAX(s->floor, j->reserve);
    garbage_dropped(&s->garbage, j->n_drop);
    s->stats.commits++;
    s->failure[0] = 0;
}

static void commit_failed(struct store *s, const struct job *j)
{
    memcpy(s->failure, j->why, sizeof s->failure);
    finish_batch(s, j->error);
    recheck_queue(s, j->error);
}

static void job_done(struct job *j)
{
    struct store *s = CONTAINER_OF(j, struct store, job);
    s->busy = false;
    s->untidy = j->untidy;
    if (j->kind == JOB_COMMIT)
        s->stats.commit_ns_total += (uint64_t)(loop_now_ns(s->loop) - s->job_ns);
    s->stats.bytes_written += j->bytes_written;
    if (j->kind == JOB_BACKUP)
        backup_progress(s, j);
    else if (j->kind == JOB_COMMIT && j->error)
        commit_failed(s, j);
    else if (j->kind == JOB_COMMIT)
        commit_succeeded(s, j);
    advance(s);
    if (!s->closing)
        start_next_job(s);
}

static bool prepare_commit(struct store *s, struct job *j)
{
    size_t bytes = collect_batch(s);
    bool low = s->floor - s->assigned < RESERVE_REVS / 2;
    bool due = s->rows.n || (s->want_reserve && low);
    s->want_reserve = false;
    if (!due)
        return false;
    j->kind = JOB_COMMIT;
    j->rows = s->rows.v;
    j->n_rows = s->rows.n;
    j->reserve = low ? s->assigned + RESERVE_REVS : 0;
    struct garbage_pace pace = {
        .live_rows = s->index.count,
        .live_bytes = s->stats.item_bytes,
        .new_rows = j->n_rows,
        .new_bytes = bytes,
    };
    j->n_drop = garbage_due(&s->garbage, &pace, &j->drop);
    return true;
}

static bool prepare_job(struct store *s, struct job *j)
{
    bool backup_turn = s->backup && s->job.kind != JOB_BACKUP; /* commits and a backup alternate */
    *j = (struct job){.done = job_done};
    if (s->untidy) {
        j->kind = JOB_TIDY;
        return true;
    }
    if (!backup_turn && prepare_commit(s, j))
        return true;
    if (!s->backup)
        return false;
    backup_prepare(s, j);
    return true;
}

static void start_next_job(struct store *s)
{
    struct job j;
    if (s->busy || !prepare_job(s, &j))
        return;
    s->job = j;
    s->busy = true;
    s->job_ns = loop_now_ns(s->loop);
    s->backend->ops->start(s->backend, &s->job);
}

/* ---- beginning and end ---- */

void write_init(struct store *s)
{
    list_init(&s->queue);
    list_init(&s->finished);
    s->pending = MAP_INIT_BORROWED;
}

static int flush_job(struct store *s, rev_t reserve)
{
    s->job = (struct job){.kind = JOB_COMMIT,
                          .done = job_done,
                          .rows = s->rows.v,
                          .n_rows = s->rows.n,
                          .reserve = reserve};
    s->job_ns = loop_now_ns(s->loop);
    s->backend->ops->start(s->backend, &s->job);
    s->rows.n = 0;
    return s->job.error;
}

/* Volatile items get their rows, under the revisions that readers know them by. */
static int flush_volatile(struct store *s)
{
    struct index_iter it;
    struct item *i;
    size_t bytes = 0;
    index_seek(&s->index, (struct bound){STR_NULL, BOUND_BEFORE}, &it);
    while ((i = index_next(&it))) {
        if (!item_volatile(i))
            continue;
        add_row(s, i);
        bytes += item_size(i);
        if (s->rows.n < BATCH_ROWS_MAX && bytes < BATCH_BYTES_MAX)
            continue;
        int error = flush_job(s, 0);
        if (error)
            return error;
        bytes = 0;
    }
    return s->rows.n ? flush_job(s, 0) : 0;
}

void write_flush(struct store *s)
{
    while (!list_empty(&s->queue))
        start_next_job(s);
    s->rows.n = 0; /* of the last batch */
    if (s->volatile_items && flush_volatile(s) != 0)
        return;
    /* All is in the rows now: nothing beyond the newest revision need stay reserved. */
    if (s->floor != s->assigned || s->volatile_items)
        (void)flush_job(s, s->assigned);
}

void write_abandon(struct store *s)
{
    struct list *first;
    while ((first = list_pop_front(&s->queue)) || (first = list_pop_front(&s->finished)))
        txn_free(list_entry(first, struct txn, link));
    map_fini(&s->pending);
    vec_free(&s->rows);
    garbage_fini(&s->garbage);
}
