/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine says of itself. */
#include "engine/local.h"

void engine_version(struct local *g, struct engine_call *c)
{
    struct criv1_version_response *r = RESPONSE(c, struct criv1_version_response);
    r->version = STR("0.1.0"); /* of the CRI handshake: fixed, not ours */
    r->runtime_name = STR("barque");
    r->runtime_version = STR(BARQUE_VERSION);
    r->runtime_api_version = STR("v1");
    call_done(g, c);
}

static void add_condition(struct arena *a, struct criv1_runtime_status *s, const char *type)
{
    struct criv1_runtime_condition *condition = list_add(a, &s->conditions);
    condition->type = str_z(type);
    condition->status = true;
}

/* The embedded network is made with the engine: both are ready once there is somebody to ask. */
void engine_status(struct local *g, struct engine_call *c)
{
    const struct criv1_status_request *q = c->request;
    struct criv1_status_response *r = RESPONSE(c, struct criv1_status_response);
    r->status = arena_new(c->arena, struct criv1_runtime_status);
    add_condition(c->arena, r->status, "RuntimeReady");
    add_condition(c->arena, r->status, "NetworkReady");
    for (size_t i = 0; i < g->n_handlers; i++) {
        struct criv1_runtime_handler *h = list_add(c->arena, &r->runtime_handlers);
        h->name = arena_cstr(c->arena, g->handlers[i].name);
        h->features = arena_new(c->arena, struct criv1_runtime_handler_features);
        h->features->recursive_read_only_mounts = g->handlers[i].crun;
    }
    r->features = arena_new(c->arena, struct criv1_runtime_features);
    r->features->supplemental_groups_policy = true;
    if (q->verbose) {
        str_map_set(c->arena, &r->info, STR("cgroups"), str_z(cgroup_mode_name(g->cgroups.mode)));
        str_map_set(c->arena, &r->info, STR("root"), arena_cstr(c->arena, g->root));
    }
    call_done(g, c);
}

void runtime_config(struct local *g, struct engine_call *c)
{
    struct criv1_runtime_config_response *r = RESPONSE(c, struct criv1_runtime_config_response);
    r->linux_ = arena_new(c->arena, struct criv1_linux_runtime_configuration);
    r->linux_->cgroup_driver = CRIV1_CGROUPFS;
    call_done(g, c);
}

/* The pod CIDR is the network's affair, which learns it from the node agent. */
void update_runtime_config(struct local *g, struct engine_call *c)
{
    RESPONSE(c, struct criv1_update_runtime_config_response);
    call_done(g, c);
}
