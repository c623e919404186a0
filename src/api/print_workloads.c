/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of pods and of what makes them. */
#include "api/appsv1.h"
#include "api/autoscalingv2.h"
#include "api/batchv1.h"
#include "api/corev1.h"
#include "api/policyv1.h"
#include "api/print_words.h"
#include "api/printers.h"

/* ---- pods: one word that says how it goes (upstream: printPod) ---- */

struct pod_state {
    struct str word;
    int64_t restarts, restarts_sidecars;
    size_t ready, total;
    struct wall last_restart;
};

static void take_restarts(struct pod_state *s, const struct corev1_container_status *c)
{
    s->restarts += c->restart_count;
    if (c->last_state.terminated &&
        wall_cmp(c->last_state.terminated->finished_at, s->last_restart) > 0)
        s->last_restart = c->last_state.terminated->finished_at;
}

static struct str exit_word(struct arena *a, const char *prefix,
                            const struct corev1_container_state_terminated *t)
{
    if (t->reason.n)
        return arena_fmt(a, "%s%.*s", prefix, STR_ARG(t->reason));
    if (t->signal)
        return arena_fmt(a, "%sSignal:%d", prefix, t->signal);
    return arena_fmt(a, "%sExitCode:%d", prefix, t->exit_code);
}

static bool is_sidecar(const struct corev1_pod *pod, struct str name)
{
    LIST_EACH (c, &pod->spec.init_containers)
        if (str_eq(c->name, name))
            return str_eq(c->restart_policy, STR("Always"));
    return false;
}

/* True while init containers have not ended; then the word is theirs. */
static bool initializing(struct arena *a, const struct corev1_pod *pod, struct pod_state *s)
{
    for (size_t i = 0; i < pod->status.init_container_statuses.n; i++) {
        const struct corev1_container_status *c = &pod->status.init_container_statuses.v[i];
        bool sidecar = is_sidecar(pod, c->name);
        take_restarts(s, c);
        if (c->state.terminated && c->state.terminated->exit_code == 0)
            continue;
        if (sidecar && c->started && *c->started) {
            s->ready += c->ready;
            continue;
        }
        if (c->state.terminated)
            s->word = exit_word(a, "Init:", c->state.terminated);
        else if (c->state.waiting && c->state.waiting->reason.n &&
                 !str_eq(c->state.waiting->reason, STR("PodInitializing")))
            s->word = arena_fmt(a, "Init:%.*s", STR_ARG(c->state.waiting->reason));
        else
            s->word = arena_fmt(a, "Init:%zu/%zu", i, pod->spec.init_containers.n);
        return true;
    }
    return false;
}

static void take_containers(struct arena *a, const struct corev1_pod *pod, struct pod_state *s)
{
    bool running = false;
    s->restarts = 0;
    s->last_restart = (struct wall){0};
    LIST_EACH (c, &pod->status.init_container_statuses)
        if (is_sidecar(pod, c->name))
            take_restarts(s, c);
    for (size_t i = pod->status.container_statuses.n; i-- > 0;) {
        const struct corev1_container_status *c = &pod->status.container_statuses.v[i];
        take_restarts(s, c);
        if (c->state.waiting && c->state.waiting->reason.n)
            s->word = c->state.waiting->reason;
        else if (c->state.terminated)
            s->word = exit_word(a, "", c->state.terminated);
        else if (c->ready && c->state.running) {
            running = true;
            s->ready++;
        }
    }
    /* A pod that goes on after some of its containers have completed is running. */
    if (str_eq(s->word, STR("Completed")) && running) {
        s->word = STR("NotReady");
        LIST_EACH (k, &pod->status.conditions)
            if (str_eq(k->type, STR("Ready")) && str_eq(k->status, STR("True")))
                s->word = STR("Running");
    }
}

static bool gated(const struct corev1_pod *pod)
{
    LIST_EACH (k, &pod->status.conditions)
        if (str_eq(k->type, STR("PodScheduled")) && str_eq(k->reason, STR("SchedulingGated")))
            return true;
    return false;
}

