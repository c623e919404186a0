/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store costs: flushes a second of this machine's disk, puts at several numbers of
 * concurrent writers, the time to load and the memory held, one event to many watchers, the file
 * under endless updates.
 *
 *   bench-store DIR [flush] [puts] [idle] [load] [watch] [updates N] [random N]
 *
 * DIR is where the database goes; its disk is what is measured. Without a name: all but the long
 * ones, updates and random.
 */
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/vec.h"
#include "store/store.h"

static char path[512];
static struct loop *loop;
static struct store *store;

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void)
{
    return seconds(CLOCK_MONOTONIC);
}

static double cpu(void)
{
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

/* A field of /proc/self/smaps_rollup, in KiB. */
static long memory_kib(const char *field)
{
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    char line[200];
    long kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtol(line + strlen(field), NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

static void open_store(void)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct store_config c = {.path = path};
    loop = loop_new(&e);
    if (!loop || store_open(loop, &c, &store, &e) != 0) {
        fprintf(stderr, "%.*s\n", STR_ARG(e.message));
        exit(1);
    }
    arena_fini(&a);
}

static void close_store(void)
{
    store_close(store);
    loop_run(loop);
    loop_free(loop);
}

static void remove_file(void)
{
    char side[sizeof path + 8];
    unlink(path);
    snprintf(side, sizeof side, "%s-wal", path);
    unlink(side);
}

static long file_mib(const char *suffix)
{
    char name[sizeof path + 8];
    struct stat st;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) == 0 ? st.st_size >> 20 : 0;
}

/* ---- flush ---- */

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void bench_flush(void)
{
    enum { N = 1000 };
    static double took[N];
    char block[8192] = "x";
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < N; i++) {
        double from = now();
        if (pwrite(fd, block, sizeof block, (i % 256) * (off_t)sizeof block) < 0 || fdatasync(fd))
            abort();
        took[i] = now() - from;
    }
    close(fd);
    remove_file();
    qsort(took, N, sizeof took[0], by_double);
    printf("flush: write 8 KiB + fdatasync: median %.0f us, 99%% %.0f us\n", took[N / 2] * 1e6,
           took[N * 99 / 100] * 1e6);
}

/* ---- writers: each has one write under way and starts the next in its callback ---- */

struct writers {
    char *value;
    size_t value_n;
    long left, keys;
    uint64_t chance;
    long done, failed;
    VEC(double) took;
    bool volatile_puts;
};

struct writer {
    struct writers *all;
    double from;
};

static void write_done(void *arg, int outcome, struct item *item, rev_t rev);

static void write_next(struct writer *w)
{
    struct writers *all = w->all;
    if (all->left-- <= 0)
        return;
    all->chance = all->chance * 6364136223846793005u + 1442695040888963407u;
    char key[80];
    int n =
        snprintf(key, sizeof key, "/registry/pods/namespace-%ld/pod-%010ld",
                 (long)(all->chance >> 33) % all->keys % 50, (long)(all->chance >> 33) % all->keys);
    struct put p = {.key = str_n(key, (size_t)n),
                    .value = str_n(all->value, all->value_n),
                    .expect_mod_rev = -1,
                    .flags = all->volatile_puts ? STORE_VOLATILE : 0,
                    .splice_at = all->value_n / 2};
    w->from = now();
    if (store_write(store, &p, 1, NULL, write_done, w) != 0)
        abort();
}

static void write_done(void *arg, int outcome, struct item *item, rev_t rev)
{
    struct writer *w = arg;
    vec_push(&w->all->took, now() - w->from);
    if (outcome)
        w->all->failed++;
    w->all->done++;
    write_next(w);
}

static struct writers make_writers(size_t value_n, long puts, long keys)
{
    struct writers all = {
        .value = xmalloc(value_n), .value_n = value_n, .left = puts, .keys = keys, .chance = 1};
    memset(all.value, 'v', value_n);
    return all;
}

static void free_writers(struct writers *all)
{
    free(all->value);
    vec_free(&all->took);
}

static void run_writers(struct writers *all, int n)
{
    struct writer *w = xcalloc((size_t)n, sizeof *w);
    for (int i = 0; i < n; i++) {
        w[i].all = all;
        write_next(&w[i]);
    }
    loop_run(loop);
    free(w);
}

