/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.h: the seam between the store and what keeps it durable.
 *
 * The store decides (revisions, conflicts, order, visibility); a back-end remembers. It is given
 * one job at a time and reports its end from the loop, never from inside `start`, until `drain`
 * was called. A commit is atomic and durable when it is reported without error; when it is
 * reported with one, it left nothing behind that a later load would see (but see sqlite.c about a
 * failed flush).
 *
 * The durable form is a set of rows, one for each put, under ids that rise with the revision
 * (item.h). Of several rows of a key the one with the greatest id counts; the others are named in
 * `drop` by later commits, an older one never after a newer one of its key. Beside the rows there
 * is one number, the reservation: a revision up to which the store may have given out revisions
 * that no row shows.
 *
 * A back-end that is its own arbiter (etcd: it gives the revisions and settles the compares) will
 * need the write path to make its items when the answer comes; that is txn_settle and
 * txn_conflicts in write.c, and STORE_CONFLICT through the done callback, which store.h has.
 */
#ifndef BARQUE_STORE_BACKEND_H
#define BARQUE_STORE_BACKEND_H

#include "store/store.h"

/* One put in its durable form; the value is head and tail, one behind the other. */
struct row {
    int64_t id;
    rev_t create_rev;
    struct str key, head, tail;
    size_t splice_at; /* SIZE_MAX: nowhere */
    bool deleted;
};

enum job_kind {
    JOB_COMMIT,
    JOB_TIDY,   /* what the back-end asked for by `untidy` */
    JOB_BACKUP, /* a part of a backup; again while `more` */
};

enum { JOB_WHY_MAX = 200 };

struct job {
    enum job_kind kind;
    void (*done)(struct job *j); /* *j may be used again in it */
    /* JOB_COMMIT; all borrowed until done */
    const struct row *rows;
    size_t n_rows;
    const int64_t *drop; /* sorted */
    size_t n_drop;
    rev_t reserve; /* 0: leave the reservation */
    /* JOB_BACKUP: the file to make; it must not exist */
    const char *path;
    /* results */
    int error; /* 0 or -enum err_code */
    char why[JOB_WHY_MAX];
    bool more;
    bool untidy; /* a JOB_TIDY should come before the next commit */
    uint64_t bytes_written;
};

struct backend {
    const struct backend_ops *ops;
};

struct backend_ops {
    /* Calls fn for every row, ids rising; what the row points to is valid during the call. fn
     * returns 0, or an error that ends the load. Blocks. */
    int (*load)(struct backend *b, int (*fn)(void *arg, const struct row *r, struct err *e),
                void *arg, rev_t *ret_reserved, struct err *e);
    void (*start)(struct backend *b, struct job *j);
    /* Completes the job under way, its done included. From now on start completes its job
     * before it returns. */
    void (*drain)(struct backend *b);
    /* Nothing is under way. */
    void (*close)(struct backend *b);
    /* The process dies here: no job's done is called any more. Only the simulator's back-end has
     * it; otherwise NULL. */
    void (*abandon)(struct backend *b);
};

/* sqlite.c */
int sqlite_backend_open(struct loop *l, const char *path, struct backend **ret,
                        struct err *e) MUST_USE;
/* simdisk.c: for ":memory:"; remembers nothing. */
struct backend *memory_backend_open(struct loop *l);

/* Frees the store as a crash would leave it: nothing is written, no callback runs. */
void store_abandon(struct store *s);

#endif