static struct pod_state pod_state(struct arena *a, const struct corev1_pod *pod)
{
    struct pod_state s = {.total = pod->spec.containers.n};
    LIST_EACH (c, &pod->spec.init_containers)
        s.total += str_eq(c->restart_policy, STR("Always"));
    s.word = pod->status.reason.n ? pod->status.reason : pod->status.phase;
    if (gated(pod))
        s.word = STR("SchedulingGated");
    if (!initializing(a, pod, &s))
        take_containers(a, pod, &s);
    bool over =
        str_eq(pod->status.phase, STR("Succeeded")) || str_eq(pod->status.phase, STR("Failed"));
    if (pod->metadata.deletion_timestamp && str_eq(pod->status.reason, STR("NodeLost")))
        s.word = STR("Unknown");
    else if (pod->metadata.deletion_timestamp && !over)
        s.word = STR("Terminating");
    return s;
}

static struct str readiness_gates(struct arena *a, const struct corev1_pod *pod)
{
    size_t met = 0;
    if (!pod->spec.readiness_gates.n)
        return STR("<none>");
    LIST_EACH (g, &pod->spec.readiness_gates)
        LIST_EACH (k, &pod->status.conditions)
            met += str_eq(k->type, g->condition_type) && str_eq(k->status, STR("True"));
    return arena_fmt(a, "%zu/%zu", met, pod->spec.readiness_gates.n);
}

void corev1_pod_print(struct print_row *row, const void *obj)
{
    const struct corev1_pod *pod = obj;
    struct pod_state s = pod_state(row->arena, pod);
    if (str_eq(pod->status.phase, STR("Succeeded"))) {
        row->completed_reason = STR("Succeeded");
        row->completed_message = STR("The pod has completed successfully.");
    } else if (str_eq(pod->status.phase, STR("Failed"))) {
        row->completed_reason = STR("Failed");
        row->completed_message = STR("The pod failed.");
    }
    cell_str(row, pod->metadata.name);
    cell_fmt(row, "%zu/%zu", s.ready, s.total);
    cell_str(row, s.word);
    if (s.restarts && !wall_is_zero(s.last_restart))
        cell_fmt(row, "%lld (%.*s ago)", (long long)s.restarts,
                 STR_ARG(human_duration(row->arena, wall_ms(row->now) - wall_ms(s.last_restart))));
    else
        cell_fmt(row, "%lld", (long long)s.restarts);
    cell_age(row, pod->metadata.creation_timestamp);
    cell_or_none(row, pod->status.pod_ips.n ? pod->status.pod_ips.v[0].ip : pod->status.pod_ip);
    cell_or_none(row, pod->spec.node_name);
    cell_or_none(row, pod->status.nominated_node_name);
    cell_str(row, readiness_gates(row->arena, pod));
}

/* ---- containers, images and selector of a template ---- */

static void cells_template(struct print_row *row, const struct corev1_pod_spec *spec)
{
    CLEANUP(buf_fini) struct buf names = BUF_INIT(MIB(1)), images = BUF_INIT(MIB(1));
    LIST_EACH (c, &spec->containers) {
        buf_fmt(&names, "%s%.*s", names.n ? "," : "", STR_ARG(c->name));
        buf_fmt(&images, "%s%.*s", images.n ? "," : "", STR_ARG(c->image));
    }
    cell_str(row, buf_view(&names));
    cell_str(row, buf_view(&images));
}

static void cell_selector(struct print_row *row, const struct metav1_label_selector *s)
{
    cell_str(row, words_selector(row->arena, s));
}

void corev1_pod_template_print(struct print_row *row, const void *obj)
{
    const struct corev1_pod_template *t = obj;
    cell_str(row, t->metadata.name);
    cells_template(row, &t->template.spec);
    cell_str(row, words_labels(row->arena, &t->template.metadata.labels));
}

void corev1_replication_controller_print(struct print_row *row, const void *obj)
{
    const struct corev1_replication_controller *rc = obj;
    cell_str(row, rc->metadata.name);
    cell_int(row, rc->spec.replicas ? *rc->spec.replicas : 0);
    cell_int(row, rc->status.replicas);
    cell_int(row, rc->status.ready_replicas);
    cell_age(row, rc->metadata.creation_timestamp);
    if (rc->spec.template)
        cells_template(row, &rc->spec.template->spec);
    else
        cells_template(row, &(struct corev1_pod_spec){0});
    cell_str(row, words_labels(row->arena, &rc->spec.selector));
}