static void bench_put(int n, size_t value_n, long puts, long keys, bool volatile_puts)
{
    struct writers all = make_writers(value_n, puts, keys);
    all.volatile_puts = volatile_puts;
    open_store();
    double from = now(), cpu_from = cpu();
    run_writers(&all, n);
    double took = now() - from, cpu_took = cpu() - cpu_from;
    struct store_stats st;
    store_stats(store, &st);
    qsort(all.took.v, all.took.n, sizeof all.took.v[0], by_double);
    printf("puts: %4d writers, %zu bytes%s: %7.0f/s, CPU %5.1f us each, median %5.0f us, "
           "99%% %5.0f us, %.1f a commit, %.1f KiB written each\n",
           n, value_n, volatile_puts ? ", volatile" : "", (double)all.done / took,
           cpu_took / (double)all.done * 1e6, all.took.v[all.took.n / 2] * 1e6,
           all.took.v[all.took.n * 99 / 100] * 1e6, (double)st.puts / (double)MAX(st.commits, 1u),
           (double)st.bytes_written / 1024 / (double)all.done);
    close_store();
    remove_file();
    free_writers(&all);
}

static void bench_puts(void)
{
    bench_put(1, 2000, 10000, 1000, false);
    bench_put(8, 2000, 40000, 1000, false);
    bench_put(64, 2000, 100000, 1000, false);
    bench_put(64, 250, 200000, 100000, false);
    bench_put(1, 250, 500000, 1000, true);
    bench_put(1, 250, 2000000, 1000000, true);
}

/* ---- load ---- */

static void fill(size_t value_n, long keys)
{
    struct put puts[STORE_TXN_PUTS_MAX];
    static char names[STORE_TXN_PUTS_MAX][80];
    char *value = xmalloc(value_n);
    memset(value, 'v', value_n);
    open_store();
    for (long i = 0; i < keys;) {
        size_t n = 0;
        for (; n < ARRAY_LEN(puts) && i < keys; n++, i++) {
            /* in an order that is not that of the keys */
            long id = (long)((uint64_t)i * 2654435761u % 4294967296u);
            int len = snprintf(names[n], sizeof names[n], "/registry/pods/namespace-%ld/pod-%010ld",
                               id % 50, id);
            puts[n] = (struct put){.key = str_n(names[n], (size_t)len),
                                   .value = str_n(value, value_n),
                                   .splice_at = value_n / 2};
        }
        if (store_write(store, puts, n, NULL, NULL, NULL) != 0)
            abort();
        if (i % (128 * 64) == 0)
            loop_run(loop);
    }
    loop_run(loop);
    close_store();
    free(value);
}

