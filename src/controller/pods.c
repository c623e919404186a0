/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/pods.h"

#include "controller/owner.h"

const struct corev1_pod_condition *pod_condition(const struct corev1_pod *p, const char *type)
{
    LIST_EACH (c, &p->status.conditions)
        if (str_eqz(c->type, type))
            return c;
    return NULL;
}

bool pod_ready(const struct corev1_pod *p)
{
    const struct corev1_pod_condition *c = pod_condition(p, "Ready");
    return c && str_eq(c->status, STR("True"));
}

bool pod_terminal(const struct corev1_pod *p)
{
    return str_eq(p->status.phase, STR("Succeeded")) || str_eq(p->status.phase, STR("Failed"));
}

bool pod_available(const struct corev1_pod *p, int32_t min_ready_s, struct wall now,
                   int64_t *wait_ms)
{
    if (!pod_ready(p))
        return false;
    if (min_ready_s == 0)
        return true;
    struct wall since = pod_condition(p, "Ready")->last_transition_time;
    if (wall_is_zero(since))
        return false;
    int64_t left = wall_ms(since) + (int64_t)min_ready_s * 1000 - wall_ms(now);
    if (left <= 0)
        return true;
    if (*wait_ms < 0 || left < *wait_ms)
        *wait_ms = left;
    return false;
}

int32_t pod_restarts_max(const struct corev1_pod *p)
{
    int32_t most = 0;
    LIST_EACH (s, &p->status.container_statuses)
        most = MAX(most, s->restart_count);
    return most;
}

const struct corev1_pod *pod_from_template(struct arena *a,
                                           const struct corev1_pod_template_spec *t,
                                           const struct resource_def *owner_res,
                                           const struct metav1_object_meta *owner)
{
    struct corev1_pod *p = arena_new(a, struct corev1_pod);
    p->kind = STR("Pod");
    p->api_version = STR("v1");
    p->metadata.generate_name = arena_fmt(a, "%.*s-", STR_ARG(owner->name));
    p->metadata.namespace = owner->namespace;
    p->metadata.labels = t->metadata.labels;
    p->metadata.annotations = t->metadata.annotations;
    p->metadata.finalizers = t->metadata.finalizers;
    owner_add(a, &p->metadata, owner_res, owner);
    p->spec = t->spec;
    return p;
}

static void index_node(struct item *i, void (*add)(void *ctx, struct str key), void *ctx)
{
    const struct corev1_pod *p = item_typed(i, &corev1_pod_desc);
    if (p->spec.node_name.n)
        add(ctx, p->spec.node_name);
}

struct cache_index *pods_by_node(struct cache *pods)
{
    return cache_add_index(pods, "node", index_node);
}

void intend_disruption(struct reconcile *rc, const struct corev1_pod *p, const char *phase,
                       const char *reason, const char *message)
{
    char now[WALL_TEXT_MAX];
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(16));
    wall_format(now, (struct wall){.s = rc->now.s});
    buf_fmt(&b, "{\"metadata\":{\"uid\":\"%.*s\"},\"status\":{", STR_ARG(p->metadata.uid));
    if (phase)
        buf_fmt(&b, "\"phase\":\"%s\",", phase);
    buf_fmt(&b,
            "\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\",\"reason\":\"%s\","
            "\"message\":\"%s\",\"lastTransitionTime\":\"%s\"}]}}",
            reason, message, now);
    intend_patch(rc, resource_named("v1/pods"), p->metadata.namespace, p->metadata.name, "status",
                 CLIENT_PATCH_STRATEGIC, buf_view(&b));
}

/* ---- choosing pods to delete ---- */

/* Exponents of ages in nanoseconds: what is about as old counts as equally old, so that scaling
 * down does not always take the newest. */
static int age_class(struct wall since, struct wall now)
{
    int64_t ns = (now.s - since.s) * 1000000000 + now.ns - since.ns;
    int class = -1;
    for (; ns > 0; ns >>= 1)
        class ++;
    return class;
}

static int by_age(const struct pod_rank *a, const struct pod_rank *b, struct wall ta,
                  struct wall tb, struct wall now)
{
    if (wall_cmp(ta, tb) == 0)
        return 0;
    if (wall_is_zero(ta) || wall_is_zero(tb))
        return wall_is_zero(ta) ? -1 : 1;
    int diff = age_class(ta, now) - age_class(tb, now);
    return diff ? diff : str_cmp(a->pod->metadata.uid, b->pod->metadata.uid);
}

static int phase_order(const struct corev1_pod *p)
{
    if (str_eq(p->status.phase, STR("Running")))
        return 2;
    return str_eq(p->status.phase, STR("Unknown")) ? 1 : 0;
}

static int rank_cmp(const void *va, const void *vb, void *arg)
{
    const struct pod_rank *a = va, *b = vb;
    const struct wall *now = arg;
    const struct corev1_pod *p = a->pod, *q = b->pod;
    bool ready = pod_ready(p);
    int diff = (p->spec.node_name.n > 0) - (q->spec.node_name.n > 0);
    if (!diff)
        diff = phase_order(p) - phase_order(q);
    if (!diff)
        diff = ready - pod_ready(q);
    if (!diff && a->cost != b->cost)
        diff = a->cost < b->cost ? -1 : 1;
    if (!diff)
        diff = b->colocated - a->colocated;
    if (!diff && ready)
        diff = by_age(a, b, pod_condition(p, "Ready")->last_transition_time,
                      pod_condition(q, "Ready")->last_transition_time, *now);
    if (!diff)
        diff = pod_restarts_max(q) - pod_restarts_max(p);
    if (!diff)
        diff = by_age(a, b, p->metadata.creation_timestamp, q->metadata.creation_timestamp, *now);
    return diff ? diff : (a->at > b->at) - (a->at < b->at);
}

void pods_rank(struct pod_rank *v, size_t n, struct wall now)
{
    for (size_t i = 0; i < n; i++) {
        struct str cost = str_map_get(&v[i].pod->metadata.annotations,
                                      STR("controller.kubernetes.io/pod-deletion-cost"));
        v[i].at = i;
        if (!str_to_i64(cost, &v[i].cost))
            v[i].cost = 0;
    }
    qsort_r(v, n, sizeof *v, rank_cmp, &now);
}