void appsv1_replica_set_print(struct print_row *row, const void *obj)
{
    const struct appsv1_replica_set *rs = obj;
    cell_str(row, rs->metadata.name);
    cell_int(row, rs->spec.replicas ? *rs->spec.replicas : 0);
    cell_int(row, rs->status.replicas);
    cell_int(row, rs->status.ready_replicas);
    cell_age(row, rs->metadata.creation_timestamp);
    cells_template(row, &rs->spec.template.spec);
    cell_selector(row, rs->spec.selector);
}

void appsv1_deployment_print(struct print_row *row, const void *obj)
{
    const struct appsv1_deployment *d = obj;
    cell_str(row, d->metadata.name);
    cell_fmt(row, "%d/%d", d->status.ready_replicas, d->spec.replicas ? *d->spec.replicas : 0);
    cell_int(row, d->status.updated_replicas);
    cell_int(row, d->status.available_replicas);
    cell_age(row, d->metadata.creation_timestamp);
    cells_template(row, &d->spec.template.spec);
    cell_selector(row, d->spec.selector);
}

void appsv1_daemon_set_print(struct print_row *row, const void *obj)
{
    const struct appsv1_daemon_set *d = obj;
    cell_str(row, d->metadata.name);
    cell_int(row, d->status.desired_number_scheduled);
    cell_int(row, d->status.current_number_scheduled);
    cell_int(row, d->status.number_ready);
    cell_int(row, d->status.updated_number_scheduled);
    cell_int(row, d->status.number_available);
    cell_str(row, words_labels(row->arena, &d->spec.template.spec.node_selector));
    cell_age(row, d->metadata.creation_timestamp);
    cells_template(row, &d->spec.template.spec);
    cell_selector(row, d->spec.selector);
}

void appsv1_stateful_set_print(struct print_row *row, const void *obj)
{
    const struct appsv1_stateful_set *s = obj;
    cell_str(row, s->metadata.name);
    cell_fmt(row, "%d/%d", s->status.ready_replicas, s->spec.replicas ? *s->spec.replicas : 0);
    cell_age(row, s->metadata.creation_timestamp);
    cells_template(row, &s->spec.template.spec);
}

void appsv1_controller_revision_print(struct print_row *row, const void *obj)
{
    const struct appsv1_controller_revision *c = obj;
    struct str owner = STR("<none>");
    LIST_EACH (o, &c->metadata.owner_references)
        if (o->controller && *o->controller) {
            struct str group, version;
            char *kind = (char *)(uintptr_t)arena_str(row->arena, o->kind).p;
            for (size_t i = 0; i < o->kind.n; i++)
                kind[i] = (char)(kind[i] | 0x20);
            if (!str_cut(o->api_version, '/', &group, &version))
                group = STR("");
            owner = arena_fmt(row->arena, "%s%s%.*s/%.*s", kind, group.n ? "." : "", STR_ARG(group),
                              STR_ARG(o->name));
        }
    cell_str(row, c->metadata.name);
    cell_str(row, owner);
    cell_int(row, c->revision);
    cell_age(row, c->metadata.creation_timestamp);
}

/* ---- jobs ---- */

static const char *job_word(const struct batchv1_job *j)
{
    static const struct {
        const char *type, *word;
    } words[] = {{"Complete", "Complete"},
                 {"Failed", "Failed"},
                 {"Suspended", "Suspended"},
                 {"FailureTarget", "FailureTarget"},
                 {"SuccessCriteriaMet", "SuccessCriteriaMet"}};
    if (j->metadata.deletion_timestamp)
        return "Terminating";
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        LIST_EACH (k, &j->status.conditions)
            if (str_eqz(k->type, words[i].type) && str_eq(k->status, STR("True")))
                return words[i].word;
    return "Running";
}

void batchv1_job_print(struct print_row *row, const void *obj)
{
    const struct batchv1_job *j = obj;
    cell_str(row, j->metadata.name);
    cell_z(row, job_word(j));
    if (j->spec.completions)
        cell_fmt(row, "%d/%d", j->status.succeeded, *j->spec.completions);
    else if (j->spec.parallelism && *j->spec.parallelism > 1)
        cell_fmt(row, "%d/1 of %d", j->status.succeeded, *j->spec.parallelism);
    else
        cell_fmt(row, "%d/1", j->status.succeeded);
    if (!j->status.start_time)
        cell_z(row, "");
    else
        cell_str(row, human_duration(row->arena,
                                     wall_ms(j->status.completion_time ? *j->status.completion_time
                                                                       : row->now) -
                                         wall_ms(*j->status.start_time)));
    cell_age(row, j->metadata.creation_timestamp);
    cells_template(row, &j->spec.template.spec);
    cell_selector(row, j->spec.selector);
}

