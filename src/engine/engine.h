/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h: containers and images behind the shape of CRI v1.
 *
 * A `struct engine` is somebody who speaks CRI: the embedded engine of this folder (engine_new),
 * another runtime behind a socket, or the fake of a simulated node. Callers cannot tell them
 * apart: they see engine_call for the unary rpcs, sessions for exec, attach and port-forward, and
 * a watch for events.
 *
 * Requests and responses are the structs generated from schema/cri_v1.api ("api/criv1.h"); the
 * method fixes their types: CRIV1_RUN_POD_SANDBOX takes a struct criv1_run_pod_sandbox_request and
 * answers with a struct criv1_run_pod_sandbox_response (criv1_rpcs[method] has the descriptors).
 *
 * Threads: everything here is called on the engine's loop and calls back there. What blocks (disk,
 * mounts, unpacking) runs on the loop's workers.
 *
 * Containers outlive their engine: engine_close only lets go of them, and the next engine_new on
 * the same folder finds them again, with the exits that happened in between.
 */
#ifndef BARQUE_ENGINE_ENGINE_H
#define BARQUE_ENGINE_ENGINE_H

#include "api/criv1.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "loop/loop.h"

struct engine;

/* ---- unary rpcs ----
 * Every unary rpc of CRI v1 is answered, except that checkpointing is refused, and that Exec,
 * Attach and PortForward are the sessions below instead of URLs. The server-streaming rpcs have
 * unary twins; GetContainerEvents is engine_watch. */

struct engine_progress {
    uint64_t bytes_done, bytes_total; /* of all blobs of the image; total 0: not known yet */
    const char *what;                 /* "resolving", "downloading", "unpacking" */
};

/* One call in flight. The caller owns it and its arena, and sets the first group of fields. */
struct engine_call {
    /* On the loop, exactly once, never from inside engine_call itself. *c may be freed in it. */
    void (*done)(struct engine_call *c);
    /* PullImage: at most a few times a second. May be NULL. */
    void (*progress)(struct engine_call *c, const struct engine_progress *p);
    /* Response and error are made here, and what the work needs meanwhile. Used by nobody else
     * until done, also not by another call. */
    struct arena *arena;

    const void *response; /* set before done; NULL when err.code is set */
    /* ERR_NOT_FOUND, ERR_ALREADY_EXISTS, ERR_BAD_REQUEST, ERR_TIMEOUT, ERR_CANCELED,
     * ERR_UNAUTHORIZED and ERR_UNAVAILABLE (pulls) mean what they say; all else is ERR_INTERNAL
     * or ERR_IO. The message is for the pod's event. */
    struct err err;

    enum criv1_method method; /* private from here on */
    const void *request;
    struct list link;
    bool canceled;
};

/* The request is borrowed until done. Removing and stopping what is not there succeeds, as CRI
 * asks. */
void engine_call(struct engine *g, enum criv1_method m, const void *request, struct engine_call *c);
/* Asks a PullImage, StopContainer or ExecSync to end early; done comes with ERR_CANCELED if it
 * did. Others run to their end. */
void engine_cancel(struct engine *g, struct engine_call *c);

/* ---- events ---- */

/* A sandbox is reported as a container whose id is the sandbox's. */
struct engine_event {
    enum criv1_container_event_type type;
    struct str container_id, sandbox_id;
    int64_t at_ns; /* since the epoch */
};

struct engine_watch {
    void (*fn)(struct engine_watch *w, const struct engine_event *ev);
    struct list link; /* private */
};
void engine_watch_start(struct engine *g, struct engine_watch *w,
                        void (*fn)(struct engine_watch *w, const struct engine_event *ev));
void engine_watch_stop(struct engine_watch *w);

/* ---- sessions: exec, attach, port-forward ---- */

struct engine_session;

enum engine_output { ENGINE_STDOUT = 1, ENGINE_STDERR = 2 };

struct engine_session_ops {
    /* Bytes for the client, valid during the call. Port-forward uses ENGINE_STDOUT only. */
    void (*output)(struct engine_session *s, void *arg, enum engine_output which, struct str bytes);
    /* Exactly once, unless engine_session_close comes first; nothing follows. exec: exit_code is
     * that of the command (128 + signal when killed). err is NULL or says why the session failed
     * (no such container, command not found, connection refused). */
    void (*ended)(struct engine_session *s, void *arg, int exit_code, const struct err *err);
    /* All input given so far was taken; only after engine_session_input returned > 0. May be
     * NULL. */
    void (*drained)(struct engine_session *s, void *arg);
};

