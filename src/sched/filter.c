/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/filter.h"

void candidate_init(struct candidate *c, struct arena *a, const struct corev1_pod *pod)
{
    *c = (struct candidate){.pod = pod, .arena = a};
    pod_requests(a, pod, &c->requests);
    c->n_ports = pod_host_ports(a, pod, &c->ports);
}

static void refuse(struct reasons *r, struct str why)
{
    if (r->n < REASONS_MAX)
        r->v[r->n++] = why;
}

/* ---- taints ---- */

bool toleration_covers(const struct corev1_toleration *t, const struct corev1_taint *taint)
{
    if (t->effect.n && !str_eq(t->effect, taint->effect))
        return false;
    if (t->key.n && !str_eq(t->key, taint->key))
        return false;
    if (str_eq(t->operator_, STR("Exists")))
        return true;
    return t->key.n && str_eq(t->value, taint->value);
}

static bool tolerated(const struct corev1_pod *pod, const struct corev1_taint *taint)
{
    LIST_EACH (t, &pod->spec.tolerations)
        if (toleration_covers(t, taint))
            return true;
    return false;
}

static void filter_taints(const struct candidate *c, const struct node_info *n, struct reasons *r)
{
    const struct corev1_taint unschedulable = {.key = STR("node.kubernetes.io/unschedulable"),
                                               .effect = STR("NoSchedule")};
    if (n->node->spec.unschedulable && !tolerated(c->pod, &unschedulable)) {
        refuse(r, STR("node(s) were unschedulable"));
        return;
    }
    LIST_EACH (t, &n->node->spec.taints) {
        if (str_eq(t->effect, STR("PreferNoSchedule")) || tolerated(c->pod, t))
            continue;
        refuse(r, STR("node(s) had untolerated taint(s)"));
        return;
    }
}

/* ---- node selector and affinity ---- */

static bool compare_number(struct str label, struct str value, bool greater)
{
    int64_t a, b;
    return str_to_i64(label, &a) && str_to_i64(value, &b) && (greater ? a > b : a < b);
}

static bool requirement_matches(const struct corev1_node_selector_requirement *q, struct str have)
{
    bool there = have.p != NULL;
    if (str_eq(q->operator_, STR("In")))
        return there && str_list_has(&q->values, have);
    if (str_eq(q->operator_, STR("NotIn")))
        return !there || !str_list_has(&q->values, have);
    if (str_eq(q->operator_, STR("Exists")))
        return there;
    if (str_eq(q->operator_, STR("DoesNotExist")))
        return !there;
    if (!there || q->values.n != 1)
        return false;
    return compare_number(have, q->values.v[0], str_eq(q->operator_, STR("Gt")));
}

static bool term_matches(const struct corev1_node_selector_term *t, const struct corev1_node *node)
{
    if (!t->match_expressions.n && !t->match_fields.n)
        return false; /* an empty term matches nothing */
    LIST_EACH (q, &t->match_expressions)
        if (!requirement_matches(q, str_map_get(&node->metadata.labels, q->key)))
            return false;
    LIST_EACH (q, &t->match_fields)
        if (!str_eq(q->key, STR("metadata.name")) || !requirement_matches(q, node->metadata.name))
            return false;
    return true;
}

static const struct corev1_node_affinity *node_affinity_of(const struct corev1_pod *pod)
{
    return pod->spec.affinity ? pod->spec.affinity->node_affinity : NULL;
}

bool node_affinity_matches(const struct corev1_pod *pod, const struct corev1_node *node)
{
    for (size_t i = 0; i < pod->spec.node_selector.n; i++) {
        const struct str_pair *want = &pod->spec.node_selector.v[i];
        struct str have = str_map_get(&node->metadata.labels, want->key);
        if (!have.p || !str_eq(have, want->value))
            return false;
    }
    const struct corev1_node_affinity *a = node_affinity_of(pod);
    if (!a || !a->required_during_scheduling_ignored_during_execution)
        return true;
    LIST_EACH (t, &a->required_during_scheduling_ignored_during_execution->node_selector_terms)
        if (term_matches(t, node))
            return true;
    return false;
}

/* ---- ports ---- */

static bool clash(const struct host_port *a, const struct host_port *b)
{
    return a->port == b->port && str_eq(a->protocol, b->protocol) &&
           (!a->ip.n || !b->ip.n || str_eq(a->ip, b->ip));
}

