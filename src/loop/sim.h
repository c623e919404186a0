/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h: the simulated world: many loops in one process, under one virtual clock and one seed.
 *
 * A world holds machines; a machine has a name, an IP address, a wall clock and any number of
 * loops (the processes that run on it). Code that uses a loop through loop.h runs here unchanged.
 * Nothing takes real time: when nothing is ready, the clock jumps to the next event.
 *
 *   struct sim *w = sim_new(seed);
 *   struct loop *server = sim_loop(w, "control");      10.0.0.1
 *   struct loop *agent = sim_loop(w, "node-1");        10.0.0.2
 *   ... start the roles on their loops ...
 *   bool settled = sim_run_until(w, everything_ready, &state, 60000);
 *
 * Order. Everything that happens is one event in one queue, ordered by virtual time; which of the
 * events of one instant comes first is drawn from the seed. Kept are the orders that the real
 * loop keeps: bytes of a stream, deferred tasks among each other, timers by deadline. So one seed
 * is one run, exactly: sim_trace() is a hash of all events and bytes, and is equal when the seed
 * and the program are. Programs must not look at pointers, real clocks or uninitialised memory.
 *
 * What is simulated: timers, tasks, work, TCP and Unix streams, datagrams, name resolution (of
 * machine names), chance (loop_random draws from the seed). What is not: descriptors, children
 * and signals: loop_spawn and loop_stream_from_fd fail with ERR_UNAVAILABLE, signal watches never
 * fire, fd_watch_start ends the process.
 *
 * Work runs for real, inline, between loop_work and its done callback: at a drawn virtual time
 * after the call, with done some drawn time later, so that a crash can fall between the two.
 *
 * Faults come from a profile (struct sim_faults: chance decides) and from calls (the scenario
 * decides). Calls may be made between runs and from alarms, not from a loop's callbacks.
 *
 * Not thread-safe: everything runs on the caller's thread, loop_post included. One world at a
 * time sets the clock of log.h.
 */
#ifndef BARQUE_LOOP_SIM_H
#define BARQUE_LOOP_SIM_H

#include "loop/loop.h"

struct sim;

enum {
    SIM_STEPS_INSTANT_MAX = 1000000, /* events at one instant before the run is called a livelock */
    SIM_STREAM_BYTES = 256 << 10,    /* under way or unread in one direction of a stream */
    SIM_READ_BYTES_MAX = 64 << 10,   /* of one read callback */
    SIM_RETRANSMIT_MS = 200,         /* delay of a lost segment, doubled with each loss in a row */
    SIM_DEAD_MS = 735000,            /* a stream whose ends cannot reach each other for so long is
                                        broken with -ETIMEDOUT (60 s and nine keepalive probes) */
    SIM_LOOPS_MAX = 10000,
};

/* ---- the world ---- */

/* Clock at 0, wall clocks at 2026-01-01T00:00:00Z, no faults. */
struct sim *sim_new(uint64_t seed);
/* All loops must have been freed. */
void sim_free(struct sim *w);
uint64_t sim_seed(const struct sim *w);

/* A new loop on the machine of that name, which is made when it is new: the first gets 10.0.0.1.
 * Free it with loop_free once everything registered is closed. loop_run on it runs the whole
 * world until this loop stops or has nothing registered. */
struct loop *sim_loop(struct sim *w, const char *machine);
/* "10.0.0.1"; lives as long as the world. */
const char *sim_ip(struct sim *w, const char *machine);

/* Runs until pred (may be NULL) holds, looked at after every event, or ms_max of virtual time have
 * passed, or nothing is left to happen; true when pred holds. */
bool sim_run_until(struct sim *w, bool (*pred)(void *arg), void *arg, int64_t ms_max);
void sim_run(struct sim *w, int64_t ms);
/* Nothing will happen any more unless something outside the world acts. */
bool sim_idle(struct sim *w);

int64_t sim_now_ms(const struct sim *w);
uint64_t sim_steps(const struct sim *w); /* events so far */

/* The scenario's own timer, outside of any loop. A zeroed one is a valid stopped one. */
struct sim_alarm {
    void (*fn)(struct sim_alarm *a);
    struct heap_node node; /* private */
    struct sim *sim;       /* private */
};
void sim_alarm(struct sim *w, struct sim_alarm *a, int64_t delay_ms,
               void (*fn)(struct sim_alarm *a));
void sim_alarm_stop(struct sim_alarm *a);

/* fn is called after every event; for invariants. */
void sim_check(struct sim *w, void (*fn)(void *arg), void *arg);

/* A draw from the scenario's own sequence: 0..below-1. */
uint64_t sim_draw(struct sim *w, uint64_t below);

/* ---- what happened ---- */

/* Hash of everything that happened so far. */
uint64_t sim_trace(const struct sim *w);
/* Adds a line of the scenario to the trace. */
void sim_note(struct sim *w, const char *fmt, ...) PRINTF(2, 3);
/* Writes a line for each event from now on; NULL stops that. */
void sim_trace_to(struct sim *w, FILE *f);

/* ---- faults by chance ---- */

struct sim_faults {
    int64_t latency_us_min, latency_us_max; /* one way, between machines; default 100..500 */
    int64_t local_us_min, local_us_max;     /* within a machine; default 5..50 */
    int64_t work_us_min, work_us_max;       /* until work runs, and again until it is done;
                                               default 20..2000 */
    uint32_t loss_ppm;        /* segments lost (streams: retransmitted; datagrams: gone) */
    uint32_t duplicate_ppm;   /* datagrams that arrive twice */
    uint32_t reset_ppm;       /* segments instead of which the connection is reset */
    uint32_t short_io_ppm;    /* reads that bring less than there is, writes that take less than
                                 there is room for */
    uint32_t slow_reader_ppm; /* stream ends that read at most 1 KiB every 1..50 ms */
};
extern const struct sim_faults sim_faults_none;  /* the defaults, no faults */
extern const struct sim_faults sim_faults_rough; /* a bad day: some of everything */
void sim_set_faults(struct sim *w, const struct sim_faults *f);

/* ---- faults by decision ---- */

/* The process ends at once, as by SIGKILL: its timers, tasks and work under way vanish, no
 * callback comes any more, its listeners close, its streams end at the peers (orderly or by
 * reset, drawn). The owner then frees its objects through loop.h as ever, where everything has no
 * effect and stream_write fails, and calls loop_free. sim_loop() on the machine is the restart. */
void sim_crash(struct sim *w, struct loop *l);
/* All loops of the machine crash, and their peers learn nothing: streams hang half-open until
 * they time out, or until the machine is back and answers with a reset. */
void sim_power_off(struct sim *w, const char *machine);
void sim_power_on(struct sim *w, const char *machine);
/* Nothing passes between the two machines, in either direction. Streams stall, and go on after
 * sim_heal if that is soon enough; datagrams are lost. b NULL: all others. */
void sim_partition(struct sim *w, const char *a, const char *b);
void sim_heal(struct sim *w, const char *a, const char *b);
/* Resets every stream between the two machines. b NULL: all of a's. */
void sim_reset_streams(struct sim *w, const char *a, const char *b);
/* The machine's wall clock jumps. Its monotonic clock never does. */
void sim_wall_step(struct sim *w, const char *machine, int64_t ms);

#endif