/* Never fail at once: every failure is told by `ended`, later. ops must outlive the session.
 * The request is read before the call returns. */
struct engine_session *engine_exec(struct engine *g, const struct criv1_exec_request *request,
                                   const struct engine_session_ops *ops, void *arg);
struct engine_session *engine_attach(struct engine *g, const struct criv1_attach_request *request,
                                     const struct engine_session_ops *ops, void *arg);
/* One TCP connection to a port inside the sandbox's network: 127.0.0.1, then ::1. */
struct engine_session *engine_port_forward(struct engine *g, struct str sandbox_id, uint16_t port,
                                           const struct engine_session_ops *ops, void *arg);

/* Bytes from the client. Returns the number of bytes still queued, which the caller bounds by not
 * reading more from its client until `drained`. */
size_t engine_session_input(struct engine_session *s, struct str bytes);
/* The client's end of file. */
void engine_session_input_end(struct engine_session *s);
/* Terminal size; no effect without a terminal. */
void engine_session_resize(struct engine_session *s, uint16_t columns, uint16_t rows);
/* Back-pressure: no output calls until resumed. */
void engine_session_pause(struct engine_session *s);
void engine_session_resume(struct engine_session *s);
/* Ends and frees the session; no callback comes any more. Must be called after `ended`, too. An
 * exec'd command is left to end by itself: its terminal is hung up, its pipes are closed. */
void engine_session_close(struct engine_session *s);

/* ---- the embedded engine ---- */

/* Who makes pod networks. The engine asks when a sandbox starts and ends; a sandbox in the host's
 * network does not ask. */
struct engine_network_call {
    void (*done)(struct engine_network_call *c); /* on the loop; exactly once */
    const char *sandbox_id;
    const struct criv1_pod_sandbox_config *sandbox_config; /* borrowed until done */
    /* Answers of `add`: */
    char netns_path[256]; /* where the namespace is pinned; input of `remove` */
    char ips[2][46];      /* primary first; ips[1] may be empty */
    struct err err;       /* on the engine's arena */
};
struct engine_network {
    void (*add)(struct engine_network *n, struct engine_network_call *c);
    /* Must succeed when there is nothing (left) to remove. */
    void (*remove)(struct engine_network *n, struct engine_network_call *c);
};

struct engine_handler {
    const char *name; /* as in RuntimeClass.handler */
    const char *path; /* an OCI runtime: a path, or a name looked up in PATH */
};

struct engine_config {
    struct loop *loop;
    const char *root;               /* folder for all state; made when missing */
    const char *cgroup_root;        /* "/barque": cgroup for what has no cgroup_parent of its own */
    struct engine_network *network; /* NULL: pods get a namespace with loopback only */
    const char *runtime; /* the default OCI runtime; NULL: crun, or runc where crun is missing */
    const char *conmon;  /* NULL: conmon */
    const struct engine_handler *handlers; /* further runtimes */
    size_t n_handlers;
    /* Registries (host[:port]) that may be spoken to without TLS or with a certificate that does
     * not verify. localhost and 127.0.0.0/8 always may. */
    const char *const *insecure_registries;
    size_t n_insecure_registries;
    const char *ca_file; /* further certificate authorities for registries; NULL: none */
};

/* Finds what an earlier engine left on the folder and takes it over. Strings are copied. Errors:
 * ERR_IO, ERR_CONFLICT (another engine holds the folder). */
int engine_new(const struct engine_config *cfg, struct engine **ret, struct err *e) MUST_USE;
/* Lets go of everything; containers run on. Calls not yet answered are answered first (stops and
 * pulls at once, with ERR_CANCELED), then the engine is freed and closed(arg) is called, which may
 * be NULL. Sessions and watches must have been ended by their owners. */
void engine_close(struct engine *g, void (*closed)(void *arg), void *arg);

/* Kills and unmounts everything that was ever started on the folder, then removes its runtime
 * state (pods, containers); with_images removes the whole folder. Blocks; needs no engine and must
 * not have one running. Safe after kill -9 at any moment, and safe to repeat. */
int engine_purge(const char *root, bool with_images, struct err *e) MUST_USE;

/* What this host can do and lacks, for `barque doctor`. */
struct engine_finding {
    const char *what; /* "crun", "overlayfs", "cgroups" */
    bool ok;
    bool fatal;         /* no container can start without it */
    struct str message; /* "crun 1.8.1", "not found in PATH" */
    struct str fix;     /* a command, or empty */
};
/* On the arena; blocks for some milliseconds. */
void engine_check(const struct engine_config *cfg, struct arena *a, struct engine_finding **ret_v,
                  size_t *ret_n);

#endif
