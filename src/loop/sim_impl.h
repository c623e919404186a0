/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_impl.h: what the files of the simulated world share. Private to src/loop.
 *
 * sim.c owns the queue, the clock, chance, machines and loops; sim_stream.c and sim_udp.c own what
 * lies between machines. Every future happening is a struct sim_event embedded in its owner, and
 * is in the queue at most once. Each loop has one event, its turn, which stands for its common
 * part (timers, tasks, posted tasks) and is set anew after whatever may have changed that.
 */
#ifndef BARQUE_LOOP_SIM_IMPL_H
#define BARQUE_LOOP_SIM_IMPL_H

#include "base/buf.h"
#include "base/map.h"
#include "loop/impl.h"
#include "loop/sim.h"

struct chance {
    uint64_t state;
};

struct sim_event {
    struct heap_node node; /* key: virtual nanoseconds */
    void (*fn)(struct sim_event *ev);
    const char *name; /* for the trace */
};

struct sim {
    int64_t now_ns;
    struct heap queue;      /* struct sim_event.node */
    struct heap alarms;     /* struct sim_alarm.node */
    struct chance order;    /* ties, latency, faults */
    struct chance scenario; /* sim_draw */
    uint64_t seed;
    struct sim_faults faults;
    struct map machines; /* name -> struct sim_machine */
    struct map by_ip;    /* 4 bytes -> struct sim_machine */
    struct list loops;   /* struct sim_loop.link */
    struct list conns;   /* struct sim_conn.link */
    struct list closed;  /* struct sim_end.link: freed before the next event */
    struct list mail;    /* struct sim_datagram.link: under way */
    uint32_t next_id;    /* of loops, streams, datagram sockets */
    bool running, stopped;
    struct sim_loop *inside; /* whose callback runs */
    bool changed;            /* something outside a loop may have touched any of them */
    uint64_t steps, trace;
    uint32_t steps_instant;
    FILE *trace_to;
    void (*check)(void *arg);
    void *check_arg;
    char read_buffer[SIM_READ_BYTES_MAX];
};

struct sim_machine {
    struct sim *sim;
    char *name;
    char ip[16];
    uint32_t ip_be; /* network order */
    uint32_t index;
    bool off;
    int64_t boot_ms;     /* what its monotonic clock showed when the world began */
    int64_t wall_off_ms; /* its wall clock minus the right one */
    uint16_t next_port;
    struct map listeners; /* "tcp:443", "unix:/path" -> struct sim_listener */
    struct map datagrams; /* 2 bytes of port -> struct sim_udp */
    struct map cut;       /* 4 bytes of ip -> non-NULL: nothing passes to that machine */
};

struct sim_loop {
    struct loop base;
    struct sim *sim;
    struct sim_machine *machine;
    struct list link;
    uint32_t id;
    bool dead; /* crashed: nothing has an effect any more */
    struct sim_event turn;
    struct chance random; /* what loop_random draws from */
    size_t registered;
    struct list jobs; /* struct sim_job.link: waiting or under way */
    size_t jobs_running;
    struct list ends, listeners, dials, lookups, sockets; /* what a crash takes along */
};

static inline struct sim_loop *sim_of(struct loop *l)
{
    return CONTAINER_OF(l, struct sim_loop, base);
}

/* ---- chance (sim.c) ---- */

uint64_t chance_u64(struct chance *c);
uint64_t chance_below(struct chance *c, uint64_t below);
int64_t chance_between(struct chance *c, int64_t min, int64_t max); /* both included */
bool chance_ppm(struct chance *c, uint32_t ppm);

/* ---- events (sim.c) ---- */

/* Moves the event when it is in the queue already. */
void sim_schedule(struct sim *w, struct sim_event *ev, int64_t delay_ns,
                  void (*fn)(struct sim_event *ev), const char *name);
void sim_cancel(struct sim *w, struct sim_event *ev);
static inline bool sim_scheduled(const struct sim_event *ev)
{
    return heap_linked(&ev->node);
}
/* Around every callback on a loop: afterwards its turn is set anew. */
void sim_enter(struct sim_loop *l);
void sim_leave(struct sim_loop *l);
/* Mixes a happening into the trace: kind, the object's id, a number, bytes. */
void sim_mark(struct sim *w, const char *kind, uint64_t id, int64_t number, struct str bytes);
/* One way between the two, drawn. */
int64_t sim_latency_ns(struct sim *w, const struct sim_machine *from, const struct sim_machine *to);
struct sim_machine *sim_machine(struct sim *w, const char *name);
struct sim_machine *sim_machine_at(struct sim *w, uint32_t ip_be); /* NULL: nobody */
/* The machine that an address means when `from` uses it: itself for loopback and Unix. */
struct sim_machine *sim_route(struct sim_machine *from, const struct address *a);
bool sim_reachable(const struct sim_machine *a, const struct sim_machine *b);
uint16_t sim_port(struct sim_machine *m); /* an ephemeral one */

/* ---- streams (sim_stream.c) ---- */

struct listener *sim_listen(struct loop *l, const struct address *a, struct err *e);
void sim_listener_close(struct listener *ls);
void sim_connect(struct loop *l, struct connect *c, const struct address *a, int64_t timeout_ms);
void sim_connect_cancel(struct connect *c);
void sim_stream_start(struct stream *s);
void sim_stream_pause(struct stream *s, bool paused);
ssize_t sim_stream_write(struct stream *s, const struct str *parts, size_t n_parts);
size_t sim_stream_queued(const struct stream *s);
void sim_stream_shutdown(struct stream *s);
void sim_stream_close(struct stream *s);
struct str sim_stream_peer(struct stream *s);

/* Frees the ends that were closed by now. */
void sim_streams_sweep(struct sim *w);
/* Whether machines can reach each other has changed. */
void sim_streams_rethink(struct sim *w);
/* l is dead: its listeners, dials and stream ends go; silent: the peers are not told. */
void sim_streams_crash(struct sim_loop *l, bool silent);
/* b NULL: all of a's. */
void sim_streams_reset(struct sim *w, const struct sim_machine *a, const struct sim_machine *b);
/* Frees what the owner of a crashed loop left behind. */
void sim_streams_abandon(struct sim_loop *l);
/* Frees connections that nobody holds an end of. */
void sim_streams_fini(struct sim *w);

/* ---- datagrams (sim_udp.c) ---- */

struct udp *sim_udp_new(struct loop *l, const struct address *a, struct err *e);
void sim_udp_send(struct udp *u, struct str bytes, const void *peer, size_t peer_len);
void sim_udp_close(struct udp *u);
void sim_udp_crash(struct sim_loop *l);
void sim_udp_abandon(struct sim_loop *l);
void sim_udp_fini(struct sim *w);

#endif
