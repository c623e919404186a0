/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/impl.h"

void loop_init(struct loop *l, const struct loop_backend *backend)
{
    *l = (struct loop){.backend = backend};
    list_init(&l->tasks);
    list_init(&l->posted);
    must(pthread_mutex_init(&l->post_lock, NULL) == 0);
}

void loop_fini(struct loop *l)
{
    must(!loop_has_timers_or_tasks(l));
    heap_fini(&l->timers);
    pthread_mutex_destroy(&l->post_lock);
}

void loop_free(struct loop *l)
{
    l->backend->free(l);
}

void loop_run(struct loop *l)
{
    l->backend->run(l);
    l->stopping = false;
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
    l->backend->stop(l);
}

int64_t loop_now_ms(struct loop *l)
{
    return l->backend->now_ms(l);
}

int64_t loop_now_ns(struct loop *l)
{
    return l->backend->now_ns(l);
}

struct wall loop_wall(struct loop *l)
{
    return l->backend->wall(l);
}

void loop_random(struct loop *l, void *p, size_t n)
{
    l->backend->random(l, p, n);
}

uint64_t loop_random_u64(struct loop *l)
{
    uint64_t v;
    loop_random(l, &v, sizeof v);
    return v;
}

/* ---- timers ---- */

void timer_start(struct loop *l, struct timer *t, int64_t delay_ms, void (*fn)(struct timer *t))
{
    timer_stop(t);
    int64_t now = loop_now_ms(l), deadline;
    if (__builtin_add_overflow(now, MAX(delay_ms, 0), &deadline))
        deadline = INT64_MAX;
    t->fn = fn;
    t->loop = l;
    heap_push(&l->timers, &t->node, deadline);
}

void timer_stop(struct timer *t)
{
    if (heap_linked(&t->node))
        heap_remove(&t->loop->timers, &t->node);
}

bool timer_active(const struct timer *t)
{
    return heap_linked(&t->node);
}

int64_t loop_next_deadline(const struct loop *l)
{
    struct heap_node *top = heap_top(&l->timers);
    return top ? top->key : INT64_MAX;
}

bool loop_run_timer(struct loop *l)
{
    if (loop_next_deadline(l) > loop_now_ms(l) || !l->timers.n)
        return false;
    struct timer *t = CONTAINER_OF(heap_pop(&l->timers), struct timer, node);
    t->fn(t);
    return true;
}

/* Those that were started before this round. A timer added meanwhile is due no earlier than now
 * and has a later sequence number, so it sorts behind all of them. */
static void run_timers(struct loop *l)
{
    uint64_t first_new = l->timers.seq;
    struct heap_node *top;
    while (!l->stopping && (top = heap_top(&l->timers)) && top->seq < first_new)
        if (!loop_run_timer(l))
            break;
}

/* ---- tasks ---- */

void loop_defer(struct loop *l, struct task *t, void (*fn)(struct task *t))
{
    t->fn = fn;
    t->loop = l;
    if (!list_linked(&t->link))
        list_push_back(&l->tasks, &t->link);
}

void task_cancel(struct task *t)
{
    if (!list_linked(&t->link))
        return;
    /* It may be a posted one. */
    pthread_mutex_lock(&t->loop->post_lock);
    list_remove(&t->link);
    pthread_mutex_unlock(&t->loop->post_lock);
}

void loop_post(struct loop *l, struct task *t, void (*fn)(struct task *t))
{
    pthread_mutex_lock(&l->post_lock);
    bool first = list_empty(&l->posted);
    t->fn = fn;
    t->loop = l;
    if (!list_linked(&t->link))
        list_push_back(&l->posted, &t->link);
    pthread_mutex_unlock(&l->post_lock);
    if (first)
        l->backend->wake(l);
}

static struct task *take_posted(struct loop *l, const struct list *behind)
{
    pthread_mutex_lock(&l->post_lock);
    struct list *first = list_first(&l->posted);
    if (first && first != behind)
        list_remove(first);
    pthread_mutex_unlock(&l->post_lock);
    return first && first != behind ? list_entry(first, struct task, link) : NULL;
}

bool loop_run_posted(struct loop *l)
{
    struct task *t = take_posted(l, NULL);
    if (t)
        t->fn(t);
    return t != NULL;
}

/* A mark at the end of the queue limits the round to what is there now. */
static void run_posted(struct loop *l)
{
    struct list mark = {0};
    pthread_mutex_lock(&l->post_lock);
    if (!list_empty(&l->posted))
        list_push_back(&l->posted, &mark);
    pthread_mutex_unlock(&l->post_lock);
    if (!list_linked(&mark))
        return;
    struct task *t;
    while (!l->stopping && (t = take_posted(l, &mark)))
        t->fn(t);
    pthread_mutex_lock(&l->post_lock);
    list_remove(&mark);
    pthread_mutex_unlock(&l->post_lock);
}

bool loop_run_task(struct loop *l)
{
    struct list *first = list_pop_front(&l->tasks);
    if (!first)
        return false;
    struct task *t = list_entry(first, struct task, link);
    t->fn(t);
    return true;
}

static void run_tasks(struct loop *l)
{
    struct list mark = {0};
    list_push_back(&l->tasks, &mark);
    while (!l->stopping && list_first(&l->tasks) != &mark)
        loop_run_task(l);
    list_remove(&mark);
}

void loop_round(struct loop *l)
{
    run_timers(l);
    run_posted(l);
    if (!l->stopping && !list_empty(&l->tasks))
        run_tasks(l);
}

static bool any_posted(struct loop *l)
{
    pthread_mutex_lock(&l->post_lock);
    bool any = !list_empty(&l->posted);
    pthread_mutex_unlock(&l->post_lock);
    return any;
}

