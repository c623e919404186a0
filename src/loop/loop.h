/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h: the only door to clock, timers, chance, sockets, files' readiness, children and threads.
 *
 * A loop owns its state and everything that is registered with it; all callbacks run on the
 * thread that is inside loop_run, one at a time, to completion. The only calls allowed from other
 * threads are loop_post and, inside a work function, pure computation and blocking system calls.
 *
 * Two implementations: loop_new() (libuv, the real world) and sim_loop() (loop/sim.h: virtual
 * clock, seeded order, faults). Code above this header cannot tell which one it runs on.
 *
 * The structs below are embedded in their users (intrusive): the memory must stay valid until the
 * thing is stopped, closed or done. Fields marked private belong to the loop.
 */
#ifndef BARQUE_LOOP_LOOP_H
#define BARQUE_LOOP_LOOP_H

#include "base/clock.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/str.h"

struct loop;

/* The real loop. Fails with ERR_IO when the kernel refuses (e.g. out of descriptors). */
struct loop *loop_new(struct err *e);
/* Everything registered must have been closed. */
void loop_free(struct loop *l);
/* Runs callbacks until loop_stop, or until nothing is registered any more (timers, tasks, open
 * streams, watches, children, work under way...). May be run again. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* ---- clock and chance ---- */

/* Monotonic milliseconds; constant during one callback batch. */
int64_t loop_now_ms(struct loop *l);
/* Monotonic nanoseconds, read afresh: for measuring. */
int64_t loop_now_ns(struct loop *l);
/* The wall clock, which may jump. */
struct wall loop_wall(struct loop *l);
void loop_random(struct loop *l, void *p, size_t n); /* cryptographic in the real loop */
uint64_t loop_random_u64(struct loop *l);

/* ---- timers ---- */

struct timer {
    void (*fn)(struct timer *t);
    struct heap_node node; /* private */
    struct loop *loop;     /* private */
};

/* Calls fn once, delay_ms from now (0: in the next round). Restarting moves it. A zeroed timer is
 * a valid stopped one. */
void timer_start(struct loop *l, struct timer *t, int64_t delay_ms, void (*fn)(struct timer *t));
void timer_stop(struct timer *t); /* no effect on a stopped timer */
bool timer_active(const struct timer *t);

/* ---- tasks: run soon, on the loop ---- */

struct task {
    void (*fn)(struct task *t);
    struct list link;  /* private */
    struct loop *loop; /* private */
};

/* Calls fn once, after the present callback returns and before the loop waits for the kernel. A
 * task that is already due is not added twice. */
void loop_defer(struct loop *l, struct task *t, void (*fn)(struct task *t));
void task_cancel(struct task *t);
/* As loop_defer, from any thread; wakes the loop. The task must not be in use elsewhere. */
void loop_post(struct loop *l, struct task *t, void (*fn)(struct task *t));

/* ---- work: a blocking call on the worker pool ---- */

struct work {
    void (*run)(struct work *w);  /* on a worker thread; must not touch the loop's state */
    void (*done)(struct work *w); /* on the loop, exactly once; *w may be freed in it */
    void *private_; /* private */
    struct loop *loop; /* private */
};

/* At most WORK_PARALLEL_MAX run at a time, the rest wait in order. Cannot be cancelled. */
void loop_work(struct loop *l, struct work *w, void (*run)(struct work *), void (*done)(struct work *));
enum { WORK_PARALLEL_MAX = 4 };

/* ---- addresses ----
 * "tcp:127.0.0.1:6443", "tcp:[::1]:6443", "tcp:0.0.0.0:0" (port chosen by the kernel),
 * "unix:/path", "udp:10.96.0.10:53". Names are not resolved here: see loop_resolve. */

struct resolve {
    void (*fn)(struct resolve *r); /* ret_error == 0: addresses[0..n) are numeric, "10.0.0.1" */
    int error;                     /* 0 or -enum err_code */
    char addresses[8][46];
    size_t n;
    void *private_; /* private */
};
/* Resolves host through the system's resolver on the worker pool. */
void loop_resolve(struct loop *l, struct resolve *r, struct str host,
                  void (*fn)(struct resolve *r));

/* ---- streams: TCP and Unix connections ---- */

struct stream;

struct stream_ops {
    /* Bytes arrived; they are valid during the call only. */
    void (*read)(struct stream *s, void *arg, struct str bytes);
    /* The peer ended its side (error == 0: orderly, writing still works) or the connection broke
     * (negative errno). At most once each, an error last; nothing is read afterwards; the user
     * still has to stream_close. A connection that breaks after the peer's orderly end is noticed
     * only by bytes that cannot be sent. */
    void (*end)(struct stream *s, void *arg, int error);
    /* All queued bytes have gone to the kernel; only after stream_write returned > 0. May be
     * NULL. */
    void (*drained)(struct stream *s, void *arg);
};

