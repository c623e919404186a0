/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h: revisioned key-value with watch, in the model of etcd v3.
 *
 * One writer process. The current state lives in memory as immutable, reference-counted items in
 * key order; the back-end (SQLite: sqlite.c) makes it durable. Writes are transactions that
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
 * visible at once (behind writes that came before and are still on their way, so that revisions
 * become visible in order), and after a crash the last durable value of the key is back. They are
 * written at an orderly close. Revisions stay monotonic because the durable file reserves them in
 * blocks; only when a block runs low does a volatile put cause a commit. After a crash the
 * revision continues behind the reserved block.
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
struct backend;

/* What a reader keeps with an item: a decoded form, selector fields. Embedded in the reader's own
 * struct; free is called once, when the item's last reference goes (which may be after
 * store_close). */
struct item_view {
    void (*free)(struct item_view *v);
};

/* One revision of one key. Immutable but for `view`; shared by reference between the current
 * state, the ring, watchers and in-process readers. References are counted without atomics: an
 * item stays on its loop's thread. */
struct item {
    uint32_t refs; /* private */
    uint32_t value_len;
    uint32_t splice; /* private */
    uint16_t key_len;
    uint8_t place;          /* private */
    uint8_t flags;          /* private */
    rev_t create_rev;       /* revision that created the key */
    rev_t mod_rev;          /* revision of this value */
    struct item_view *view; /* the reader's; NULL until a reader sets it */
    char bytes[];           /* key, then value; each followed by a NUL */
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
    struct backend *backend;  /* instead of a file, e.g. a simulated disk (store/simdisk.h); taken
                                 by store_open, also when it fails */
    uint32_t ring_events_max; /* 0: 100000 */
    size_t ring_bytes_max;    /* values held only by the ring; 0: 32 MiB */
};

/* Opens or creates the database, loads it. Errors: ERR_STORE_CORRUPT with what to do next, ERR_IO
 * (unwritable, disk full, locked by another process: says which). Blocks while it loads. */
int store_open(struct loop *l, const struct store_config *c, struct store **ret,
               struct err *e) MUST_USE;
/* Commits what is queued, writes volatile values, closes. Blocks meanwhile. Callbacks of queued
 * writes run inside; writes that they try fail with ERR_UNAVAILABLE; a backup under way ends with
 * ERR_CANCELED. All watches must have been stopped. Not from inside a callback of this store.
 * Items stay valid for those who hold references. */
void store_close(struct store *s);

/* Newest revision that is durable (or volatile) and visible. A new database starts at 1. */
rev_t store_revision(const struct store *s);
/* Oldest revision from which a watch or a range can be served. After an orderly close this is the
 * revision of the close: a reader that had seen all may go on. */
rev_t store_oldest(const struct store *s);

/* ---- reading (from memory; never blocks) ---- */

/* Borrowed until the next return to the loop (or take a reference); NULL when absent. */
struct item *store_get(struct store *s, struct str key);
/* As store_get, but with writes that are not durable yet: the value a compare would meet. */
struct item *store_get_pending(struct store *s, struct str key);

struct store_range {
    struct str prefix; /* keys that start with it */
    struct str after;  /* only keys greater than this (continue); may be empty */
    rev_t at;          /* 0: now */
    size_t limit;      /* 0: none */
};
/* Calls fn for each item in key order until it returns false. Returns 0 or -ERR_EXPIRED (at is
 * compacted) or -ERR_TIMEOUT (at is in the future). fn must not write to the store. A past
 * revision costs, on top, a look at each event since. */
int store_each(struct store *s, const struct store_range *r, bool (*fn)(void *arg, struct item *i),
               void *arg) MUST_USE;
/* Number of keys with the prefix now. O(log n + depth). */
size_t store_count(struct store *s, struct str prefix);
/* The same for keys with the prefix that are greater than `after`. */
size_t store_count_after(struct store *s, struct str prefix, struct str after);

/* ---- writing ---- */

enum put_flag {
    STORE_VOLATILE = 1, /* see the top; no effect in a call with a durable put */
    STORE_DELETE = 2,   /* value is ignored. Durable when the key has a durable value, otherwise
                           volatile: what was deleted does not come back. Deleting what is absent
                           is a conflict with no item */
};

