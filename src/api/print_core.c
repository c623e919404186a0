/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of everything that is no workload. */
#include "api/admissionregistrationv1.h"
#include "api/certificatesv1.h"
#include "api/coordinationv1.h"
#include "api/corev1.h"
#include "api/discoveryv1.h"
#include "api/networkingv1.h"
#include "api/nodev1.h"
#include "api/print_words.h"
#include "api/printers.h"
#include "api/rbacv1.h"
#include "api/schedulingv1.h"
#include "api/selector.h"
#include "api/storagev1.h"

enum { LIST_SHOWN_MAX = 3 };

void cell_or_none(struct print_row *row, struct str s)
{
    cell_str(row, s.n ? s : STR("<none>"));
}

struct str words_labels(struct arena *a, const struct str_map *m)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    for (size_t i = 0; i < m->n; i++)
        buf_fmt(&b, "%s%.*s=%.*s", i ? "," : "", STR_ARG(m->v[i].key), STR_ARG(m->v[i].value));
    return b.n ? buf_to_arena(&b, a) : STR("<none>");
}

struct str words_selector(struct arena *a, const struct metav1_label_selector *s)
{
    struct label_selector sel;
    struct err ignored = ERR_INIT(a);
    if (!s || label_selector_from(a, s, &sel, &ignored) < 0 || label_selector_is_empty(&sel))
        return STR("<none>");
    return label_selector_format(a, &sel);
}

struct str words_list(struct arena *a, const struct str_list *l)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    for (size_t i = 0; i < l->n; i++)
        buf_fmt(&b, "%s%.*s", i ? "," : "", STR_ARG(l->v[i]));
    return buf_to_arena(&b, a);
}

/* ---- services ---- */

static struct str external_ip(struct arena *a, const struct corev1_service *s)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    if (str_eq(s->spec.type, STR("ExternalName")))
        return s->spec.external_name;
    if (str_eq(s->spec.type, STR("LoadBalancer"))) {
        LIST_EACH (i, &s->status.load_balancer.ingress)
            buf_fmt(&b, "%s%.*s", b.n ? "," : "", STR_ARG(i->ip.n ? i->ip : i->hostname));
        LIST_EACH (ip, &s->spec.external_ips)
            buf_fmt(&b, "%s%.*s", b.n ? "," : "", STR_ARG(*ip));
        return b.n ? buf_to_arena(&b, a) : STR("<pending>");
    }
    return s->spec.external_ips.n ? words_list(a, &s->spec.external_ips) : STR("<none>");
}

static struct str service_ports(struct arena *a, const struct corev1_service *s)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    LIST_EACH (p, &s->spec.ports) {
        buf_fmt(&b, "%s%d", b.n ? "," : "", p->port);
        if (p->node_port)
            buf_fmt(&b, ":%d", p->node_port);
        buf_fmt(&b, "/%.*s", STR_ARG(p->protocol));
    }
    return b.n ? buf_to_arena(&b, a) : STR("<none>");
}

void corev1_service_print(struct print_row *row, const void *obj)
{
    const struct corev1_service *s = obj;
    cell_str(row, s->metadata.name);
    cell_str(row, s->spec.type);
    cell_or_none(row, s->spec.cluster_ip);
    cell_str(row, external_ip(row->arena, s));
    cell_str(row, service_ports(row->arena, s));
    cell_age(row, s->metadata.creation_timestamp);
    cell_str(row, words_labels(row->arena, &s->spec.selector));
}

void corev1_endpoints_print(struct print_row *row, const void *obj)
{
    const struct corev1_endpoints *e = obj;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    size_t n = 0;
    LIST_EACH (s, &e->subsets) {
        LIST_EACH (address, &s->addresses) {
            if (!s->ports.n && n++ < LIST_SHOWN_MAX)
                buf_fmt(&b, "%s%.*s", b.n ? "," : "", STR_ARG(address->ip));
            LIST_EACH (p, &s->ports)
                if (n++ < LIST_SHOWN_MAX)
                    buf_fmt(&b, "%s%.*s:%d", b.n ? "," : "", STR_ARG(address->ip), p->port);
        }
    }
    if (n > LIST_SHOWN_MAX)
        buf_fmt(&b, " + %zu more...", n - LIST_SHOWN_MAX);
    cell_str(row, e->metadata.name);
    cell_or_none(row, buf_view(&b));
    cell_age(row, e->metadata.creation_timestamp);
}

