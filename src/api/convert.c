/* SPDX-License-Identifier: Apache-2.0 */
/* core/v1 and events.k8s.io/v1 Events; autoscaling v1 and v2 HorizontalPodAutoscalers. */
#include "api/convert.h"

#include "api/autoscalingv1.h"
#include "api/autoscalingv2.h"
#include "api/corev1.h"
#include "api/eventsv1.h"

/* ---- Event: the same facts under other names ---- */

static void event_to_new(struct arena *a, const void *from, void *to)
{
    const struct corev1_event *o = from;
    struct eventsv1_event *n = to;
    n->metadata = o->metadata;
    n->event_time = o->event_time;
    n->series = NULL;
    if (o->series) {
        n->series = arena_new(a, struct eventsv1_event_series);
        n->series->count = o->series->count;
        n->series->last_observed_time = o->series->last_observed_time;
    }
    n->reporting_controller = o->reporting_component;
    n->reporting_instance = o->reporting_instance;
    n->action = o->action;
    n->reason = o->reason;
    n->regarding = o->involved_object;
    n->related = o->related;
    n->note = o->message;
    n->type = o->type;
    n->deprecated_source = o->source;
    n->deprecated_first_timestamp = o->first_timestamp;
    n->deprecated_last_timestamp = o->last_timestamp;
    n->deprecated_count = o->count;
}

static void event_to_core(struct arena *a, const void *from, void *to)
{
    const struct eventsv1_event *o = from;
    struct corev1_event *n = to;
    n->metadata = o->metadata;
    n->event_time = o->event_time;
    if (o->series) {
        n->series = arena_new(a, struct corev1_event_series);
        n->series->count = o->series->count;
        n->series->last_observed_time = o->series->last_observed_time;
    }
    n->reporting_component = o->reporting_controller;
    n->reporting_instance = o->reporting_instance;
    n->action = o->action;
    n->reason = o->reason;
    n->involved_object = o->regarding;
    n->related = o->related;
    n->message = o->note;
    n->type = o->type;
    n->source = o->deprecated_source;
    n->first_timestamp = o->deprecated_first_timestamp;
    n->last_timestamp = o->deprecated_last_timestamp;
    n->count = o->deprecated_count;
}

/* ---- HorizontalPodAutoscaler: v1 knows only the CPU percentage; the rest goes into annotations
 * upstream, and is kept by v2 here ---- */

static void hpa_to_v2(struct arena *a, const void *from, void *to)
{
    const struct autoscalingv1_horizontal_pod_autoscaler *o = from;
    struct autoscalingv2_horizontal_pod_autoscaler *n = to;
    n->metadata = o->metadata;
    n->spec.scale_target_ref.kind = o->spec.scale_target_ref.kind;
    n->spec.scale_target_ref.name = o->spec.scale_target_ref.name;
    n->spec.scale_target_ref.api_version = o->spec.scale_target_ref.api_version;
    n->spec.min_replicas = o->spec.min_replicas;
    n->spec.max_replicas = o->spec.max_replicas;
    if (o->spec.target_cpu_utilization_percentage) {
        struct autoscalingv2_metric_spec *m = list_add(a, &n->spec.metrics);
        m->type = STR("Resource");
        m->resource = arena_new(a, struct autoscalingv2_resource_metric_source);
        m->resource->name = STR("cpu");
        m->resource->target.type = STR("Utilization");
        m->resource->target.average_utilization = o->spec.target_cpu_utilization_percentage;
    }
    n->status.observed_generation = o->status.observed_generation;
    n->status.last_scale_time = o->status.last_scale_time;
    n->status.current_replicas = o->status.current_replicas;
    n->status.desired_replicas = o->status.desired_replicas;
    if (o->status.current_cpu_utilization_percentage) {
        struct autoscalingv2_metric_status *m = list_add(a, &n->status.current_metrics);
        m->type = STR("Resource");
        m->resource = arena_new(a, struct autoscalingv2_resource_metric_status);
        m->resource->name = STR("cpu");
        m->resource->current.average_utilization = o->status.current_cpu_utilization_percentage;
    }
}

static void hpa_to_v1(struct arena *a, const void *from, void *to)
{
    const struct autoscalingv2_horizontal_pod_autoscaler *o = from;
    struct autoscalingv1_horizontal_pod_autoscaler *n = to;
    n->metadata = o->metadata;
    n->spec.scale_target_ref.kind = o->spec.scale_target_ref.kind;
    n->spec.scale_target_ref.name = o->spec.scale_target_ref.name;
    n->spec.scale_target_ref.api_version = o->spec.scale_target_ref.api_version;
    n->spec.min_replicas = o->spec.min_replicas;
    n->spec.max_replicas = o->spec.max_replicas;
    LIST_EACH (m, &o->spec.metrics)
        if (m->resource && str_eq(m->resource->name, STR("cpu")) &&
            m->resource->target.average_utilization)
            n->spec.target_cpu_utilization_percentage = m->resource->target.average_utilization;
    n->status.observed_generation = o->status.observed_generation;
    n->status.last_scale_time = o->status.last_scale_time;
    n->status.current_replicas = o->status.current_replicas;
    n->status.desired_replicas = o->status.desired_replicas;
    LIST_EACH (m, &o->status.current_metrics)
        if (m->resource && str_eq(m->resource->name, STR("cpu")))
            n->status.current_cpu_utilization_percentage = m->resource->current.average_utilization;
}

static const struct {
    const struct desc *from, *to;
    void (*run)(struct arena *a, const void *from, void *to);
} table[] = {
    {&corev1_event_desc, &eventsv1_event_desc, event_to_new},
    {&eventsv1_event_desc, &corev1_event_desc, event_to_core},
    {&autoscalingv1_horizontal_pod_autoscaler_desc, &autoscalingv2_horizontal_pod_autoscaler_desc,
     hpa_to_v2},
    {&autoscalingv2_horizontal_pod_autoscaler_desc, &autoscalingv1_horizontal_pod_autoscaler_desc,
     hpa_to_v1},
};

bool convert(struct arena *a, const struct desc *from_desc, const void *from,
             const struct desc *to_desc, void *to)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].from == from_desc && table[i].to == to_desc) {
            table[i].run(a, from, to);
            return true;
        }
    }
    return false;
}
