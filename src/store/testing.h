/* SPDX-License-Identifier: Apache-2.0 */
/* testing.h: what the tests of this folder share: a store on a loop, writes, repeatable chance. */
#ifndef BARQUE_STORE_TESTING_H
#define BARQUE_STORE_TESTING_H

#include "base/test.h"

#include <ftw.h>
#include <sys/statvfs.h>

#include "loop/sim.h"
#include "store/simdisk.h"
#include "store/store.h"

struct fixture {
    struct arena arena;
    struct err err;
    struct sim *sim; /* NULL: the real loop */
    struct loop *loop;
    struct store *store;
    struct store_config config;
    struct sim_disk *disk; /* NULL: the file */
    char dir[64], path[96];
};

UNUSED static int fixture_open(struct fixture *f)
{
    err_clear(&f->err);
    f->store = NULL;
    if (f->disk)
        f->config.backend = sim_disk_open(f->loop, f->disk);
    return store_open(f->loop, &f->config, &f->store, &f->err);
}

UNUSED static void must_open(struct fixture *f)
{
    if (fixture_open(f) != 0)
        fail_msg("%.*s", STR_ARG(f->err.message));
}

/* Runs all that is due, and what follows from it. */
UNUSED static void run(struct fixture *f)
{
    loop_run(f->loop);
}

UNUSED static void close_store(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    run(f); /* what the worker pool has yet to report */
}

/* Memory where it is large enough: what a flush does is the kernel's business, and a disk that
 * others keep busy would make the tests slow. */
UNUSED static const char *scratch_folder(void)
{
    struct statvfs st;
    bool large = statvfs("/dev/shm", &st) == 0 && st.f_bavail * st.f_frsize >= MIB(256);
    return large && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

/* On a file in a folder of its own. */
UNUSED static void setup(struct fixture *f)
{
    *f = (struct fixture){.arena = ARENA_INIT};
    f->err = ERR_INIT(&f->arena);
    snprintf(f->dir, sizeof f->dir, "%s/barque-store-XXXXXX", scratch_folder());
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/state.db", f->dir);
    f->config.path = f->path;
    f->loop = loop_new(&f->err);
    assert_non_null(f->loop);
}

/* In a simulated world, on a simulated disk. */
UNUSED static void setup_sim(struct fixture *f, uint64_t seed, struct sim_disk *d)
{
    *f = (struct fixture){.arena = ARENA_INIT, .disk = d};
    f->err = ERR_INIT(&f->arena);
    f->sim = sim_new(seed);
    f->loop = sim_loop(f->sim, "control");
    sim_disk_init(d);
}

/* The process is killed, the oldest `keep` commits that were not synced survive, and it starts
 * again. */
UNUSED static void crash(struct fixture *f, size_t keep)
{
    sim_crash(f->sim, f->loop);
    store_abandon(f->store);
    loop_free(f->loop);
    sim_disk_crash(f->disk, keep);
    f->loop = sim_loop(f->sim, "control");
    must_open(f);
}

UNUSED static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

UNUSED static void teardown(struct fixture *f)
{
    if (f->store)
        close_store(f);
    loop_free(f->loop);
    if (f->sim)
        sim_free(f->sim);
    if (f->disk)
        sim_disk_fini(f->disk);
    if (f->dir[0])
        nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    arena_fini(&f->arena);
}

/* ---- writes ---- */

struct result {
    int calls, outcome;
    rev_t rev;
    bool with_item;
};

UNUSED static void note_result(void *arg, int outcome, struct item *item, rev_t rev)
{
    struct result *r = arg;
    r->calls++;
    r->outcome = outcome;
    r->rev = rev;
    r->with_item = item != NULL;
}

UNUSED static struct put put_of(const char *key, const char *value)
{
    return (struct put){
        .key = str_z(key), .value = str_z(value), .expect_mod_rev = -1, .splice_at = SIZE_MAX};
}

UNUSED static int start_put(struct fixture *f, struct put p, struct result *r)
{
    *r = (struct result){0};
    return store_write(f->store, &p, 1, NULL, note_result, r);
}

/* Writes and waits; returns the revision. */
UNUSED static rev_t put_now(struct fixture *f, struct put p)
{
    struct result r;
    assert_int_equal(start_put(f, p, &r), STORE_OK);
    run(f);
    assert_int_equal(r.calls, 1);
    assert_int_equal(r.outcome, STORE_OK);
    return r.rev;
}

UNUSED static rev_t put(struct fixture *f, const char *key, const char *value)
{
    return put_now(f, put_of(key, value));
}

UNUSED static rev_t delete (struct fixture *f, const char *key)
{
    struct put p = put_of(key, "");
    p.flags = STORE_DELETE;
    return put_now(f, p);
}

UNUSED static rev_t put_volatile(struct fixture *f, const char *key, const char *value)
{
    struct put p = put_of(key, value);
    p.flags = STORE_VOLATILE;
    return put_now(f, p);
}

/* Value of the key, "" when absent. */
UNUSED static struct str get(struct fixture *f, const char *key)
{
    struct item *i = store_get(f->store, str_z(key));
    return i ? item_value(i) : STR("");
}

/* "key=value@rev key=value@rev", in order */
UNUSED static bool list_item(void *arg, struct item *i)
{
    struct buf *b = arg;
    buf_fmt(b, "%s%.*s=%.*s@%lld", b->n ? " " : "", STR_ARG(item_key(i)), STR_ARG(item_value(i)),
            (long long)i->mod_rev);
    return true;
}

UNUSED static struct str listed(struct fixture *f, struct store_range r)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    int rc = store_each(f->store, &r, list_item, &b);
    if (rc)
        return arena_fmt(&f->arena, "error %d", -rc);
    return buf_to_arena(&b, &f->arena);
}

/* ---- chance ---- */

struct chance {
    uint64_t state;
};

UNUSED static uint64_t chance_below(struct chance *c, uint64_t n)
{
    /* xorshift; repeatable is enough */
    c->state ^= c->state << 13;
    c->state ^= c->state >> 7;
    c->state ^= c->state << 17;
    return c->state % n;
}

#endif