void discoveryv1_endpoint_slice_print(struct print_row *row, const void *obj)
{
    const struct discoveryv1_endpoint_slice *s = obj;
    CLEANUP(buf_fini) struct buf ports = BUF_INIT(KIB(64)), addresses = BUF_INIT(KIB(64));
    size_t n = 0;
    for (size_t i = 0; i < s->ports.n && i < LIST_SHOWN_MAX; i++) {
        if (s->ports.v[i].port)
            buf_fmt(&ports, "%s%d", i ? "," : "", *s->ports.v[i].port);
        else
            buf_fmt(&ports, "%s*", i ? "," : "");
    }
    if (s->ports.n > LIST_SHOWN_MAX)
        buf_fmt(&ports, " + %zu more...", s->ports.n - LIST_SHOWN_MAX);
    LIST_EACH (e, &s->endpoints)
        LIST_EACH (address, &e->addresses)
            if (n++ < LIST_SHOWN_MAX)
                buf_fmt(&addresses, "%s%.*s", n > 1 ? "," : "", STR_ARG(*address));
    if (n > LIST_SHOWN_MAX)
        buf_fmt(&addresses, " + %zu more...", n - LIST_SHOWN_MAX);
    cell_str(row, s->metadata.name);
    cell_str(row, s->address_type);
    cell_str(row, ports.n ? buf_view(&ports) : STR("<unset>"));
    cell_str(row, addresses.n ? buf_view(&addresses) : STR("<unset>"));
    cell_age(row, s->metadata.creation_timestamp);
}

/* ---- nodes ---- */

static struct str node_word(struct arena *a, const struct corev1_node *n)
{
    struct str word = STR("Unknown");
    LIST_EACH (k, &n->status.conditions)
        if (str_eq(k->type, STR("Ready")))
            word = str_eq(k->status, STR("True")) ? STR("Ready") : STR("NotReady");
    return n->spec.unschedulable ? arena_cat(a, word, STR(",SchedulingDisabled")) : word;
}

static struct str node_roles(struct arena *a, const struct corev1_node *n)
{
    struct str_list roles = {0};
    for (size_t i = 0; i < n->metadata.labels.n; i++) {
        struct str key = n->metadata.labels.v[i].key, value = n->metadata.labels.v[i].value;
        if (str_skip(&key, STR("node-role.kubernetes.io/")) && key.n)
            str_list_push(a, &roles, key);
        else if (str_eq(n->metadata.labels.v[i].key, STR("kubernetes.io/role")) && value.n)
            str_list_push(a, &roles, value);
    }
    if (!roles.n)
        return STR("<none>");
    qsort(roles.v, roles.n, sizeof *roles.v, str_qsort);
    return words_list(a, &roles);
}

static void cell_address(struct print_row *row, const struct corev1_node *n, struct str type)
{
    LIST_EACH (address, &n->status.addresses)
        if (str_eq(address->type, type)) {
            cell_str(row, address->address);
            return;
        }
    cell_z(row, "<none>");
}

static void cell_or_unknown(struct print_row *row, struct str s)
{
    cell_str(row, s.n ? s : STR("<unknown>"));
}

void corev1_node_print(struct print_row *row, const void *obj)
{
    const struct corev1_node *n = obj;
    cell_str(row, n->metadata.name);
    cell_str(row, node_word(row->arena, n));
    cell_str(row, node_roles(row->arena, n));
    cell_age(row, n->metadata.creation_timestamp);
    cell_str(row, n->status.node_info.kubelet_version);
    cell_address(row, n, STR("InternalIP"));
    cell_address(row, n, STR("ExternalIP"));
    cell_or_unknown(row, n->status.node_info.os_image);
    cell_or_unknown(row, n->status.node_info.kernel_version);
    cell_or_unknown(row, n->status.node_info.container_runtime_version);
}

/* ---- events ---- */

static void cell_span(struct print_row *row, struct wall last, int64_t count, struct wall first)
{
    struct str ago = human_duration(row->arena, wall_ms(row->now) - wall_ms(last));
    if (wall_is_zero(last))
        cell_z(row, "<unknown>");
    else if (count > 1)
        cell_fmt(row, "%.*s (x%lld over %.*s)", STR_ARG(ago), (long long)count,
                 STR_ARG(human_duration(row->arena, wall_ms(row->now) - wall_ms(first))));
    else
        cell_str(row, ago);
}

