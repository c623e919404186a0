/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local.h: the embedded engine from the inside: its state, and what its parts share.
 *
 * Files, below the engine's root:
 *
 *   images/                    the image store (images.h)
 *   snapshots/<id>/            what a container wrote: upper/ and work/ (snapshot.h)
 *   history/{pods,containers}/ copies of the records, for after a restart of the machine
 *   bin/helper                 helper.c
 *   cgroup                     the engine's cgroup_root
 *   boot                       the kernel's boot id when the engine last ran
 *   lock                       held by the running engine
 *   run/                       a tmpfs: what means nothing after a restart of the machine. (Making
 *                              and removing some forty small files for a pod costs milliseconds on
 *                              a disk's filesystem.)
 *   run/pods/<id>/             a sandbox: record.json, ns/{uts,ipc,net}, shm/, hostname, hosts,
 *                              resolv.conf, pause.pid
 *   run/containers/<id>/       a container, and its OCI bundle: record.json, config.json, layers,
 *                              rootfs/ (mounted), pid, conmon.pid, attach, ctl
 *   run/exits/<id>             exit code, written by conmon; the file's time is that of the exit
 *   run/oci/<handler>/         state of the OCI runtime
 *
 * A folder under run/pods or run/containers is made before anything that belongs to it (mount,
 * pin, cgroup, process), so that whatever exists can be found and undone.
 *
 * State lives on the loop. Jobs on workers get what they need in their own structs, and touch of
 * struct local only what never changes after engine_new.
 */
#ifndef BARQUE_ENGINE_LOCAL_H
#define BARQUE_ENGINE_LOCAL_H

#include "api/enginev1.h"
#include "base/buf.h"
#include "base/map.h"
#include "engine/cgroup.h"
#include "engine/images.h"
#include "engine/oci_spec.h"
#include "engine/registry.h"
#include "engine/transport.h"

enum {
    ID_LEN = 64,
    RECORD_BYTES_MAX = 16 << 20,
    RECORD_ARENA_MAX = 64 << 20,
    COMMAND_OUTPUT_MAX = 64 << 10, /* of a runtime's messages */
};

struct handler {
    char *name; /* "" is the default */
    char *path; /* absolute */
    bool crun;
};

struct local {
    struct engine base;

    /* constant after engine_new */
    struct loop *loop;
    char *root;
    char *run; /* "<root>/run" */
    char *cgroup_root;
    char *conmon; /* absolute */
    char *helper;
    struct handler *handlers;
    size_t n_handlers;
    struct engine_network *network;
    struct cgroups cgroups;
    struct spec_host host;
    struct image_store *images;
    struct registry_trust trust;

    /* the loop's */
    struct map sandboxes, containers; /* by id */
    struct list watches;
    struct list sync_execs;     /* that run (exec.c) */
    struct list pulls;          /* running or waiting (pull.c) */
    struct fd_watch exit_watch; /* inotify on exits/ */
    int lock;
    uint32_t pending; /* jobs, commands and waiting calls that hold on to the engine */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

static inline struct local *local_of(struct engine *g)
{
    return CONTAINER_OF(g, struct local, base);
}

/* ---- life (local.c) ---- */

/* Holds the engine's memory until let go. */
void local_hold(struct local *g);
void local_let_go(struct local *g);
int64_t local_now_ns(struct local *g);
/* A fresh id, NUL-terminated. */
void local_new_id(struct local *g, char out[ID_LEN + 1]);
/* The path of an executable, looked up in PATH unless it has a slash; malloc'd, or NULL. */
char *program_find(const char *name);
/* NULL when there is no such handler. */
const struct handler *local_handler(const struct local *g, struct str name);
void local_event(struct local *g, enum criv1_container_event_type type, struct str container_id,
                 struct str sandbox_id);

/* Keeps other engines off the folder as long as the descriptor is open. ERR_CONFLICT. */
int engine_lock(const char *root, int *ret_fd, struct err *e) MUST_USE;

/* ---- answering calls ---- */

/* Zeroed memory for the response. */
#define RESPONSE(call, type)                                                                       \
    ({                                                                                             \
        type *r_ = arena_new((call)->arena, type);                                                 \
        (call)->response = r_;                                                                     \
        r_;                                                                                        \
    })
/* Ends the call: from the loop, never while still inside engine_call. */
void call_done(struct local *g, struct engine_call *c);
/* Ends all calls of the list; e: NULL or the error they get. */
void calls_done(struct local *g, struct list *calls, const struct err *e);

/* ---- jobs: a blocking part of an operation, on a worker (jobs.c) ---- */

struct job {
    struct work work; /* private */
    struct local *g;
    void (*run)(struct job *j);  /* on a worker */
    void (*done)(struct job *j); /* on the loop; may free the job */
};
void job_start(struct local *g, struct job *j, void (*run)(struct job *j),
               void (*done)(struct job *j));

/* ---- commands: a child whose output is kept (jobs.c) ---- */

struct command {
    struct local *g;
    struct child child;
    struct command_pipe {
        struct fd_watch watch;
        struct buf bytes; /* what came; cut at its cap */
        int fd;
    } out, err;
    int status;     /* as loop.h says */
    bool truncated; /* more output came than was kept */
    void (*done)(struct command *c);
};
/* Runs argv[0] (absolute). Output up to the caps is kept; a cap of 0 sends it to /dev/null. When
 * done is called the child has ended and what it had written is read; its own children may still
 * hold the pipes. command_fini frees what was kept. */
int command_start(struct local *g, struct command *c, const char *const *argv, const char *cwd,
                  size_t out_max, size_t err_max, void (*done)(struct command *c),
                  struct err *e) MUST_USE;
void command_fini(struct command *c);
/* What it said on stderr, for a user. */
struct str command_message(const struct command *c);
/* The last line of a runtime's output, without the time and the level in front. */
struct str readable_message(struct str text);

/* The arguments that every call of an OCI runtime begins with. start: "create" shall run the
 * container at once (helper/helper.c). */
enum { RUNTIME_ARGS_MAX = 8 };
size_t runtime_args(const struct local *g, const struct handler *h, bool start, struct arena *a,
                    const char *argv[RUNTIME_ARGS_MAX]);

/* ---- records (record.c) ---- */

/* "<root>/run/pods/<id>/<name>" on the arena; an empty name gives the folder. */
const char *pod_path(const struct local *g, struct arena *a, struct str id, const char *name);
const char *container_path(const struct local *g, struct arena *a, struct str id, const char *name);
enum record_kind { RECORD_POD, RECORD_CONTAINER };
/* Writes run/{pods,containers}/<id>/record.json in one step. */
int record_write(const char *root, enum record_kind kind, struct str id, const void *record,
                 struct err *e) MUST_USE;
/* Writes the copy in history/, which is not urgent. */
int record_remember(const char *root, enum record_kind kind, struct str id, const void *record,
                    struct err *e) MUST_USE;
void record_forget(const char *root, enum record_kind kind, struct str id);
int record_read(const char *root, enum record_kind kind, const char *id, struct arena *a,
                void *record, struct err *e) MUST_USE;
/* From history/. */
int record_recall(const char *root, enum record_kind kind, const char *id, struct arena *a,
                  void *record, struct err *e) MUST_USE;
/* Brings the records of history/ back to a run/ that is empty. */
int records_restore(const char *root, struct err *e) MUST_USE;
/* Kills every process and group of the records under root; see engine_purge. */
int processes_purge(const char *root, struct err *e) MUST_USE;

/* ---- sandboxes (sandbox.c) ---- */

enum sandbox_phase {
    SANDBOX_STARTING, /* not listed yet */
    SANDBOX_IDLE,     /* ready or not, as the record says */
    SANDBOX_STOPPING, /* containers first, then network, then namespaces */
    SANDBOX_REMOVING, /* containers first, then the folder */
};

/* When processor time was last told, for the rate since. */
struct cpu_mark {
    int64_t at_ns;
    uint64_t cpu_ns;
};

struct sandbox {
    struct local *g;
    struct arena arena;
    struct cpu_mark cpu_mark;
    struct enginev1_sandbox_record r;
    struct list containers; /* of struct container.in_sandbox */
    enum sandbox_phase phase;
    bool undone;       /* network and namespaces are known to be gone */
    bool step_running; /* a job or a network call of the present phase is under way */
    struct list stop_calls, remove_calls; /* of struct engine_call.link */
};

/* By id or by an unambiguous prefix; NULL. */
struct sandbox *sandbox_find(struct local *g, struct str id);
void sandbox_run(struct local *g, struct engine_call *c);
void sandbox_stop(struct local *g, struct engine_call *c);
void sandbox_remove(struct local *g, struct engine_call *c);
void sandbox_status(struct local *g, struct engine_call *c);
void sandbox_list(struct local *g, struct engine_call *c);
void sandbox_stats(struct local *g, struct engine_call *c);
void sandbox_stats_list(struct local *g, struct engine_call *c);
void sandbox_update(struct local *g, struct engine_call *c);
/* Goes on with a stop or a removal after one of its containers is done. */
void sandbox_step(struct sandbox *s);
bool sandbox_host_network(const struct sandbox *s);
/* Every pair of the selector is among the labels. */
bool labels_match(const struct str_map *selector, const struct str_map *labels);
/* The pid of the shared PID namespace's init, or 0. */
int sandbox_pause_pid(const struct sandbox *s);
/* Reads the folders; on a new boot nothing runs any more. */
int sandboxes_load(struct local *g, bool new_boot, struct err *e) MUST_USE;
void sandbox_free(struct sandbox *s);

/* ---- containers (container.c, start.c, stop.c) ---- */

enum container_phase {
    CONTAINER_MAKING, /* not listed yet */
    CONTAINER_IDLE,   /* as the record's state says */
    CONTAINER_STARTING,
    CONTAINER_CLEANING, /* exited; runtime state, cgroup and mounts are being removed */
    CONTAINER_REMOVING,
};

struct container {
    struct local *g;
    struct arena arena;
    struct cpu_mark cpu_mark;
    struct enginev1_container_record r;
    struct sandbox *sandbox;
    struct list in_sandbox;
    const struct handler *handler;
    enum container_phase phase;
    bool exit_seen;               /* while starting: conmon has reported the exit */
    bool kill_wanted;             /* as soon as it runs */
    int pid;                      /* of the container's init, while running */
    struct fd_watch conmon_watch; /* pidfd of its conmon, while running */
    bool conmon_watched;
    struct list stop_calls, remove_calls; /* of struct engine_call.link */
    bool removal_wanted;
    bool saving, save_again; /* a record is being written; it is out of date already */
    struct timer stop_timer;
    int64_t kill_at_ms; /* when SIGKILL is due; INT64_MAX: not stopping */
    bool killed;
    uint32_t execs; /* numbers for their files */
};

struct container *container_find(struct local *g, struct str id);
void container_create(struct local *g, struct engine_call *c);
void container_start(struct local *g, struct engine_call *c);
void container_stop(struct local *g, struct engine_call *c);
void container_remove(struct local *g, struct engine_call *c);
void container_status(struct local *g, struct engine_call *c);
void container_list(struct local *g, struct engine_call *c);
void container_update(struct local *g, struct engine_call *c);
void container_reopen_log(struct local *g, struct engine_call *c);
void container_stats(struct local *g, struct engine_call *c);
void container_stats_list(struct local *g, struct engine_call *c);
/* Ends it without anybody waiting; nothing happens when it does not run. */
void container_kill(struct container *c);
/* Asks for its removal without anybody waiting. */
void container_discard(struct container *c);
/* Sends the signal to the container's init, if that still is the process we know. */
void container_signal(struct container *c, int signal);
/* Looks for the exit file and acts on it. */
void container_exited(struct container *c);
/* It runs: watches that its conmon does. */
void container_watch_conmon(struct container *c);
void container_unwatch_conmon(struct container *c);
/* The last engine went away while it was starting this one. */
void container_resume_start(struct container *c, bool new_boot);
/* After an exit: runtime state, cgroup, mounts. */
void container_clean(struct container *c);
/* Continues with what waits for the container: stops, removals, its sandbox. */
void container_step(struct container *c);
/* Writes the record, in the background. */
void container_save(struct container *c);
void container_free(struct container *c);
/* Sends a line to conmon's control fifo. */
int container_control(struct container *c, const char *line, struct err *e) MUST_USE;
int containers_load(struct local *g, bool new_boot, struct err *e) MUST_USE;

/* Linux' number for a criv1_signal, or for an image's "SIGTERM", "TERM" or "15"; 0 when unknown. */
int signal_of_cri(int32_t signal);
int signal_of_name(struct str name);
int32_t signal_to_cri(int number);

/* Is there a process with that pid whose command line holds the id? (conmon, the helper) */
bool process_is_ours(int pid, struct str id);
/* SIGKILL to every process whose command line holds the id. */
void processes_kill(struct str id);
/* The pid in a file, or 0. */
int pid_file_read(const char *path);

/* ---- further processes in a container (exec.c) ---- */

/* An OCI runtime's `exec` in preparation. */
struct exec {
    struct job job; /* private */
    struct arena arena;
    struct err err;
    struct str container_id; /* the container itself may be gone at any time */
    struct str_list cmd;
    bool tty;
    const char *folder; /* of the container; the working folder for argv */
    const char *process_file, *pid_file, *log_file;
    const char *socket_name; /* in the folder; with a terminal */
    const char *argv[RUNTIME_ARGS_MAX + 12];
    /* On the loop: argv can be spawned, unless err says why not. */
    void (*ready)(struct exec *x);
};
/* Writes the process's specification: the container's own with another command. ready always
 * follows, later. */
void exec_prepare(struct exec *x, struct local *g, struct str container_id,
                  const struct str_list *cmd, bool tty, void (*ready)(struct exec *x));
/* After the runtime's end: sets err if it did not get as far as starting the command. */
void exec_check(struct exec *x, int status);
void exec_kill(struct exec *x);
/* Removes the files. */
void exec_fini(struct exec *x);

void exec_sync(struct local *g, struct engine_call *call);
void exec_sync_cancel(struct local *g, struct engine_call *call);

/* ---- sessions (session.c) ---- */

struct engine_session *session_exec(struct engine *g, const struct criv1_exec_request *request,
                                    const struct engine_session_ops *ops, void *arg);
struct engine_session *session_attach(struct engine *g, const struct criv1_attach_request *request,
                                      const struct engine_session_ops *ops, void *arg);
struct engine_session *session_port_forward(struct engine *g, struct str sandbox_id, uint16_t port,
                                            const struct engine_session_ops *ops, void *arg);

/* ---- the engine itself (status.c), images (image_calls.c) ---- */

void engine_version(struct local *g, struct engine_call *c);
void engine_status(struct local *g, struct engine_call *c);
void runtime_config(struct local *g, struct engine_call *c);
void update_runtime_config(struct local *g, struct engine_call *c);
void images_list(struct local *g, struct engine_call *c);
void images_status(struct local *g, struct engine_call *c);
void images_remove(struct local *g, struct engine_call *c);
void images_fs_info(struct local *g, struct engine_call *c);
void image_pull(struct local *g, struct engine_call *c);
void image_pull_cancel(struct local *g, struct engine_call *c);
/* The engine is being closed. */
void image_pulls_cancel_all(struct local *g);

/* ---- exits (exits.c) ---- */

int exits_watch(struct local *g, struct err *e) MUST_USE;
void exits_unwatch(struct local *g);
/* True when conmon has written the exit file. */
bool exit_read(const struct local *g, struct str id, int32_t *ret_code, int64_t *ret_at_ns);

#endif
