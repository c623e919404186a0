/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h: revisioned key-value with watch, in the model of etcd v3.
 *
 * One writer process. The current state lives in memory as immutable, reference-counted items in
 * key order; the back-end (SQLite: store_sqlite.c) makes it durable. Writes are transactions that
 * compare before they put; they are checked at once against memory (including writes that are
 * still on their way to disk), get their revision at once, are committed in batches (one
 * transaction and one fsync for all that came in meanwhile: group commit), and their callbacks run
 * only when durable, in order of revision. Readers and watchers see a write when it is durable,
 * never before.
 *
 * Every change gets one revision, strictly rising, also across restarts and crashes. Recent changes
 * stay in a ring, which serves watches from a revision and ranges at a revision. What left the
 * ring is compacted: such reads fail with ERR_EXPIRED.
 *
 * Volatile puts (STORE_VOLATILE: leases, heartbeats) do not touch the disk by themselves: they are
 * visible at once, ride along with nothing, and after a crash the last durable value of the key is
 * back. They are written at an orderly close. Revisions stay monotonic because the durable file
 * reserves them in blocks.
 *
 * Runs on one loop; not thread-safe. Knows nothing of Kubernetes: keys and values are bytes. The
 * key is "<prefix>/<namespace>/<name>"-like text chosen by the server; the *prefix* of a watch or
 * range is a plain byte prefix.
 */
#ifndef BARQUE_STORE_STORE_H
#define BARQUE_STORE_STORE_H

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

typedef int64_t rev_t;

struct store;

/* One revision of one key. Immutable; shared by reference between the current state, the ring,
 * watchers and in-process readers. */
struct item {
    uint32_t refs;        /* private */
    uint32_t key_len;
    uint32_t value_len;
    uint32_t flags;       /* private */
    rev_t create_rev;     /* revision that created the key */
    rev_t mod_rev;        /* revision of this value */
    void *user;           /* the reader's cached view; freed by store_config.free_user */
    size_t user_size;     /* bytes that `user` holds, for accounting */
    char bytes[];         /* key, then value; each followed by a NUL */
};
static inline struct str item_key(const struct item *i)
{
    return str_n(i->bytes, i->key_len);
}
static inline struct str item_value(const struct item *i)
{
    return str_n(i->bytes + i->key_len + 1, i->value_len);
}
struct item *item_ref(struct item *i);
void item_unref(struct item *i); /* NULL allowed */

struct store_config {
    const char *path;         /* database file; ":memory:" for none */
    uint32_t ring_events_max; /* default 100000 */
    size_t ring_bytes_max;    /* values held only by the ring; default 32 MiB */
    void (*free_user)(void *user);
    /* Values are stored as given, except that the revision (decimal text) is put in at offset
     * `splice_at` given with the put, so that what is in memory is complete: see struct put. */
};

/* Opens or creates the database, loads it. Errors: ERR_STORE_CORRUPT with what to do next, ERR_IO
 * (unwritable, disk full, locked by another process: says which). */
int store_open(struct loop *l, const struct store_config *c, struct store **ret, struct err *e)
    MUST_USE;
/* Commits what is queued, writes volatile values, closes. Callbacks of queued writes run. */
void store_close(struct store *s);

/* Newest revision that is durable (or volatile) and visible. */
rev_t store_revision(const struct store *s);
/* Oldest revision from which a watch or a range can be served. */
rev_t store_oldest(const struct store *s);

/* ---- reading (from memory; never blocks) ---- */

/* Borrowed until the next return to the loop; NULL when absent. */
struct item *store_get(struct store *s, struct str key);
/* As store_get, but with writes that are not durable yet: the value a compare would meet. */
struct item *store_get_pending(struct store *s, struct str key);

struct store_range {
    struct str prefix;   /* keys that start with it */
    struct str after;    /* only keys greater than this (continue); may be empty */
    rev_t at;            /* 0: now */
    size_t limit;        /* 0: none */
};
/* Calls fn for each item in key order until it returns false. Returns 0 or -ERR_EXPIRED (at is
 * compacted) or -ERR_TIMEOUT (at is in the future). */
