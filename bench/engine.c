/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c: milliseconds from a pod's wish to its running container, one after another and all at
 * once, and what stays resident for each. Needs root, conmon, an OCI runtime and busybox-static.
 *
 *   bench-engine [PODS] [RUNTIME]        default: 50 crun
 */
#include <dirent.h>
#include <fcntl.h>
#include <time.h>

#include "engine/engine.h"
#include "engine/files.h"
#include "engine/images.h"

enum { PODS_MAX = 1000 };

struct pod {
    struct engine_call call;
    struct arena arena;
    char name[32];
    double began, sandbox, created, running; /* ms */
    struct str sandbox_id, container_id;
    struct criv1_run_pod_sandbox_request run;
    struct criv1_create_container_request create;
    struct criv1_start_container_request start;
};

static struct arena arena;
static struct err err;
static struct loop *loop;
static struct engine *engine;
static struct pod pods[PODS_MAX];
static char root[64];
static int wanted, finished, total;
static bool one_by_one;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void check(int r, const struct err *e)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%.*s\n", STR_ARG(e->message));
    exit(1);
}

static const char *in_root(const char *name)
{
    return arena_fmt(&arena, "%s/%s", root, name).p;
}

static void make_image(void)
{
    struct image_store *store;
    struct image image;
    struct str busybox;
    check(dir_make(in_root("rootfs/bin"), 0755, &err), &err);
    check(file_read(&arena, AT_FDCWD, "/bin/busybox", MIB(16), &busybox, &err), &err);
    check(file_write(AT_FDCWD, in_root("rootfs/bin/sleep"), busybox, 0755, FILE_FAST, &err), &err);
    check(image_store_open(in_root("engine"), &store, &err), &err);
    check(image_import(store, &arena, STR("sleep:1"), in_root("rootfs"), &image, &err), &err);
    image_store_close(store);
}

static void begin(struct pod *p);

static void started(struct engine_call *c)
{
    struct pod *p = CONTAINER_OF(c, struct pod, call);
    check(-(int)c->err.code, &c->err);
    p->running = now_ms();
    if (++finished == total)
        loop_stop(loop);
    else if (one_by_one)
        begin(p + 1);
}

static void created(struct engine_call *c)
{
    struct pod *p = CONTAINER_OF(c, struct pod, call);
    check(-(int)c->err.code, &c->err);
    const struct criv1_create_container_response *r = c->response;
    p->container_id = r->container_id;
    p->created = now_ms();
    p->start.container_id = p->container_id;
    c->done = started;
    engine_call(engine, CRIV1_START_CONTAINER, &p->start, c);
}

static void sandboxed(struct engine_call *c)
{
    struct pod *p = CONTAINER_OF(c, struct pod, call);
    check(-(int)c->err.code, &c->err);
    const struct criv1_run_pod_sandbox_response *r = c->response;
    p->sandbox_id = r->pod_sandbox_id;
    p->sandbox = now_ms();
    struct criv1_container_config *config = arena_new(&p->arena, struct criv1_container_config);
    config->metadata = arena_new(&p->arena, struct criv1_container_metadata);
    config->metadata->name = STR("main");
    config->image = arena_new(&p->arena, struct criv1_image_spec);
    config->image->image = STR("sleep:1");
    config->log_path = STR("main.log");
    str_list_push(&p->arena, &config->command, STR("/bin/sleep"));
    str_list_push(&p->arena, &config->command, STR("100000"));
    config->linux_ = arena_new(&p->arena, struct criv1_linux_container_config);
    config->linux_->security_context =
        arena_new(&p->arena, struct criv1_linux_container_security_context);
    config->linux_->security_context->namespace_options =
        arena_new(&p->arena, struct criv1_namespace_option);
    config->linux_->security_context->namespace_options->pid = CRIV1_CONTAINER;
    if (getenv("SECCOMP"))
        config->linux_->security_context->seccomp =
            arena_new(&p->arena, struct criv1_security_profile);
    p->create.pod_sandbox_id = p->sandbox_id;
    p->create.config = config;
    c->done = created;
    engine_call(engine, CRIV1_CREATE_CONTAINER, &p->create, c);
}

static void begin(struct pod *p)
{
    p->arena = ARENA_INIT;
    snprintf(p->name, sizeof p->name, "pod-%d", (int)(p - pods));
    struct criv1_pod_sandbox_config *config = arena_new(&p->arena, struct criv1_pod_sandbox_config);
    config->metadata = arena_new(&p->arena, struct criv1_pod_sandbox_metadata);
    config->metadata->name = str_z(p->name);
    config->hostname = str_z(p->name);
    config->log_directory = arena_fmt(&p->arena, "%s/log/%s", root, p->name);
    config->linux_ = arena_new(&p->arena, struct criv1_linux_pod_sandbox_config);
    config->linux_->security_context =
        arena_new(&p->arena, struct criv1_linux_sandbox_security_context);
    config->linux_->security_context->namespace_options =
        arena_new(&p->arena, struct criv1_namespace_option);
    config->linux_->security_context->namespace_options->pid = CRIV1_CONTAINER;
    p->run.config = config;
    p->began = now_ms();
    p->call = (struct engine_call){.done = sandboxed, .arena = &p->arena};
    engine_call(engine, CRIV1_RUN_POD_SANDBOX, &p->run, &p->call);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *what, size_t from, size_t to)
{
    double v[PODS_MAX];
    for (int i = 0; i < wanted; i++)
        v[i] = *(const double *)(const void *)((const char *)&pods[i] + to) -
               *(const double *)(const void *)((const char *)&pods[i] + from);
    qsort(v, (size_t)wanted, sizeof *v, ascending);
    printf("  %-22s p50 %7.1f ms   p90 %7.1f ms   max %7.1f ms\n", what, v[wanted / 2],
           v[wanted * 9 / 10], v[wanted - 1]);
}

