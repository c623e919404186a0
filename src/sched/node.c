/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/node.h"

/* ---- requests ---- */

static void set_amount(struct arena *a, struct resources *r, struct str name, int64_t amount,
                       bool add)
{
    for (size_t i = 0; i < r->n_extended; i++) {
        if (str_eq(r->extended[i].name, name)) {
            r->extended[i].amount =
                add ? r->extended[i].amount + amount : MAX(r->extended[i].amount, amount);
            return;
        }
    }
    struct extended *grown = arena_array(a, r->n_extended + 1, struct extended);
    if (r->n_extended)
        memcpy(grown, r->extended, r->n_extended * sizeof *grown);
    grown[r->n_extended] = (struct extended){arena_str(a, name), amount};
    r->extended = grown;
    r->n_extended++;
}

/* Adds a resource list to r, or raises r to it. */
static void take_list(struct arena *a, struct resources *r, const struct quantity_map *m, bool add)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct quantity *q = &m->v[i].value;
        struct str name = m->v[i].key;
        int64_t *slot = NULL, amount = quantity_value(q);
        if (str_eq(name, STR("cpu"))) {
            slot = &r->cpu_milli;
            amount = quantity_milli(q);
        } else if (str_eq(name, STR("memory"))) {
            slot = &r->memory;
        } else if (str_eq(name, STR("ephemeral-storage"))) {
            slot = &r->ephemeral;
        } else if (str_eq(name, STR("pods"))) {
            slot = &r->pods;
        }
        if (slot)
            *slot = add ? *slot + amount : MAX(*slot, amount);
        else
            set_amount(a, r, name, amount, add);
    }
}

void pod_requests(struct arena *a, const struct corev1_pod *pod, struct resources *ret)
{
    struct resources sidecars = {0};
    *ret = (struct resources){.pods = 1};
    LIST_EACH (c, &pod->spec.containers)
        take_list(a, ret, &c->resources.requests, true);
    LIST_EACH (c, &pod->spec.init_containers) {
        if (str_eq(c->restart_policy, STR("Always"))) {
            /* Sidecars run beside everything that comes after them. */
            take_list(a, &sidecars, &c->resources.requests, true);
            take_list(a, ret, &c->resources.requests, true);
            continue;
        }
        struct resources alone = {.cpu_milli = sidecars.cpu_milli,
                                  .memory = sidecars.memory,
                                  .ephemeral = sidecars.ephemeral};
        take_list(a, &alone, &c->resources.requests, true);
        ret->cpu_milli = MAX(ret->cpu_milli, alone.cpu_milli);
        ret->memory = MAX(ret->memory, alone.memory);
        ret->ephemeral = MAX(ret->ephemeral, alone.ephemeral);
        for (size_t i = 0; i < alone.n_extended; i++)
            set_amount(a, ret, alone.extended[i].name,
                       alone.extended[i].amount +
                           extended_amount(&sidecars, alone.extended[i].name),
                       false);
    }
    take_list(a, ret, &pod->spec.overhead, true);
}

int64_t extended_amount(const struct resources *r, struct str name)
{
    for (size_t i = 0; i < r->n_extended; i++)
        if (str_eq(r->extended[i].name, name))
            return r->extended[i].amount;
    return 0;
}

size_t pod_host_ports(struct arena *a, const struct corev1_pod *pod, struct host_port **ret)
{
    VEC(struct host_port) ports = {0};
    LIST_EACH (c, &pod->spec.containers) {
        LIST_EACH (p, &c->ports) {
            if (!p->host_port)
                continue;
            struct str ip = str_eq(p->host_ip, STR("0.0.0.0")) ? STR("") : p->host_ip;
            struct host_port hp = {arena_str(a, ip),
                                   p->protocol.n ? arena_str(a, p->protocol) : STR("TCP"),
                                   p->host_port};
            vec_push_arena(a, &ports, hp);
        }
    }
    *ret = ports.v;
    return ports.n;
}

/* ---- the snapshot ---- */

void snapshot_init(struct snapshot *s)
{
    *s = (struct snapshot){0};
}

static void placed_free(struct placed_pod *p)
{
    list_remove(&p->link);
    arena_fini(&p->arena);
    free(p->uid);
    free(p);
}