/* One write of a transaction. */
struct put {
    struct str key, value;
    rev_t expect_mod_rev; /* compare: 0 key must be absent; -1 no compare; else exact */
    uint32_t flags;       /* enum put_flag */
    /* Where in `value` the decimal revision is inserted when the item is made (etcd keeps it
     * outside the value; readers want it inside). SIZE_MAX: nowhere. The durable form holds the
     * value without it, plus this offset. */
    size_t splice_at;
};

enum store_outcome {
    STORE_OK = 0,
    STORE_CONFLICT = 1, /* a compare failed; `item` is the pending or current value, or NULL */
};

/* Called exactly once, never from inside store_write, when durable (or soon, when every put is
 * volatile). outcome: enum store_outcome or -ERR_IO (disk full: nothing of it is visible, nor of
 * any write that was checked against it; see store_failure). May be NULL. item: the last put's new
 * item (borrowed), NULL for a delete. */
typedef void store_done_fn(void *arg, int outcome, struct item *item, rev_t rev);

/* All puts of one call share one revision and become visible together; their keys must differ. A
 * conflict is reported by the return value STORE_CONFLICT and no callback comes; *ret_conflict
 * (which may be NULL) is borrowed. -ERR_LIMIT: a bound below is exceeded or more than
 * STORE_QUEUE_BYTES_MAX are on their way to the disk; no callback comes. n_puts is at least 1, at
 * most STORE_TXN_PUTS_MAX. Key and value bytes are copied. */
enum {
    STORE_TXN_PUTS_MAX = 128,
    STORE_KEY_MAX = 1024,
    STORE_VALUE_MAX = 8 << 20,
    STORE_TXN_BYTES_MAX = 16 << 20, /* values of one call */
    STORE_QUEUE_BYTES_MAX = 64 << 20,
};
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
/* Events of keys with the prefix and rev > since (which may be in the future), in order, nothing
 * twice. All callbacks come from the loop, and may start, resume and stop watches and write. */
struct store_watch_ops {
    /* As many events as are there, at most STORE_WATCH_BATCH_MAX, never a part of a revision; v is
     * valid during the call, the items as long as one holds references. Returning false pauses
     * the watch until store_watch_resume: it stays a cursor in the ring, and dies when that falls
     * out of it. */
    bool (*events)(void *arg, const struct store_event *v, size_t n);
    /* The watch has caught up and has been handed everything up to rev: once soon after its start
     * or resumption, and then after the events of each commit that touched its prefix. May be
     * NULL. (A caught-up watch is not bothered with commits elsewhere; when the reader wants to
     * tell how far it is, store_watch_revision knows.) */
    void (*progress)(void *arg, rev_t rev);
    /* It fell behind further than the ring reaches and is dead; store_watch_stop it. */
    void (*expired)(void *arg);
};
enum { STORE_WATCH_BATCH_MAX = 256 };
/* Fails with ERR_EXPIRED when since is older than store_oldest. ops must outlive the watch. */
int store_watch_start(struct store *s, struct str prefix, rev_t since,
                      const struct store_watch_ops *ops, void *arg, struct store_watch **ret,
                      struct err *e) MUST_USE;
void store_watch_resume(struct store_watch *w); /* no effect unless paused */
/* Revision up to which this watch has been handed everything. Rises also by commits that do not
 * concern it. */
rev_t store_watch_revision(const struct store_watch *w);
/* No callback comes any more; also from inside one. */
void store_watch_stop(struct store_watch *w);

/* ---- operations ---- */

struct store_stats {
    size_t keys, item_bytes;               /* now */
    size_t ring_events, ring_bytes;        /* bytes: kept by the ring only */
    size_t superseded_rows;                /* on disk, to be dropped by later commits */
    uint64_t commits, puts, volatile_puts; /* since the start */
    uint64_t commit_ns_total;              /* during which a commit was under way */
    uint64_t bytes_written;
};
void store_stats(const struct store *s, struct store_stats *ret);
/* Why the newest commit failed, for the log; empty when it succeeded. */
struct str store_failure(const struct store *s);
/* A consistent copy into a new file, which appears at `path` when complete. Blocking work runs on
 * the pool, in small steps between commits. Volatile values are in it as they were last durable.
 * error: 0, -ERR_ALREADY_EXISTS, -ERR_IO, -ERR_UNAVAILABLE (one is under way), -ERR_CANCELED (the
 * store was closed), -ERR_BAD_REQUEST (a store in memory). done runs from the loop. */
void store_backup(struct store *s, const char *path, void (*done)(void *arg, int error), void *arg);

#endif