int store_each(struct store *s, const struct store_range *r,
               bool (*fn)(void *arg, struct item *i), void *arg) MUST_USE;
/* Number of keys with the prefix now. O(log n + depth). */
size_t store_count(struct store *s, struct str prefix);

/* ---- writing ---- */

enum put_flag {
    STORE_VOLATILE = 1, /* see the top */
    STORE_DELETE = 2,   /* value is ignored */
};

/* One write of a transaction. */
struct put {
    struct str key, value;
    rev_t expect_mod_rev;  /* compare: 0 key must be absent; -1 no compare; else exact */
    uint32_t flags;        /* enum put_flag */
    /* Where in `value` the decimal revision is inserted when the item is made (etcd keeps it
     * outside the value; readers want it inside). SIZE_MAX: nowhere. The durable form holds the
     * value without it, plus this offset. */
    size_t splice_at;
};

enum store_outcome {
    STORE_OK = 0,
    STORE_CONFLICT = 1, /* a compare failed; `item` is the pending or current value, or NULL */
};

/* Called exactly once, from the loop, when durable (or at once when every put is volatile).
 * outcome: enum store_outcome or -ERR_IO / -ERR_LIMIT (disk full: nothing of it is visible).
 * item: the last put's new item (borrowed), NULL for a delete. */
typedef void store_done_fn(void *arg, int outcome, struct item *item, rev_t rev);

/* All puts of one call share one revision and become visible together. A conflict is reported by
 * the return value STORE_CONFLICT and no callback comes. n_puts <= STORE_TXN_PUTS_MAX. Key and
 * value bytes are copied. */
enum { STORE_TXN_PUTS_MAX = 128, STORE_KEY_MAX = 1024, STORE_VALUE_MAX = 8 << 20 };
int store_write(struct store *s, const struct put *puts, size_t n_puts, struct item **ret_conflict,
                store_done_fn *done, void *arg) MUST_USE;

/* ---- watching ---- */

struct store_event {
    struct item *item; /* new value; for a delete an item that has mod_rev = the delete's revision
                          and the value before it (its spliced revision replaced) */
    struct item *prev; /* value before, or NULL when created */
    bool deleted;
    rev_t rev;
};

struct store_watch;
/* Events of keys with the prefix and rev > since, in order, nothing twice. fn runs from the loop,
 * in batches: it gets as many events as are there, at most WATCH_BATCH_MAX; returning false
 * pauses the watch until store_watch_resume (back-pressure: the watch stays a cursor in the ring,
 * and dies with ERR_EXPIRED through `expired` when it falls out). progress: called after the
 * events of a commit were offered to a watch that is fully caught up, with the revision reached. */
struct store_watch_ops {
    bool (*events)(void *arg, const struct store_event *v, size_t n);
    void (*progress)(void *arg, rev_t rev); /* may be NULL */
    void (*expired)(void *arg);             /* the watch is dead; store_watch_stop it */
};
int store_watch_start(struct store *s, struct str prefix, rev_t since,
                      const struct store_watch_ops *ops, void *arg, struct store_watch **ret,
                      struct err *e) MUST_USE;
void store_watch_resume(struct store_watch *w);
/* Revision up to which this watch has been handed everything. */
rev_t store_watch_revision(const struct store_watch *w);
void store_watch_stop(struct store_watch *w);

/* ---- operations ---- */

struct store_stats {
    size_t keys, item_bytes, ring_events, ring_bytes, user_bytes;
    uint64_t commits, puts, volatile_puts, fsync_ns_total, bytes_written;
};
void store_stats(const struct store *s, struct store_stats *ret);
/* A consistent copy into a new file (backup). Blocking work runs on the pool. */
void store_backup(struct store *s, const char *path, void (*done)(void *arg, int error), void *arg);

#endif