void corev1_event_print(struct print_row *row, const void *obj)
{
    const struct corev1_event *e = obj;
    struct wall first = wall_is_zero(e->first_timestamp) ? e->event_time : e->first_timestamp;
    struct wall last = wall_is_zero(e->last_timestamp) ? first : e->last_timestamp;
    int64_t count = e->count;
    if (e->series) {
        last = e->series->last_observed_time;
        count = e->series->count;
    }
    CLEANUP(free_ptr) char *kind = xasprintf("%.*s", STR_ARG(e->involved_object.kind));
    for (char *c = kind; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c | 0x20);
    struct str source = e->source.component.n ? e->source.component : e->reporting_component;
    struct str message = str_trim(e->message);
    cell_span(row, last, count, first);
    cell_str(row, e->type);
    cell_str(row, e->reason);
    if (e->involved_object.name.n)
        cell_fmt(row, "%s/%.*s", kind, STR_ARG(e->involved_object.name));
    else
        cell_z(row, kind);
    cell_str(row, e->involved_object.field_path);
    cell_fmt(row, "%.*s%s%.*s", STR_ARG(source), e->source.host.n ? ", " : "",
             STR_ARG(e->source.host));
    cell_str(row, message);
    cell_age(row, first);
    cell_int(row, count ? count : 1);
    cell_str(row, e->metadata.name);
}

/* ---- small ones ---- */

void corev1_namespace_print(struct print_row *row, const void *obj)
{
    const struct corev1_namespace *n = obj;
    cell_str(row, n->metadata.name);
    cell_str(row, n->status.phase);
    cell_age(row, n->metadata.creation_timestamp);
}

void corev1_secret_print(struct print_row *row, const void *obj)
{
    const struct corev1_secret *s = obj;
    cell_str(row, s->metadata.name);
    cell_str(row, s->type);
    cell_int(row, (int64_t)s->data.n);
    cell_age(row, s->metadata.creation_timestamp);
}

void corev1_config_map_print(struct print_row *row, const void *obj)
{
    const struct corev1_config_map *c = obj;
    cell_str(row, c->metadata.name);
    cell_int(row, (int64_t)(c->data.n + c->binary_data.n));
    cell_age(row, c->metadata.creation_timestamp);
}

void corev1_service_account_print(struct print_row *row, const void *obj)
{
    const struct corev1_service_account *s = obj;
    cell_str(row, s->metadata.name);
    cell_int(row, (int64_t)s->secrets.n);
    cell_age(row, s->metadata.creation_timestamp);
}

static struct str used_of_hard(struct arena *a, const struct corev1_resource_quota *q, bool limits)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    for (size_t i = 0; i < q->status.hard.n; i++) {
        struct str name = q->status.hard.v[i].key;
        if (str_has_prefix(name, STR("limits.")) != limits)
            continue;
        const struct quantity *used = quantity_map_get(&q->status.used, name);
        buf_fmt(&b, "%s%.*s: %.*s/%.*s", b.n ? ", " : "", STR_ARG(name),
                STR_ARG(used ? used->text : STR("0")), STR_ARG(q->status.hard.v[i].value.text));
    }
    return buf_to_arena(&b, a);
}

void corev1_resource_quota_print(struct print_row *row, const void *obj)
{
    const struct corev1_resource_quota *q = obj;
    cell_str(row, q->metadata.name);
    cell_str(row, used_of_hard(row->arena, q, false));
    cell_str(row, used_of_hard(row->arena, q, true));
    cell_age(row, q->metadata.creation_timestamp);
}

/* ---- storage ---- */

static struct str access_modes(struct arena *a, const struct str_list *modes)
{
    static const char *const names[][2] = {{"ReadWriteOnce", "RWO"},
                                           {"ReadOnlyMany", "ROX"},
                                           {"ReadWriteMany", "RWX"},
                                           {"ReadWriteOncePod", "RWOP"}};
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    for (size_t n = 0; n < ARRAY_LEN(names); n++)
        if (str_list_has(modes, str_z(names[n][0])))
            buf_fmt(&b, "%s%s", b.n ? "," : "", names[n][1]);
    return buf_to_arena(&b, a);
}

static struct str storage_of(const struct quantity_map *m)
{
    const struct quantity *q = quantity_map_get(m, STR("storage"));
    return q ? q->text : STR("");
}