static void filter_ports(const struct candidate *c, const struct node_info *n, struct reasons *r)
{
    struct placed_pod *p;
    if (!c->n_ports)
        return;
    list_each (p, &n->pods, link)
        for (size_t i = 0; i < p->n_ports; i++)
            for (size_t k = 0; k < c->n_ports; k++)
                if (clash(&p->ports[i], &c->ports[k])) {
                    refuse(r, STR("node(s) didn't have free ports for the requested pod ports"));
                    return;
                }
}

/* ---- resources ---- */

static int64_t used_extended(const struct node_info *n, struct str name)
{
    int64_t sum = 0;
    struct placed_pod *p;
    list_each (p, &n->pods, link)
        sum += extended_amount(&p->requests, name);
    return sum;
}

static void filter_resources(const struct candidate *c, const struct node_info *n,
                             struct reasons *r)
{
    const struct resources *want = &c->requests, *have = &n->allocatable, *used = &n->used;
    if (used->pods + 1 > have->pods)
        refuse(r, STR("Too many pods"));
    if (want->cpu_milli && want->cpu_milli > have->cpu_milli - used->cpu_milli)
        refuse(r, STR("Insufficient cpu"));
    if (want->memory && want->memory > have->memory - used->memory)
        refuse(r, STR("Insufficient memory"));
    if (want->ephemeral && want->ephemeral > have->ephemeral - used->ephemeral)
        refuse(r, STR("Insufficient ephemeral-storage"));
    for (size_t i = 0; i < want->n_extended; i++) {
        const struct extended *x = &want->extended[i];
        if (x->amount && x->amount > extended_amount(have, x->name) - used_extended(n, x->name))
            refuse(r, arena_fmt(c->arena, "Insufficient %.*s", STR_ARG(x->name)));
    }
}

bool filter(const struct candidate *c, const struct node_info *n, struct reasons *ret)
{
    ret->n = 0;
    /* The order of the default plugins; the first that refuses names the reason. */
    filter_taints(c, n, ret);
    if (!ret->n && !node_affinity_matches(c->pod, n->node))
        refuse(ret, STR("node(s) didn't match Pod's node affinity/selector"));
    if (!ret->n)
        filter_ports(c, n, ret);
    if (!ret->n)
        filter_resources(c, n, ret);
    return ret->n == 0;
}

/* ---- scores ---- */

enum { SCORE_MAX = 100 };

static int64_t share_free(int64_t capacity, int64_t used)
{
    if (capacity <= 0 || used > capacity)
        return 0;
    return (capacity - used) * SCORE_MAX / capacity;
}

static int64_t score_resources(const struct candidate *c, const struct node_info *n)
{
    int64_t cpu =
        n->used_nonzero_cpu + (c->requests.cpu_milli ? c->requests.cpu_milli : DEFAULT_CPU_MILLI);
    int64_t memory =
        n->used_nonzero_memory + (c->requests.memory ? c->requests.memory : DEFAULT_MEMORY);
    int64_t least =
        (share_free(n->allocatable.cpu_milli, cpu) + share_free(n->allocatable.memory, memory)) / 2;
    if (n->allocatable.cpu_milli <= 0 || n->allocatable.memory <= 0)
        return least;
    /* Balance: the closer the two fractions, the better. */
    double a = MIN(1.0, (double)(n->used.cpu_milli + c->requests.cpu_milli) /
                            (double)n->allocatable.cpu_milli);
    double b =
        MIN(1.0, (double)(n->used.memory + c->requests.memory) / (double)n->allocatable.memory);
    double spread = a > b ? (a - b) / 2 : (b - a) / 2;
    return least + (int64_t)((1 - spread) * SCORE_MAX);
}

static int64_t score_affinity(const struct candidate *c, const struct node_info *n)
{
    const struct corev1_node_affinity *a = node_affinity_of(c->pod);
    int64_t sum = 0, all = 0;
    if (!a)
        return 0;
    LIST_EACH (t, &a->preferred_during_scheduling_ignored_during_execution) {
        all += t->weight;
        if (term_matches(&t->preference, n->node))
            sum += t->weight;
    }
    return all ? sum * SCORE_MAX / all : 0;
}

static int64_t score_taints(const struct candidate *c, const struct node_info *n)
{
    int64_t bad = 0;
    LIST_EACH (t, &n->node->spec.taints)
        bad += str_eq(t->effect, STR("PreferNoSchedule")) && !tolerated(c->pod, t);
    return SCORE_MAX / (1 + bad);
}

int64_t score(const struct candidate *c, const struct node_info *n)
{
    return score_resources(c, n) + 2 * score_affinity(c, n) + 3 * score_taints(c, n);
}