/* Sets the callbacks and starts reading. ops must outlive the stream. */
void stream_start(struct stream *s, const struct stream_ops *ops, void *arg);
/* Back-pressure: no read callbacks until resumed. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);
/* Writes now what the kernel takes and queues a copy of the rest. Returns the number of bytes
 * queued after the call (0: all gone), or -ERR_IO when the connection is broken (end will be or
 * was called). The caller bounds the queue by stopping at a limit of its own. */
ssize_t stream_write(struct stream *s, const struct str *parts, size_t n_parts);
size_t stream_queued(const struct stream *s);
/* Bytes in the kernel that the peer has not acknowledged; 0 where that is not known. Tells a peer
 * that reads slowly from one that reads nothing. Costs a system call. */
size_t stream_unacked(struct stream *s);
/* Ends the sending side after the queue has gone; reading goes on. */
void stream_shutdown(struct stream *s);
/* Flushes nothing, frees the stream soon; no callback comes any more. */
void stream_close(struct stream *s);
/* "10.0.0.7:41234", or "@" for a Unix peer. Valid as long as the stream. */
struct str stream_peer(struct stream *s);
/* The descriptor (real loop), or -1. For SO_PEERCRED and the like; still owned by the stream. */
int stream_fd(struct stream *s);

struct listener;
/* A socket file that nobody listens on any more is replaced; closing removes it. accepted owns each new stream and must stream_start or stream_close it. */
struct listener *loop_listen(struct loop *l, struct str address,
                             void (*accepted)(void *arg, struct stream *s), void *arg,
                             struct err *e);
/* The address in use, with the real port. */
struct str listener_address(const struct listener *ls);
void listener_close(struct listener *ls);

struct connect {
    /* s is NULL on failure, with error a negative errno (-ETIMEDOUT when time ran out). */
    void (*fn)(struct connect *c, struct stream *s, int error);
    void *private_; /* private */
    struct timer timer;   /* private */
    struct loop *loop;    /* private */
};
void loop_connect(struct loop *l, struct connect *c, struct str address, int64_t timeout_ms,
                  void (*fn)(struct connect *c, struct stream *s, int error));
void connect_cancel(struct connect *c);
/* Wraps a connected socket that came from elsewhere (inherited, socketpair); takes the fd. */
struct stream *loop_stream_from_fd(struct loop *l, int fd, struct err *e);

/* ---- datagrams ---- */

struct udp;
struct udp *loop_udp(struct loop *l, struct str address,
                     void (*received)(struct udp *u, void *arg, struct str bytes,
                                      const void *peer, size_t peer_len),
                     void *arg, struct err *e);
struct str udp_address(const struct udp *u);
/* Drops the datagram when the kernel's queue is full, as UDP may. peer: a struct sockaddr. */
void udp_send(struct udp *u, struct str bytes, const void *peer, size_t peer_len);
void udp_close(struct udp *u);

/* ---- other descriptors (netlink, inotify, eventfd, pidfd, pty): readiness only ---- */

struct fd_watch {
    void (*fn)(struct fd_watch *w, bool readable, bool writable);
    int fd;
    void *private_; /* private */
    struct loop *loop; /* private */
};
/* Level-triggered. Makes fd non-blocking. A zeroed watch is a valid stopped one; starting again
 * with the same fd changes what is wanted. At most one watch per descriptor, and none on regular
 * files. An error of the descriptor is reported as readable and writable, for as long as it is
 * watched: the owner's read or write says which. */
void fd_watch_start(struct loop *l, struct fd_watch *w, int fd, bool want_read, bool want_write,
                    void (*fn)(struct fd_watch *w, bool readable, bool writable));
void fd_watch_stop(struct fd_watch *w); /* the fd stays open and the caller's */

/* ---- children and signals ---- */

struct child {
    /* Exit status, or 128 + signal. Exactly once after a successful loop_spawn. */
    void (*exited)(struct child *c, int status);
    int pid;
    void *private_; /* private */
    struct loop *loop; /* private */
};

struct spawn {
    const char *const *argv;  /* argv[0] is looked up in PATH (of env); NULL-terminated */
    const char *const *env;   /* NULL: inherit */
    const char *cwd;          /* NULL: inherit */
    int fds[8];               /* fds[i] becomes descriptor i of the child; -1: /dev/null for 0..2,
                                 closed otherwise */
    size_t n_fds;             /* at least 3 */
    bool new_session;         /* setsid */
    uint32_t uid, gid;        /* when set_ids */
    bool set_ids;             /* also drops the supplementary groups */
};
/* All other descriptors are closed in the child. Fails with ERR_IO (program missing, ...). */
int loop_spawn(struct loop *l, struct child *c, const struct spawn *how,
               void (*exited)(struct child *c, int status), struct err *e) MUST_USE;
/* kill(2), no effect after the exit was reported. */
void child_kill(struct child *c, int signal);

struct signal_watch {
    void (*fn)(struct signal_watch *w);
    void *private_; /* private */
    struct loop *loop; /* private */
};
/* A zeroed watch is a valid stopped one. */
void signal_watch_start(struct loop *l, struct signal_watch *w, int signal,
                        void (*fn)(struct signal_watch *w));
void signal_watch_stop(struct signal_watch *w);

#endif