void corev1_persistent_volume_print(struct print_row *row, const void *obj)
{
    const struct corev1_persistent_volume *v = obj;
    cell_str(row, v->metadata.name);
    cell_str(row, storage_of(&v->spec.capacity));
    cell_str(row, access_modes(row->arena, &v->spec.access_modes));
    cell_str(row, v->spec.persistent_volume_reclaim_policy);
    cell_str(row, v->metadata.deletion_timestamp ? STR("Terminating") : v->status.phase);
    if (v->spec.claim_ref)
        cell_fmt(row, "%.*s/%.*s", STR_ARG(v->spec.claim_ref->namespace),
                 STR_ARG(v->spec.claim_ref->name));
    else
        cell_z(row, "");
    cell_str(row, v->spec.storage_class_name);
    cell_str(row, v->spec.volume_attributes_class_name.n ? v->spec.volume_attributes_class_name
                                                         : STR("<unset>"));
    cell_str(row, v->status.reason);
    cell_age(row, v->metadata.creation_timestamp);
    cell_str(row, v->spec.volume_mode.n ? v->spec.volume_mode : STR("<unset>"));
}

void corev1_persistent_volume_claim_print(struct print_row *row, const void *obj)
{
    const struct corev1_persistent_volume_claim *c = obj;
    bool bound = c->spec.volume_name.n > 0;
    cell_str(row, c->metadata.name);
    cell_str(row, c->metadata.deletion_timestamp ? STR("Terminating") : c->status.phase);
    cell_str(row, c->spec.volume_name);
    cell_str(row, bound ? storage_of(&c->status.capacity) : STR(""));
    cell_str(row, bound ? access_modes(row->arena, &c->status.access_modes) : STR(""));
    cell_str(row, c->spec.storage_class_name);
    cell_str(row, c->spec.volume_attributes_class_name.n ? c->spec.volume_attributes_class_name
                                                         : STR("<unset>"));
    cell_age(row, c->metadata.creation_timestamp);
    cell_str(row, c->spec.volume_mode.n ? c->spec.volume_mode : STR("<unset>"));
}

void storagev1_storage_class_print(struct print_row *row, const void *obj)
{
    const struct storagev1_storage_class *s = obj;
    bool is_default = str_eq(
        str_map_get(&s->metadata.annotations, STR("storageclass.kubernetes.io/is-default-class")),
        STR("true"));
    cell_fmt(row, "%.*s%s", STR_ARG(s->metadata.name), is_default ? " (default)" : "");
    cell_str(row, s->provisioner);
    cell_str(row, s->reclaim_policy.n ? s->reclaim_policy : STR("Delete"));
    cell_str(row, s->volume_binding_mode.n ? s->volume_binding_mode : STR("Immediate"));
    cell_bool(row, s->allow_volume_expansion && *s->allow_volume_expansion);
    cell_age(row, s->metadata.creation_timestamp);
}

/* ---- networking ---- */

void networkingv1_ingress_print(struct print_row *row, const void *obj)
{
    const struct networkingv1_ingress *g = obj;
    CLEANUP(buf_fini) struct buf hosts = BUF_INIT(KIB(64)), addresses = BUF_INIT(KIB(64));
    size_t n = 0;
    LIST_EACH (r, &g->spec.rules)
        if (r->host.n && n++ < LIST_SHOWN_MAX)
            buf_fmt(&hosts, "%s%.*s", hosts.n ? "," : "", STR_ARG(r->host));
    if (n > LIST_SHOWN_MAX)
        buf_fmt(&hosts, " + %zu more...", n - LIST_SHOWN_MAX);
    LIST_EACH (i, &g->status.load_balancer.ingress)
        buf_fmt(&addresses, "%s%.*s", addresses.n ? "," : "",
                STR_ARG(i->ip.n ? i->ip : i->hostname));
    cell_str(row, g->metadata.name);
    cell_or_none(row, g->spec.ingress_class_name);
    cell_str(row, hosts.n ? buf_view(&hosts) : STR("*"));
    cell_str(row, buf_view(&addresses));
    cell_z(row, g->spec.tls.n ? "80, 443" : "80");
    cell_age(row, g->metadata.creation_timestamp);
}

void networkingv1_ingress_class_print(struct print_row *row, const void *obj)
{
    const struct networkingv1_ingress_class *c = obj;
    const struct networkingv1_ingress_class_parameters_reference *p = c->spec.parameters;
    cell_str(row, c->metadata.name);
    cell_str(row, c->spec.controller);
    if (p)
        cell_fmt(row, "%.*s%s%.*s/%.*s", STR_ARG(p->kind), p->api_group.n ? "." : "",
                 STR_ARG(p->api_group), STR_ARG(p->name));
    else
        cell_z(row, "<none>");
    cell_age(row, c->metadata.creation_timestamp);
}

