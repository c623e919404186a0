/* SPDX-License-Identifier: Apache-2.0 */
/* UpdateContainerResources: new limits for a container that runs, or that is yet to start. */
#include <fcntl.h>

#include "codec/json.h"
#include "engine/files.h"
#include "engine/local.h"

struct update_job {
    struct job job;
    struct engine_call *call;
    struct str id;
    const char *cgroup, *config_file;
    bool running;
};

static const struct criv1_linux_container_resources *wanted(const struct update_job *j)
{
    return ((const struct criv1_update_container_resources_request *)j->call->request)->linux_;
}

static int set_unified(struct update_job *j)
{
    const struct str_map *unified = &wanted(j)->unified;
    const struct cgroups *cg = &j->job.g->cgroups;
    for (size_t i = 0; cg->mode == CGROUP_V2 && i < unified->n; i++) {
        int r = cgroup_set_unified(cg, j->cgroup, unified->v[i].key, unified->v[i].value,
                                   &j->call->err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void update_group(struct update_job *j)
{
    const struct criv1_linux_container_resources *r = wanted(j);
    struct cgroup_limits limits = {
        .cpu_shares = (uint64_t)MAX(r->cpu_shares, (int64_t)0),
        .cpu_quota_us = r->cpu_quota,
        .cpu_period_us = (uint64_t)MAX(r->cpu_period, (int64_t)0),
        .memory_bytes = r->memory_limit_in_bytes,
        .memory_swap_bytes = r->memory_swap_limit_in_bytes,
        .cpuset_cpus = r->cpuset_cpus,
        .cpuset_mems = r->cpuset_mems,
    };
    if (cgroup_set(&j->job.g->cgroups, j->cgroup, &limits, &j->call->err) == 0)
        (void)!set_unified(j);
}

static struct json *member(struct arena *a, struct json *o, const char *name)
{
    struct json *found = json_getz(o, name);
    if (!found || found->type != JSON_OBJECT) {
        found = json_object(a);
        json_set(a, o, str_z(name), found);
    }
    return found;
}

static void set_number(struct arena *a, struct json *o, const char *name, int64_t v)
{
    if (v)
        json_set(a, o, str_z(name), json_int(a, v));
}

static void set_text(struct arena *a, struct json *o, const char *name, struct str v)
{
    if (v.n)
        json_set(a, o, str_z(name), json_string(a, v));
}

/* It has not been started: its specification is changed. */
static void update_spec(struct update_job *j)
{
    const struct criv1_linux_container_resources *r = wanted(j);
    struct arena *a = j->call->arena;
    struct str text;
    struct json *spec;
    if (file_read(a, AT_FDCWD, j->config_file, SPEC_BYTES_MAX, &text, &j->call->err) < 0 ||
        json_parse(a, text, &spec, &j->call->err) < 0)
        return;
    struct json *resources = member(a, member(a, spec, "linux"), "resources");
    struct json *cpu = member(a, resources, "cpu"), *memory = member(a, resources, "memory");
    set_number(a, cpu, "shares", r->cpu_shares);
    set_number(a, cpu, "quota", r->cpu_quota);
    set_number(a, cpu, "period", r->cpu_period);
    set_text(a, cpu, "cpus", r->cpuset_cpus);
    set_text(a, cpu, "mems", r->cpuset_mems);
    set_number(a, memory, "limit", r->memory_limit_in_bytes);
    set_number(a, memory, "swap", r->memory_swap_limit_in_bytes);
    (void)!file_write(AT_FDCWD, j->config_file, json_text(a, spec), 0600, FILE_FAST, &j->call->err);
}

static void update_run(struct job *job)
{
    struct update_job *j = CONTAINER_OF(job, struct update_job, job);
    if (j->running)
        update_group(j);
    else
        update_spec(j);
}

/* What the status tells from now on: the new values over the old. */
static void merge(struct container *c, const struct criv1_linux_container_resources *r)
{
    struct arena *a = &c->arena;
    struct criv1_container_config *config = c->r.config;
    if (!config->linux_)
        config->linux_ = arena_new(a, struct criv1_linux_container_config);
    if (!config->linux_->resources)
        config->linux_->resources = arena_new(a, struct criv1_linux_container_resources);
    struct criv1_linux_container_resources *old = config->linux_->resources;
    old->cpu_shares = r->cpu_shares ? r->cpu_shares : old->cpu_shares;
    old->cpu_quota = r->cpu_quota ? r->cpu_quota : old->cpu_quota;
    old->cpu_period = r->cpu_period ? r->cpu_period : old->cpu_period;
    if (r->memory_limit_in_bytes)
        old->memory_limit_in_bytes = r->memory_limit_in_bytes;
    if (r->memory_swap_limit_in_bytes)
        old->memory_swap_limit_in_bytes = r->memory_swap_limit_in_bytes;
    if (r->cpuset_cpus.n)
        old->cpuset_cpus = arena_str(a, r->cpuset_cpus);
    if (r->cpuset_mems.n)
        old->cpuset_mems = arena_str(a, r->cpuset_mems);
    for (size_t i = 0; i < r->unified.n; i++)
        str_map_set(a, &old->unified, arena_str(a, r->unified.v[i].key),
                    arena_str(a, r->unified.v[i].value));
}

static void update_done(struct job *job)
{
    struct update_job *j = CONTAINER_OF(job, struct update_job, job);
    struct container *c = container_find(job->g, j->id);
    if (!j->call->err.code && c) {
        merge(c, wanted(j));
        container_save(c);
    }
    call_done(job->g, j->call);
    free(j);
}

void container_update(struct local *g, struct engine_call *call)
{
    const struct criv1_update_container_resources_request *q = call->request;
    struct container *c = container_find(g, q->container_id);
    bool idle = c && c->phase == CONTAINER_IDLE && !c->removal_wanted;
    RESPONSE(call, struct criv1_update_container_resources_response);
    if (!c)
        err_set(&call->err, ERR_NOT_FOUND, "container \"%.*s\" not found",
                STR_ARG(q->container_id));
    else if (!idle || c->r.state == CRIV1_CONTAINER_EXITED)
        err_set(&call->err, ERR_BAD_REQUEST, "container \"%.*s\" is not running", STR_ARG(c->r.id));
    if (call->err.code || !q->linux_) {
        call_done(g, call);
        return;
    }
    struct update_job *j = xcalloc(1, sizeof *j);
    j->call = call;
    j->running = c->r.state == CRIV1_CONTAINER_RUNNING;
    j->cgroup = arena_z(call->arena, c->r.cgroup);
    j->config_file = container_path(g, call->arena, c->r.id, "config.json");
    j->id = arena_str(call->arena, c->r.id);
    job_start(g, &j->job, update_run, update_done);
}

/* The node agent sets the pod's group itself; there is nothing else of a pod to limit. */
void sandbox_update(struct local *g, struct engine_call *call)
{
    const struct criv1_update_pod_sandbox_resources_request *q = call->request;
    RESPONSE(call, struct criv1_update_pod_sandbox_resources_response);
    if (!sandbox_find(g, q->pod_sandbox_id))
        err_set(&call->err, ERR_NOT_FOUND, "sandbox \"%.*s\" not found",
                STR_ARG(q->pod_sandbox_id));
    call_done(g, call);
}