static void report(const char *title, double began)
{
    double last = 0;
    for (int i = 0; i < wanted; i++)
        last = MAX(last, pods[i].running);
    printf("%s: %d pods in %.1f ms\n", title, wanted, last - began);
    print("RunPodSandbox", offsetof(struct pod, began), offsetof(struct pod, sandbox));
    print("CreateContainer", offsetof(struct pod, sandbox), offsetof(struct pod, created));
    print("StartContainer", offsetof(struct pod, created), offsetof(struct pod, running));
    print("all", offsetof(struct pod, began), offsetof(struct pod, running));
}

/* ---- memory ---- */

static uint64_t pss_kib(const char *pid)
{
    char path[64], text[8192];
    size_t n;
    uint64_t kib = 0;
    struct str rest, line;
    snprintf(path, sizeof path, "/proc/%s/smaps_rollup", pid);
    if (!file_read_small(AT_FDCWD, path, text, sizeof text, &n))
        return 0;
    rest = str_n(text, n);
    while (str_next(&rest, '\n', &line))
        if (str_skip(&line, STR("Pss:")) && str_chop(&line, STR(" kB")))
            (void)!str_to_u64(str_trim(line), &kib);
    return kib;
}

static void report_memory(void)
{
    uint64_t conmon = 0, own = pss_kib("self");
    DIR *proc = opendir("/proc");
    struct dirent *d;
    while ((d = readdir(proc))) {
        char path[300], text[4096];
        size_t n;
        snprintf(path, sizeof path, "/proc/%s/cmdline", d->d_name);
        if (d->d_name[0] >= '1' && d->d_name[0] <= '9' &&
            file_read_small(AT_FDCWD, path, text, sizeof text, &n) &&
            str_find(str_n(text, n), STR("conmon")) >= 0 &&
            str_find(str_n(text, n), str_z(root)) >= 0)
            conmon += pss_kib(d->d_name);
    }
    closedir(proc);
    printf("memory: engine %llu KiB, beside each container %llu KiB (PSS)\n",
           (unsigned long long)own, (unsigned long long)(conmon / (uint64_t)wanted));
}

/* ---- removal ---- */

static void removed(struct engine_call *c)
{
    check(-(int)c->err.code, &c->err);
    if (++finished == total)
        loop_stop(loop);
}

static void stopped(struct engine_call *c)
{
    struct pod *p = CONTAINER_OF(c, struct pod, call);
    check(-(int)c->err.code, &c->err);
    struct criv1_remove_pod_sandbox_request *q =
        arena_new(&p->arena, struct criv1_remove_pod_sandbox_request);
    q->pod_sandbox_id = p->sandbox_id;
    c->done = removed;
    engine_call(engine, CRIV1_REMOVE_POD_SANDBOX, q, c);
}

static void remove_all(void)
{
    double began = now_ms();
    finished = 0;
    total = wanted;
    for (int i = 0; i < wanted; i++) {
        struct criv1_stop_pod_sandbox_request *q =
            arena_new(&pods[i].arena, struct criv1_stop_pod_sandbox_request);
        q->pod_sandbox_id = pods[i].sandbox_id;
        pods[i].call = (struct engine_call){.done = stopped, .arena = &pods[i].arena};
        engine_call(engine, CRIV1_STOP_POD_SANDBOX, q, &pods[i].call);
    }
    loop_run(loop);
    printf("removal: %d pods in %.1f ms\n", wanted, now_ms() - began);
    for (int i = 0; i < wanted; i++)
        arena_fini(&pods[i].arena);
}

static void closed(void *arg)
{
    loop_stop(loop);
}

static void measure(const char *title, bool serial)
{
    double start_ms = now_ms();
    one_by_one = serial;
    finished = 0;
    total = wanted;
    for (int i = 0; i < (serial ? 1 : wanted); i++)
        begin(&pods[i]);
    loop_run(loop);
    report(title, start_ms);
    report_memory();
    remove_all();
}

int main(int argc, char **argv)
{
    int64_t n = 50;
    arena = ARENA_INIT;
    err = ERR_INIT(&arena);
    if (argc > 1 && (!str_to_i64(str_z(argv[1]), &n) || n < 1 || n > PODS_MAX))
        return 2;
    wanted = (int)n;
    snprintf(root, sizeof root, "/tmp/bench-engine-XXXXXX");
    must(mkdtemp(root));
    make_image();
    loop = loop_new(&err);
    must(loop);
    struct engine_config config = {.loop = loop,
                                   .root = in_root("engine"),
                                   .cgroup_root = strrchr(root, '/'),
                                   .runtime = argc > 2 ? argv[2] : NULL};
    check(engine_new(&config, &engine, &err), &err);
    measure("one after another", true);
    measure("all at once", false);
    engine_close(engine, closed, NULL);
    loop_run(loop);
    loop_free(loop);
    check(engine_purge(in_root("engine"), true, &err), &err);
    check(tree_remove(AT_FDCWD, root, &err), &err);
    arena_fini(&arena);
    return 0;
}
