/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite back-end's threads: one job at a time goes to a worker of the loop's pool.
 *
 * Closing cannot wait for the loop to report the end of a job, since it is called on the loop. It
 * takes back a job that no worker has begun, and otherwise waits for the worker. What the pool
 * still has to say afterwards finds the back-end retired; the last of the two frees it.
 */
#include <pthread.h>

#include "store/sqlite.h"

struct sqlite_backend {
    struct backend base;
    struct loop *loop;
    struct database database;
    struct work work;
    struct job *job; /* under way */
    bool given;      /* the pool will yet call work_done */
    bool drained;    /* jobs are done at once from now on */
    bool closed;
    pthread_mutex_t lock;
    pthread_cond_t ran;
    enum { WAITING, RUNNING, RAN } stage; /* under lock: of the job that was given to the pool */
};

static struct sqlite_backend *sqlite_of(struct backend *b)
{
    return CONTAINER_OF(b, struct sqlite_backend, base);
}

static void backend_free(struct sqlite_backend *b)
{
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->ran);
    free(b);
}

static bool begin(struct sqlite_backend *b)
{
    pthread_mutex_lock(&b->lock);
    bool mine = b->stage == WAITING;
    if (mine)
        b->stage = RUNNING;
    pthread_mutex_unlock(&b->lock);
    return mine;
}

static void end(struct sqlite_backend *b)
{
    pthread_mutex_lock(&b->lock);
    b->stage = RAN;
    pthread_cond_signal(&b->ran);
    pthread_mutex_unlock(&b->lock);
}

static void work_run(struct work *w)
{
    struct sqlite_backend *b = CONTAINER_OF(w, struct sqlite_backend, work);
    if (!begin(b))
        return;
    database_run(&b->database, b->job);
    end(b);
}

static void work_done(struct work *w)
{
    struct sqlite_backend *b = CONTAINER_OF(w, struct sqlite_backend, work);
    b->given = false;
    if (b->closed) {
        backend_free(b);
        return;
    }
    struct job *j = TAKE_PTR(b->job);
    if (j)
        j->done(j);
}

static void start(struct backend *base, struct job *j)
{
    struct sqlite_backend *b = sqlite_of(base);
    must(!b->job);
    if (b->drained) {
        database_run(&b->database, j);
        j->done(j);
        return;
    }
    must(!b->given);
    b->job = j;
    b->stage = WAITING;
    b->given = true;
    loop_work(b->loop, &b->work, work_run, work_done);
}

static void drain(struct backend *base)
{
    struct sqlite_backend *b = sqlite_of(base);
    b->drained = true;
    if (!b->job)
        return;
    if (begin(b)) {
        database_run(&b->database, b->job);
        end(b);
    }
    pthread_mutex_lock(&b->lock);
    while (b->stage != RAN)
        pthread_cond_wait(&b->ran, &b->lock);
    pthread_mutex_unlock(&b->lock);
    struct job *j = TAKE_PTR(b->job);
    j->done(j);
}

static void close_backend(struct backend *base)
{
    struct sqlite_backend *b = sqlite_of(base);
    must(!b->job);
    database_close(&b->database);
    b->closed = true;
    if (!b->given)
        backend_free(b);
}

static int load(struct backend *base, int (*fn)(void *arg, const struct row *r, struct err *e),
                void *arg, rev_t *ret_reserved, struct err *e)
{
    return database_load(&sqlite_of(base)->database, fn, arg, ret_reserved, e);
}

static const struct backend_ops ops = {
    .load = load,
    .start = start,
    .drain = drain,
    .close = close_backend,
};

int sqlite_backend_open(struct loop *l, const char *path, struct backend **ret, struct err *e)
{
    struct sqlite_backend *b = xcalloc(1, sizeof *b);
    int rc = database_open(&b->database, path, e);
    if (rc) {
        free(b);
        return rc;
    }
    b->base.ops = &ops;
    b->loop = l;
    must(pthread_mutex_init(&b->lock, NULL) == 0 && pthread_cond_init(&b->ran, NULL) == 0);
    *ret = &b->base;
    return 0;
}