void batchv1_cron_job_print(struct print_row *row, const void *obj)
{
    const struct batchv1_cron_job *c = obj;
    cell_str(row, c->metadata.name);
    cell_str(row, c->spec.schedule);
    cell_or_none(row, c->spec.time_zone);
    cell_bool(row, c->spec.suspend && *c->spec.suspend);
    cell_int(row, (int64_t)c->status.active.n);
    if (c->status.last_schedule_time)
        cell_age(row, *c->status.last_schedule_time);
    else
        cell_z(row, "<none>");
    cell_age(row, c->metadata.creation_timestamp);
    cells_template(row, &c->spec.job_template.spec.template.spec);
    cell_selector(row, c->spec.job_template.spec.selector);
}

/* ---- budgets and autoscalers ---- */

static void cell_intstr(struct print_row *row, const struct intstr *v)
{
    if (!v)
        cell_z(row, "N/A");
    else if (v->is_string)
        cell_str(row, v->s);
    else
        cell_fmt(row, "%d", v->i);
}

void policyv1_pod_disruption_budget_print(struct print_row *row, const void *obj)
{
    const struct policyv1_pod_disruption_budget *p = obj;
    cell_str(row, p->metadata.name);
    cell_intstr(row, p->spec.min_available);
    cell_intstr(row, p->spec.max_unavailable);
    cell_int(row, p->status.disruptions_allowed);
    cell_age(row, p->metadata.creation_timestamp);
}

/* "cpu: 12%/50%" of one metric. */
static void put_metric(struct buf *b, const struct autoscalingv2_metric_spec *m,
                       const struct autoscalingv2_metric_status *now)
{
    if (!m->resource) {
        buf_fmt(b, "%.*s", STR_ARG(m->type));
        return;
    }
    buf_fmt(b, "%.*s: ", STR_ARG(m->resource->name));
    const struct autoscalingv2_metric_value_status *have =
        now && now->resource ? &now->resource->current : NULL;
    if (m->resource->target.average_value.text.p) {
        struct str want = m->resource->target.average_value.text;
        if (have && have->average_value.text.p)
            buf_fmt(b, "%.*s/%.*s", STR_ARG(have->average_value.text), STR_ARG(want));
        else
            buf_fmt(b, "<unknown>/%.*s", STR_ARG(want));
        return;
    }
    if (have && have->average_utilization)
        buf_fmt(b, "%d%%/", *have->average_utilization);
    else
        buf_z(b, "<unknown>/");
    if (m->resource->target.average_utilization)
        buf_fmt(b, "%d%%", *m->resource->target.average_utilization);
    else
        buf_z(b, "<auto>");
}

void autoscalingv2_horizontal_pod_autoscaler_print(struct print_row *row, const void *obj)
{
    const struct autoscalingv2_horizontal_pod_autoscaler *h = obj;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    for (size_t i = 0; i < h->spec.metrics.n && i < 2; i++) {
        if (i)
            buf_z(&b, ", ");
        put_metric(&b, &h->spec.metrics.v[i],
                   i < h->status.current_metrics.n ? &h->status.current_metrics.v[i] : NULL);
    }
    if (h->spec.metrics.n > 2)
        buf_fmt(&b, " + %zu more...", h->spec.metrics.n - 2);
    cell_str(row, h->metadata.name);
    cell_fmt(row, "%.*s/%.*s", STR_ARG(h->spec.scale_target_ref.kind),
             STR_ARG(h->spec.scale_target_ref.name));
    cell_str(row, b.n ? buf_view(&b) : STR("<none>"));
    if (h->spec.min_replicas)
        cell_int(row, *h->spec.min_replicas);
    else
        cell_z(row, "<unset>");
    cell_int(row, h->spec.max_replicas);
    cell_int(row, h->status.current_replicas);
    cell_age(row, h->metadata.creation_timestamp);
}