static void node_free(struct node_info *n)
{
    arena_fini(&n->arena);
    free(n->name);
    free(n);
}

void snapshot_fini(struct snapshot *s)
{
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&s->pods, &it));)
        placed_free(e->value);
    it = 0;
    for (struct map_entry *e; (e = map_next(&s->by_name, &it));)
        node_free(e->value);
    map_fini(&s->pods);
    map_fini(&s->by_name);
    vec_free(&s->nodes);
}

static struct node_info *node_of(struct snapshot *s, struct str name)
{
    struct node_info *n = map_get(&s->by_name, name);
    if (n)
        return n;
    n = xcalloc(1, sizeof *n);
    n->name = xasprintf("%.*s", STR_ARG(name));
    n->arena = ARENA_INIT;
    list_init(&n->pods);
    map_put(&s->by_name, name, n);
    return n;
}

static void unlist(struct snapshot *s, struct node_info *n)
{
    struct node_info *last = s->nodes.v[--s->nodes.n];
    s->nodes.v[n->index] = last;
    last->index = n->index;
    n->node = NULL;
}

static void drop_if_unused(struct snapshot *s, struct node_info *n)
{
    if (n->node || !list_empty(&n->pods))
        return;
    map_remove(&s->by_name, str_z(n->name));
    node_free(n);
}

/* Heartbeats change nothing that a filter looks at. */
static bool may_help(const struct corev1_node *old, const struct corev1_node *now)
{
    if (!old)
        return true;
    return !desc_equal(&corev1_node_spec_desc, &old->spec, &now->spec) ||
           !str_map_equal(&old->metadata.labels, &now->metadata.labels) ||
           !field_equal(desc_field(&corev1_node_status_desc, STR("allocatable")), &old->status,
                        &now->status);
}

bool snapshot_node(struct snapshot *s, struct item *now, struct str name)
{
    struct node_info *n = node_of(s, name);
    if (!now) {
        if (n->node)
            unlist(s, n);
        drop_if_unused(s, n);
        return false;
    }
    const struct corev1_node *fresh = item_typed(now, &corev1_node_desc);
    if (n->node && !may_help(n->node, fresh))
        return false;
    if (!n->node) {
        n->index = s->nodes.n;
        vec_push(&s->nodes, n);
    }
    arena_fini(&n->arena);
    n->node = desc_copy(&corev1_node_desc, &n->arena, fresh);
    n->allocatable = (struct resources){0};
    take_list(&n->arena, &n->allocatable, &n->node->status.allocatable, true);
    return true;
}

static void count(struct node_info *n, const struct resources *r, int sign)
{
    n->used.cpu_milli += sign * r->cpu_milli;
    n->used.memory += sign * r->memory;
    n->used.ephemeral += sign * r->ephemeral;
    n->used.pods += sign * r->pods;
    n->used_nonzero_cpu += sign * (r->cpu_milli ? r->cpu_milli : DEFAULT_CPU_MILLI);
    n->used_nonzero_memory += sign * (r->memory ? r->memory : DEFAULT_MEMORY);
}

void snapshot_place(struct snapshot *s, const struct corev1_pod *pod, struct str node, bool assumed)
{
    (void)snapshot_remove(s, pod->metadata.uid);
    struct placed_pod *p = xcalloc(1, sizeof *p);
    p->arena = ARENA_INIT;
    p->uid = xasprintf("%.*s", STR_ARG(pod->metadata.uid));
    p->node = node_of(s, node);
    p->assumed = assumed;
    pod_requests(&p->arena, pod, &p->requests);
    p->n_ports = pod_host_ports(&p->arena, pod, &p->ports);
    list_push_back(&p->node->pods, &p->link);
    count(p->node, &p->requests, 1);
    map_put(&s->pods, pod->metadata.uid, p);
}

bool snapshot_remove(struct snapshot *s, struct str uid)
{
    struct placed_pod *p = map_remove(&s->pods, uid);
    if (!p)
        return false;
    struct node_info *n = p->node;
    count(n, &p->requests, -1);
    placed_free(p);
    drop_if_unused(s, n);
    return true;
}