bool loop_busy(struct loop *l)
{
    return !list_empty(&l->tasks) || any_posted(l) || loop_next_deadline(l) <= loop_now_ms(l);
}

bool loop_has_timers_or_tasks(struct loop *l)
{
    return l->timers.n || !list_empty(&l->tasks) || any_posted(l);
}

/* ---- the rest goes to the backend ---- */

void loop_work(struct loop *l, struct work *w, void (*run)(struct work *),
               void (*done)(struct work *))
{
    w->run = run;
    w->done = done;
    w->loop = l;
    l->backend->work(l, w);
}

void loop_resolve(struct loop *l, struct resolve *r, struct str host, void (*fn)(struct resolve *r))
{
    *r = (struct resolve){.fn = fn};
    l->backend->resolve(l, r, host);
}

struct listener *loop_listen(struct loop *l, struct str address,
                             void (*accepted)(void *arg, struct stream *s), void *arg,
                             struct err *e)
{
    struct address a;
    if (!address_parse(address, &a) || a.scheme == ADDRESS_UDP) {
        err_set(e, ERR_BAD_REQUEST, "cannot listen on \"%.*s\": not an address", STR_ARG(address));
        return NULL;
    }
    struct listener *ls = l->backend->listen(l, &a, e);
    if (ls) {
        ls->accepted = accepted;
        ls->arg = arg;
    }
    return ls;
}

struct str listener_address(const struct listener *ls)
{
    return str_z(ls->address);
}

void listener_close(struct listener *ls)
{
    ls->loop->backend->listener_close(ls);
}

void loop_connect(struct loop *l, struct connect *c, struct str address, int64_t timeout_ms,
                  void (*fn)(struct connect *c, struct stream *s, int error))
{
    struct address a;
    bool good = address_parse(address, &a) && a.scheme != ADDRESS_UDP;
    c->fn = fn;
    c->loop = l;
    l->backend->connect(l, c, good ? &a : NULL, timeout_ms);
}

void connect_cancel(struct connect *c)
{
    c->loop->backend->connect_cancel(c);
}

struct stream *loop_stream_from_fd(struct loop *l, int fd, struct err *e)
{
    return l->backend->stream_from_fd(l, fd, e);
}

void stream_start(struct stream *s, const struct stream_ops *ops, void *arg)
{
    s->ops = ops;
    s->arg = arg;
    s->loop->backend->stream_start(s);
}

void stream_pause(struct stream *s)
{
    s->loop->backend->stream_pause(s, true);
}

void stream_resume(struct stream *s)
{
    s->loop->backend->stream_pause(s, false);
}

ssize_t stream_write(struct stream *s, const struct str *parts, size_t n_parts)
{
    return s->loop->backend->stream_write(s, parts, n_parts);
}

size_t stream_queued(const struct stream *s)
{
    return s->loop->backend->stream_queued(s);
}

size_t stream_unacked(struct stream *s)
{
    const struct loop_backend *b = s->loop->backend;
    return b->stream_unacked ? b->stream_unacked(s) : 0;
}

void stream_shutdown(struct stream *s)
{
    s->loop->backend->stream_shutdown(s);
}

void stream_close(struct stream *s)
{
    s->loop->backend->stream_close(s);
}

struct str stream_peer(struct stream *s)
{
    return s->loop->backend->stream_peer(s);
}

int stream_fd(struct stream *s)
{
    return s->loop->backend->stream_fd(s);
}

struct udp *loop_udp(struct loop *l, struct str address,
                     void (*received)(struct udp *u, void *arg, struct str bytes, const void *peer,
                                      size_t peer_len),
                     void *arg, struct err *e)
{
    struct address a;
    if (!address_parse(address, &a) || a.scheme != ADDRESS_UDP) {
        err_set(e, ERR_BAD_REQUEST, "cannot listen on \"%.*s\": not an address for datagrams",
                STR_ARG(address));
        return NULL;
    }
    struct udp *u = l->backend->udp(l, &a, e);
    if (u) {
        u->received = received;
        u->arg = arg;
    }
    return u;
}

struct str udp_address(const struct udp *u)
{
    return str_z(u->address);
}

void udp_send(struct udp *u, struct str bytes, const void *peer, size_t peer_len)
{
    u->loop->backend->udp_send(u, bytes, peer, peer_len);
}

void udp_close(struct udp *u)
{
    u->loop->backend->udp_close(u);
}

void fd_watch_start(struct loop *l, struct fd_watch *w, int fd, bool want_read, bool want_write,
                    void (*fn)(struct fd_watch *w, bool readable, bool writable))
{
    w->fn = fn;
    w->fd = fd;
    w->loop = l;
    l->backend->fd_watch_start(w, want_read, want_write);
}

void fd_watch_stop(struct fd_watch *w)
{
    if (w->loop)
        w->loop->backend->fd_watch_stop(w);
}

int loop_spawn(struct loop *l, struct child *c, const struct spawn *how,
               void (*exited)(struct child *c, int status), struct err *e)
{
    must(how->n_fds >= 3 && how->n_fds <= ARRAY_LEN(how->fds) && how->argv[0]);
    c->exited = exited;
    c->loop = l;
    return l->backend->spawn(l, c, how, e);
}

void child_kill(struct child *c, int signal)
{
    if (c->loop)
        c->loop->backend->child_kill(c, signal);
}

void signal_watch_start(struct loop *l, struct signal_watch *w, int signal,
                        void (*fn)(struct signal_watch *w))
{
    signal_watch_stop(w);
    w->fn = fn;
    w->loop = l;
    l->backend->signal_start(w, signal);
}

void signal_watch_stop(struct signal_watch *w)
{
    if (w->loop)
        w->loop->backend->signal_stop(w);
}
