/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killed at random moments: a child writes to a real file and reports each acknowledged write
 * through a pipe; the parent kills it, opens the file and looks for all of them. Over several
 * lives on one file, so that recovery, compaction and checkpoints fall under the axe too.
 */
#include "store/testing.h"

#include <signal.h>
#include <sys/wait.h>

enum { LIVES = 10, WRITERS = 8, KEYS = 64, VALUE_BYTES = 3000 };

/* What one writer does, over and over, with its own keys: number n goes to key n % KEYS of the
 * writer, and to the writer's twin key in the same transaction; every seventh is a delete of the
 * key alone. */
struct ack {
    int32_t writer;
    int32_t n;
    rev_t rev;
};

struct child_writer {
    struct fixture *f;
    int32_t id, n;
    int pipe;
};

static char filler[VALUE_BYTES];

static void key_of(char out[32], int writer, int n)
{
    snprintf(out, 32, "/w%d/%02d", writer, n % KEYS);
}

static bool is_delete(int n)
{
    return n % 7 == 6;
}

static void child_next(struct child_writer *w);

static void child_done(void *arg, int outcome, struct item *item, rev_t rev)
{
    struct child_writer *w = arg;
    struct ack a = {w->id, w->n, rev};
    if (outcome != STORE_OK || write(w->pipe, &a, sizeof a) != sizeof a)
        _exit(3);
    w->n++;
    child_next(w);
}

static void child_next(struct child_writer *w)
{
    char key[32], twin[32], value[64 + VALUE_BYTES];
    key_of(key, w->id, w->n);
    snprintf(twin, sizeof twin, "/twin%d", w->id);
    int n = snprintf(value, sizeof value, "%d @ %.*s", w->n, (w->n * 37) % VALUE_BYTES, filler);
    struct put puts[2] = {put_of(key, ""), put_of(twin, "")};
    puts[0].value = puts[1].value = str_n(value, (size_t)n);
    puts[0].splice_at = puts[1].splice_at = (size_t)(strchr(value, '@') + 1 - value);
    if (is_delete(w->n) && store_get_pending(w->f->store, str_z(key)))
        puts[0].flags = STORE_DELETE;
    if (store_write(w->f->store, puts, 2, NULL, child_done, w) != STORE_OK)
        _exit(4);
}

static void be_the_child(struct fixture *f, const int32_t next[WRITERS], int pipe)
{
    struct child_writer writers[WRITERS];
    f->loop = loop_new(&f->err);
    must_open(f);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct child_writer){f, i, next[i], pipe};
        child_next(&writers[i]);
    }
    loop_run(f->loop);
    _exit(5);
}

/* Reads the child's acknowledgements until it has been killed. */
static int follow(int pipe, pid_t pid, int acks_until_kill, struct ack last[WRITERS], rev_t *newest)
{
    struct ack a;
    int n = 0;
    while (read(pipe, &a, sizeof a) == sizeof a) {
        assert_true(a.rev > *newest); /* across lives too */
        *newest = a.rev;
        last[a.writer] = a;
        if (++n == acks_until_kill)
            kill(pid, SIGKILL);
    }
    return n;
}

/* The number in the key's value, -1 when absent. */
static int stored(struct fixture *f, const char *key)
{
    struct item *i = store_get(f->store, str_z(key));
    if (!i)
        return -1;
    int n;
    long long rev;
    assert_int_equal(sscanf(item_value(i).p, "%d @%lld", &n, &rev), 2);
    assert_int_equal(rev, i->mod_rev);
    return n;
}

/* last: the newest acknowledged write of the writer; one more may have been on its way. */
static void check_writer(struct fixture *f, int writer, int last)
{
    char key[32];
    snprintf(key, sizeof key, "/twin%d", writer);
    int twin = last < 0 ? stored(f, key) : MAX(stored(f, key), 0);
    assert_true(twin == last || twin == last + 1);
    for (int n = MAX(twin - KEYS + 1, 0); n <= twin; n++) {
        key_of(key, writer, n);
        if (stored(f, key) != n)
            assert_true(is_delete(n) && stored(f, key) == -1);
    }
}

static void what_was_acknowledged_survives_sigkill(void **state)
{
    struct fixture f;
    setup(&f);
    memset(filler, '.', sizeof filler);
    struct ack last[WRITERS];
    int32_t next[WRITERS] = {0};
    for (int i = 0; i < WRITERS; i++)
        last[i] = (struct ack){i, -1, 0};
    struct chance chance = {(uint64_t)getpid()};
    rev_t newest = 0;
    int acks = 0;
    for (int life = 0; life < LIVES; life++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0)
            be_the_child(&f, next, fds[1]);
        close(fds[1]);
        acks += follow(fds[0], pid, 1 + (int)chance_below(&chance, 2000), last, &newest);
        close(fds[0]);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        must_open(&f);
        assert_true(store_revision(f.store) >= newest);
        for (int i = 0; i < WRITERS; i++) {
            check_writer(&f, i, last[i].n);
            char twin[32];
            snprintf(twin, sizeof twin, "/twin%d", i);
            next[i] = stored(&f, twin) + 1;
            last[i].n = next[i] - 1; /* what was on its way counts as written from now on */
        }
        close_store(&f);
    }
    print_message("%d acknowledged writes\n", acks);
    teardown(&f);
}

TESTS(cmocka_unit_test(what_was_acknowledged_survives_sigkill))