/* In a child, so that memory is counted from nothing. */
static void load_once(size_t value_n, long keys, const char *how)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        long before = memory_kib("Pss:");
        double from = now(), cpu_from = cpu();
        open_store();
        double took = now() - from, cpu_took = cpu() - cpu_from;
        struct store_stats st;
        store_stats(store, &st);
        double mb = (double)st.item_bytes / 1e6;
        long after = memory_kib("Pss:");
        printf("load (%s): %ld values of %zu bytes: %.2f s (CPU %.2f), %.0f MB/s; PSS %.1f MB for "
               "%.1f MB of "
               "items (%.0f bytes a key beyond them), peak %.1f MB\n",
               how, keys, value_n, took, cpu_took, mb / took,
               (double)(after - before) / 1000 * 1.024, mb,
               ((double)(after - before) * 1024 - (double)st.item_bytes) / (double)keys, ({
                   struct rusage u;
                   getrusage(RUSAGE_SELF, &u);
                   (double)u.ru_maxrss * 1.024 / 1000;
               }));
        close_store();
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void bench_load(void)
{
    static const struct {
        size_t value_n;
        long keys;
    } cases[] = {{2000, 200000}, {250, 1000000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            fill(cases[i].value_n, cases[i].keys);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        printf("file: %ld MiB\n", file_mib(""));
        load_once(cases[i].value_n, cases[i].keys, "from the page cache");
        load_once(cases[i].value_n, cases[i].keys, "again");
        remove_file();
    }
}

/* ---- memory of a small store ---- */

static void bench_idle(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        long before = memory_kib("Pss:");
        open_store();
        long opened = memory_kib("Pss:");
        struct writers all = make_writers(2000, 5000, 500);
        run_writers(&all, 8);
        struct store_stats st;
        store_stats(store, &st);
        printf("idle: PSS +%.1f MB by opening, +%.1f MB after 5000 puts to 500 objects of 2 KB "
               "(%.1f MB of items, %.1f MB kept by the ring)\n",
               (double)(opened - before) * 1.024 / 1000,
               (double)(memory_kib("Pss:") - before) * 1.024 / 1000, (double)st.item_bytes / 1e6,
               (double)st.ring_bytes / 1e6);
        close_store();
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    remove_file();
}

/* ---- watch ---- */

static uint64_t events_seen;

static bool count_events(void *arg, const struct store_event *v, size_t n)
{
    events_seen += n;
    return true;
}

static void bench_watch_of(int watchers, const char *prefix_format, const char *what)
{
    static const struct store_watch_ops ops = {count_events, NULL, NULL};
    struct store_watch **w = xcalloc((size_t)watchers, sizeof(struct store_watch *));
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    snprintf(path, sizeof path, ":memory:");
    open_store();
    for (int i = 0; i < watchers; i++) {
        char prefix[80];
        int n = snprintf(prefix, sizeof prefix, "/registry/%s%d", prefix_format, i);
        if (strcmp(prefix_format, "pods/") == 0)
            n = snprintf(prefix, sizeof prefix, "/registry/pods/");
        if (store_watch_start(store, str_n(prefix, (size_t)n), 1, &ops, NULL, &w[i], &e))
            abort();
    }
    loop_run(loop);
    struct writers all = make_writers(500, 20000, 1000);
    events_seen = 0;
    double from = cpu();
    run_writers(&all, 1);
    double took = cpu() - from;
    printf("watch: %d watchers %s: %.2f us an event, %.1f ns a delivery\n", watchers, what,
           took / 20000 * 1e6, events_seen ? took / (double)events_seen * 1e9 : 0);
    for (int i = 0; i < watchers; i++)
        store_watch_stop(w[i]);
    close_store();
    free_writers(&all);
    free(w);
    arena_fini(&a);
}

static void bench_watch(void)
{
    char kept[sizeof path];
    memcpy(kept, path, sizeof kept);
    bench_watch_of(0, "", "");
    bench_watch_of(1000, "pods/", "of the events' prefix");
    bench_watch_of(1000, "services/", "of other prefixes");
    memcpy(path, kept, sizeof kept);
}

/* ---- many updates ---- */

static void bench_updates(long updates, long keys, size_t value_n)
{
    struct writers all = make_writers(value_n, 0, keys);
    open_store();
    double from = now();
    long file_max = 0, wal_max = 0, step = MAX(updates / 50, 1L);
    for (long done = 0; done < updates; done += step) {
        all.left = step;
        all.took.n = 0;
        run_writers(&all, 64);
        file_max = MAX(file_max, file_mib(""));
        wal_max = MAX(wal_max, file_mib("-wal"));
    }
    double took = now() - from;
    struct store_stats st;
    store_stats(store, &st);
    printf("updates: %ld of %ld objects of %zu bytes in %.0f s (%.0f/s): file at most %ld MiB, log "
           "%ld MiB, "
           "%zu superseded rows left, %.1f KiB written each, PSS %.1f MB (ring %.1f MB)\n",
           updates, keys, value_n, took, (double)updates / took, file_max, wal_max,
           st.superseded_rows, (double)st.bytes_written / 1024 / (double)updates,
           (double)memory_kib("Pss:") * 1.024 / 1000, (double)st.ring_bytes / 1e6);
    close_store();
    remove_file();
    free_writers(&all);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr,
                "usage: %s DIR [flush] [puts] [idle] [load] [watch] [updates N] [random N]\n",
                argv[0]);
        return 2;
    }
    snprintf(path, sizeof path, "%s/bench-store.db", argv[1]);
    remove_file();
    for (int i = 2; i < argc || i == 2; i++) {
        const char *what = i < argc ? argv[i] : "";
        long n = i + 1 < argc ? strtol(argv[i + 1], NULL, 10) : 0;
        if (!*what || strcmp(what, "flush") == 0)
            bench_flush();
        if (!*what || strcmp(what, "puts") == 0)
            bench_puts();
        if (!*what || strcmp(what, "idle") == 0)
            bench_idle();
        if (!*what || strcmp(what, "load") == 0)
            bench_load();
        if (!*what || strcmp(what, "watch") == 0)
            bench_watch();
        if (strcmp(what, "updates") == 0)
            bench_updates(n ? n : 1000000, 1, 200);
        if (strcmp(what, "random") == 0)
            bench_updates(n ? n : 300000, 100000, 2000);
    }
    return 0;
}
