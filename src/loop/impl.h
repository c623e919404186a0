/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impl.h: what the two implementations of loop.h share. Private to src/loop.
 *
 * loop.c owns timers, tasks and posted tasks and forwards every other call of loop.h to the
 * backend of the loop. A backend embeds `struct loop` (and `struct stream`, `struct listener`,
 * `struct udp`) as the first member of its own struct and reaches that with CONTAINER_OF.
 *
 * One round of a loop is, in this order:
 *   1. loop_round(): due timers, then posted tasks, then deferred tasks, each in order; what they
 *      add with no delay waits for the next round,
 *   2. waiting for the world until loop_next_deadline() (not at all while loop_busy()), and
 *      delivering what happened there.
 * A backend that wants another order (the simulator under a seed) uses the single-step calls.
 */
#ifndef BARQUE_LOOP_IMPL_H
#define BARQUE_LOOP_IMPL_H

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "loop/loop.h"

/* ---- addresses (address.c) ---- */

enum address_scheme { ADDRESS_TCP, ADDRESS_UDP, ADDRESS_UNIX };

struct address {
    enum address_scheme scheme;
    socklen_t len; /* of the part of `in` in use */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
    } in;
};

/* False when s is none of the forms of loop.h (also: a path too long for the kernel). */
bool address_parse(struct str s, struct address *ret);
/* "tcp:10.0.0.7:80", "udp:[::1]:53", "unix:/path": NUL-terminated, cut when it does not fit. */
void address_format(char *out, size_t room, const struct address *a);
/* Without the scheme: "10.0.0.7:80", "[::1]:80"; "@" for Unix. */
void address_format_peer(char *out, size_t room, const struct address *a);

/* ---- what a backend provides ---- */

struct loop_backend {
    /* Rounds until l->stopping, or until nothing is registered any more. */
    void (*run)(struct loop *l);
    /* From inside a callback: l->stopping is set already; ends the present round early. */
    void (*stop)(struct loop *l);
    void (*free)(struct loop *l);
    /* Makes the loop begin a round soon. The only entry that other threads use. */
    void (*wake)(struct loop *l);

    int64_t (*now_ms)(struct loop *l);
    int64_t (*now_ns)(struct loop *l);
    struct wall (*wall)(struct loop *l);
    void (*random)(struct loop *l, void *p, size_t n);

    /* w->run, w->done, w->loop are set. */
    void (*work)(struct loop *l, struct work *w);
    /* r->fn is set, error and n are zero. */
    void (*resolve)(struct loop *l, struct resolve *r, struct str host);

    /* The backend sets `address` of what it returns; the caller sets the callback. Nothing may be
     * accepted before the next round. */
    struct listener *(*listen)(struct loop *l, const struct address *a, struct err *e);
    void (*listener_close)(struct listener *ls);

    /* c->fn and c->loop are set. a is NULL when the address was malformed: to be reported like any
     * failure, in a later round, as -EINVAL. timeout_ms > 0. */
    void (*connect)(struct loop *l, struct connect *c, const struct address *a, int64_t timeout_ms);
    void (*connect_cancel)(struct connect *c);

    struct stream *(*stream_from_fd)(struct loop *l, int fd, struct err *e);
    /* s->ops and s->arg are set. */
    void (*stream_start)(struct stream *s);
    void (*stream_pause)(struct stream *s, bool paused);
    ssize_t (*stream_write)(struct stream *s, const struct str *parts, size_t n_parts);
    size_t (*stream_queued)(const struct stream *s);
    size_t (*stream_unacked)(struct stream *s); /* NULL: not known */
    void (*stream_shutdown)(struct stream *s);
    void (*stream_close)(struct stream *s);
    struct str (*stream_peer)(struct stream *s);
    int (*stream_fd)(struct stream *s);

    struct udp *(*udp)(struct loop *l, const struct address *a, struct err *e);
    void (*udp_send)(struct udp *u, struct str bytes, const void *peer, size_t peer_len);
    void (*udp_close)(struct udp *u);

    /* w->fn, w->fd and w->loop are set; also called to change what a started watch wants. */
    void (*fd_watch_start)(struct fd_watch *w, bool want_read, bool want_write);
    void (*fd_watch_stop)(struct fd_watch *w);

    /* c->exited and c->loop are set; sets c->pid. */
    int (*spawn)(struct loop *l, struct child *c, const struct spawn *how, struct err *e);
    void (*child_kill)(struct child *c, int signal);
    /* w->fn and w->loop are set. */
    void (*signal_start)(struct signal_watch *w, int signal);
    void (*signal_stop)(struct signal_watch *w);
};

/* ---- the parts every backend has ---- */

struct loop {
    const struct loop_backend *backend;
    struct heap timers; /* struct timer.node, keyed by deadline in loop_now_ms */
    struct list tasks;  /* struct task.link, due, in order */
    bool stopping;
    pthread_mutex_t post_lock;
    struct list posted; /* struct task.link, under post_lock */
};

struct stream {
    struct loop *loop;
    const struct stream_ops *ops; /* NULL until stream_start */
    void *arg;
};

struct listener {
    struct loop *loop;
    void (*accepted)(void *arg, struct stream *s);
    void *arg;
    char address[128]; /* with its scheme and real port, NUL-terminated */
};

struct udp {
    struct loop *loop;
    void (*received)(struct udp *u, void *arg, struct str bytes, const void *peer, size_t peer_len);
    void *arg;
    char address[64];
};

void loop_init(struct loop *l, const struct loop_backend *backend);
void loop_fini(struct loop *l); /* contract: no timer and no task is left */

/* Runs step 1 of a round. Returns early when the loop is stopping. */
void loop_round(struct loop *l);
/* Something is due without waiting: a task, a posted task, a timer. */
bool loop_busy(struct loop *l);
/* Anything registered in the common part: timers, tasks. */
bool loop_has_timers_or_tasks(struct loop *l);
/* Milliseconds (of loop_now_ms) of the earliest timer, INT64_MAX when there is none. */
int64_t loop_next_deadline(const struct loop *l);
/* Single steps; false when there was nothing to run. */
bool loop_run_timer(struct loop *l); /* the earliest, when it is due now */
bool loop_run_task(struct loop *l);  /* the oldest deferred task */
bool loop_run_posted(struct loop *l);

#endif
