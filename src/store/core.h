/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core.h: the inside of struct store, and who calls whom. Private to src/store.
 *
 *   store.c   opening, loading, closing, statistics
 *   read.c    get, ranges, counts
 *   write.c   transactions: checked, queued, committed in batches, published in order
 *   watch.c   events to watches
 *   backup.c  a backup's jobs
 */
#ifndef BARQUE_STORE_CORE_H
#define BARQUE_STORE_CORE_H

#include "base/map.h"
#include "base/vec.h"
#include "store/backend.h"
#include "store/garbage.h"
#include "store/index.h"
#include "store/prefix.h"
#include "store/ring.h"

enum {
    /* Revisions that one reservation covers: volatile puts need a commit only this often, and the
     * revision jumps by up to this much when the store is opened after a crash. */
    RESERVE_REVS = 65536,
    BATCH_ROWS_MAX = 4096,
    BATCH_BYTES_MAX = 16 << 20,
};

/* All watches of one prefix. */
struct watch_group {
    struct prefix prefix;
    struct list watches; /* struct store_watch.link, in order of their start */
    size_t live;         /* how many of them are WATCH_LIVE */
    VEC(uint64_t) fresh; /* events that the live ones have yet to get, rising */
    size_t fresh_at;     /* how many of these they have got */
    struct list dirty;   /* in watches.dirty while there are some */
};

struct watches {
    struct prefix_set groups;
    struct list dirty;   /* struct watch_group.dirty */
    struct list ready;   /* struct store_watch.ready */
    struct heap lagging; /* struct store_watch.lag: not live, by their next event */
    struct list stopped; /* struct store_watch.ready; freed when no pass is under way */
    bool passing;        /* callbacks of watches are being called */
};

struct store {
    struct loop *loop;
    struct backend *backend;
    size_t ring_events_max, ring_bytes_max;

    struct index index; /* what is visible */
    struct ring ring;
    rev_t assigned; /* newest revision given out */
    rev_t visible;  /* newest revision published */
    rev_t floor;    /* no revision up to this is given out again after a crash */

    /* Transactions in order of revision: published from the front (write.c). */
    struct list queue;
    size_t queued_bytes;
    struct map pending;   /* key -> its newest item in the queue */
    struct list finished; /* whose callbacks are due */
    struct garbage garbage;
    size_t volatile_items; /* in the index */

    struct job job;
    bool busy;         /* the job is under way */
    int64_t job_ns;    /* since when */
    bool untidy;       /* the back-end wants a JOB_TIDY */
    bool want_reserve; /* volatile puts are about to use up the reservation */
    bool closing;
    bool reading;         /* inside store_each */
    VEC(struct row) rows; /* of the commit under way */
    struct task next_job;
    struct task settle; /* runs finished callbacks, then watches */

    struct watches watches;
    struct backup *backup; /* NULL: none under way */
    struct store_stats stats;
    char failure[JOB_WHY_MAX];
};

/* write.c */
void write_init(struct store *s);
/* Has the next job started after the present callback, if one is due then. */
void jobs_soon(struct store *s);
/* Commits all that is queued; the back-end is drained. */
void write_flush(struct store *s);
/* Calls the callbacks of finished transactions. */
void run_finished(struct store *s);
/* Frees transactions without calling anyone. */
void write_abandon(struct store *s);
/* Has run_finished and the watches run soon. */
void settle_soon(struct store *s);

/* watch.c */
void watches_init(struct watches *ws);
void watches_fini(struct watches *ws);
/* An event was added to the ring. */
void watches_note(struct store *s, uint64_t seq);
/* Hands out events, ends watches that fell behind, trims the ring. */
void watches_pass(struct store *s);
void watches_free_all(struct store *s);

/* backup.c */
void backup_prepare(struct store *s, struct job *j);
void backup_progress(struct store *s, const struct job *j);
void backup_cancel(struct store *s);
/* As cancel, but tells no one. */
void backup_forget(struct store *s);

#endif