void networkingv1_network_policy_print(struct print_row *row, const void *obj)
{
    const struct networkingv1_network_policy *p = obj;
    cell_str(row, p->metadata.name);
    cell_str(row, words_selector(row->arena, &p->spec.pod_selector));
    cell_age(row, p->metadata.creation_timestamp);
}

/* ---- RBAC, certificates, the rest ---- */

static void cells_subjects(struct print_row *row, const struct rbacv1_subject *v, size_t n)
{
    static const char *const kinds[] = {"User", "Group", "ServiceAccount"};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
        for (size_t i = 0; i < n; i++) {
            if (!str_eqz(v[i].kind, kinds[k]))
                continue;
            if (b.n)
                buf_z(&b, ", ");
            if (k == 2)
                buf_fmt(&b, "%.*s/", STR_ARG(v[i].namespace));
            buf_str(&b, v[i].name);
        }
        cell_str(row, buf_view(&b));
    }
}

void rbacv1_role_binding_print(struct print_row *row, const void *obj)
{
    const struct rbacv1_role_binding *b = obj;
    cell_str(row, b->metadata.name);
    cell_fmt(row, "%.*s/%.*s", STR_ARG(b->role_ref.kind), STR_ARG(b->role_ref.name));
    cell_age(row, b->metadata.creation_timestamp);
    cells_subjects(row, b->subjects.v, b->subjects.n);
}

void rbacv1_cluster_role_binding_print(struct print_row *row, const void *obj)
{
    const struct rbacv1_cluster_role_binding *b = obj;
    cell_str(row, b->metadata.name);
    cell_fmt(row, "%.*s/%.*s", STR_ARG(b->role_ref.kind), STR_ARG(b->role_ref.name));
    cell_age(row, b->metadata.creation_timestamp);
    cells_subjects(row, b->subjects.v, b->subjects.n);
}

void certificatesv1_certificate_signing_request_print(struct print_row *row, const void *obj)
{
    const struct certificatesv1_certificate_signing_request *c = obj;
    struct str word = STR("Pending");
    LIST_EACH (k, &c->status.conditions)
        if (str_eq(k->type, STR("Approved")) || str_eq(k->type, STR("Denied")))
            word = k->type;
    LIST_EACH (k, &c->status.conditions)
        if (str_eq(k->type, STR("Failed")))
            word = arena_cat(row->arena, word, STR(",Failed"));
    if (c->status.certificate.n)
        word = arena_cat(row->arena, word, STR(",Issued"));
    cell_str(row, c->metadata.name);
    cell_age(row, c->metadata.creation_timestamp);
    cell_or_none(row, c->spec.signer_name);
    cell_str(row, c->spec.username);
    if (c->spec.expiration_seconds)
        cell_str(row, human_duration(row->arena, (int64_t)*c->spec.expiration_seconds * 1000));
    else
        cell_z(row, "<none>");
    cell_str(row, word);
}

void coordinationv1_lease_print(struct print_row *row, const void *obj)
{
    const struct coordinationv1_lease *l = obj;
    cell_str(row, l->metadata.name);
    cell_str(row, l->spec.holder_identity);
    cell_age(row, l->metadata.creation_timestamp);
}

void schedulingv1_priority_class_print(struct print_row *row, const void *obj)
{
    const struct schedulingv1_priority_class *p = obj;
    cell_str(row, p->metadata.name);
    cell_int(row, p->value);
    cell_bool(row, p->global_default);
    cell_age(row, p->metadata.creation_timestamp);
    cell_str(row, p->preemption_policy);
}

void nodev1_runtime_class_print(struct print_row *row, const void *obj)
{
    const struct nodev1_runtime_class *c = obj;
    cell_str(row, c->metadata.name);
    cell_str(row, c->handler);
    cell_age(row, c->metadata.creation_timestamp);
}

void admissionregistrationv1_mutating_webhook_configuration_print(struct print_row *row,
                                                                  const void *obj)
{
    const struct admissionregistrationv1_mutating_webhook_configuration *c = obj;
    cell_str(row, c->metadata.name);
    cell_int(row, (int64_t)c->webhooks.n);
    cell_age(row, c->metadata.creation_timestamp);
}

void admissionregistrationv1_validating_webhook_configuration_print(struct print_row *row,
                                                                    const void *obj)
{
    const struct admissionregistrationv1_validating_webhook_configuration *c = obj;
    cell_str(row, c->metadata.name);
    cell_int(row, (int64_t)c->webhooks.n);
    cell_age(row, c->metadata.creation_timestamp);
}
