/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls on libuv's pool, whose default size is WORK_PARALLEL_MAX. */
#include <netdb.h>

#include "loop/uv.h"

struct job {
    uv_work_t req;
    struct work *w;
};

static void job_run(uv_work_t *req)
{
    struct job *j = CONTAINER_OF(req, struct job, req);
    j->w->run(j->w);
}

static void job_done(uv_work_t *req, int status)
{
    struct job *j = CONTAINER_OF(req, struct job, req);
    struct work *w = j->w;
    free(j);
    uv_real(w->loop)->registered--;
    w->done(w);
}

void uv_backend_work(struct loop *l, struct work *w)
{
    struct job *j = xmalloc(sizeof *j);
    j->w = w;
    uv_real(l)->registered++;
    must(uv_queue_work(uv_of(l), &j->req, job_run, job_done) == 0);
}

/* ---- names ---- */

struct lookup {
    uv_getaddrinfo_t req;
    struct resolve *r;
    struct loop *loop;
    struct task refused; /* a host that is no name at all */
    char host[256];
};

static bool known(const struct resolve *r, const char *text)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->addresses[i], text) == 0)
            return true;
    return false;
}

static void keep_address(struct resolve *r, const struct sockaddr *a)
{
    char text[sizeof r->addresses[0]];
    bool v4 = a->sa_family == AF_INET;
    if (!v4 && a->sa_family != AF_INET6)
        return;
    int failed = v4 ? uv_ip4_name((const struct sockaddr_in *)(const void *)a, text, sizeof text)
                    : uv_ip6_name((const struct sockaddr_in6 *)(const void *)a, text, sizeof text);
    if (!failed && r->n < ARRAY_LEN(r->addresses) && !known(r, text))
        memcpy(r->addresses[r->n++], text, sizeof text);
}

static int lookup_error(int status, const struct resolve *r)
{
    if (status == 0)
        return r->n ? 0 : -ERR_NOT_FOUND;
    bool absent = status == UV_EAI_NONAME || status == UV_EAI_NODATA || status == UV_EINVAL;
    return absent ? -ERR_NOT_FOUND : -ERR_UNAVAILABLE;
}

static void lookup_done(struct lookup *k, int status)
{
    struct resolve *r = k->r;
    uv_real(k->loop)->registered--;
    free(k);
    r->error = lookup_error(status, r);
    r->fn(r);
}

static void looked_up(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct lookup *k = CONTAINER_OF(req, struct lookup, req);
    for (struct addrinfo *a = found; a; a = a->ai_next)
        keep_address(k->r, a->ai_addr);
    uv_freeaddrinfo(found);
    lookup_done(k, status);
}

static void refused(struct task *t)
{
    lookup_done(CONTAINER_OF(t, struct lookup, refused), UV_EINVAL);
}

static int lookup_start(struct loop *l, struct lookup *k, struct str host)
{
    if (host.n == 0 || host.n >= sizeof k->host || memchr(host.p, 0, host.n))
        return UV_EINVAL;
    memcpy(k->host, host.p, host.n);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    return uv_getaddrinfo(uv_of(l), &k->req, looked_up, k->host, NULL, &hints);
}

void uv_backend_resolve(struct loop *l, struct resolve *r, struct str host)
{
    struct lookup *k = xcalloc(1, sizeof *k);
    k->r = r;
    k->loop = l;
    uv_real(l)->registered++;
    if (lookup_start(l, k, host))
        loop_defer(l, &k->refused, refused);
}
