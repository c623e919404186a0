/* SPDX-License-Identifier: Apache-2.0 */
#include "store/garbage.h"

/* A sweep starts at a quarter of the live rows (or bytes), but not below these. */
enum { SWEEP_ROWS_MIN = 1024, SWEEP_BYTES_MIN = 4 << 20, LIVE_SHARE = 4 };
/* A commit drops at least DROP_MIN rows and DROP_PER_ROW for each row that it adds. */
enum { DROP_MIN = 16, DROP_PER_ROW = 4 };

void garbage_fini(struct garbage *g)
{
    vec_free(&g->fresh);
    vec_free(&g->sweep);
    *g = (struct garbage){0};
}

void garbage_add(struct garbage *g, int64_t id, size_t bytes)
{
    vec_push(&g->fresh, id);
    g->fresh_bytes += bytes;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bool worth_a_sweep(const struct garbage *g, const struct garbage_pace *p)
{
    return g->fresh.n >= MAX(p->live_rows / LIVE_SHARE, (size_t)SWEEP_ROWS_MIN) ||
           g->fresh_bytes >= MAX(p->live_bytes / LIVE_SHARE, (size_t)SWEEP_BYTES_MIN);
}

static void start_sweep(struct garbage *g)
{
    vec_free(&g->sweep);
    g->sweep.v = g->fresh.v;
    g->sweep.n = g->fresh.n;
    g->sweep.room = g->fresh.room;
    g->sweep_bytes = g->fresh_bytes;
    g->swept = 0;
    g->fresh.v = NULL;
    g->fresh.n = g->fresh.room = g->fresh_bytes = 0;
    qsort(g->sweep.v, g->sweep.n, sizeof g->sweep.v[0], by_id);
}

size_t garbage_due(struct garbage *g, const struct garbage_pace *p, const int64_t **ret)
{
    *ret = NULL;
    if (g->swept == g->sweep.n) {
        if (!worth_a_sweep(g, p))
            return 0;
        start_sweep(g);
    }
    size_t n = MAX(p->new_rows * DROP_PER_ROW, (size_t)DROP_MIN);
    /* With values of many sizes rows do not measure the space: finish also before half of the
     * bytes of this sweep have come in new. */
    double part = 2.0 * (double)p->new_bytes / (double)(g->sweep_bytes + 1);
    if (part * (double)g->sweep.n > (double)n)
        n = (size_t)MIN(part * (double)g->sweep.n, (double)g->sweep.n);
    *ret = g->sweep.v + g->swept;
    return MIN(n, g->sweep.n - g->swept);
}

void garbage_dropped(struct garbage *g, size_t n)
{
    g->swept += n;
    must(g->swept <= g->sweep.n);
    if (g->swept == g->sweep.n) {
        vec_free(&g->sweep);
        g->swept = g->sweep_bytes = 0;
    }
}

size_t garbage_count(const struct garbage *g)
{
    return g->fresh.n + g->sweep.n - g->swept;
}
