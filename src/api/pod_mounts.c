/* SPDX-License-Identifier: Apache-2.0 */
/* Where containers see the volumes of their pod: mounts and raw devices. */
#include "api/pod.h"

static void check_propagation(struct validation *v, const struct field_path *p,
                              const struct corev1_volume_mount *m, const struct corev1_container *c)
{
    bool privileged =
        c->security_context && c->security_context->privileged && *c->security_context->privileged;
    check_schema_enum(v, p, &corev1_volume_mount_desc, "mountPropagation", m->mount_propagation);
    if (str_eq(m->mount_propagation, STR("Bidirectional")) && !privileged)
        fault_forbidden(v, AT(p, "mountPropagation"),
                        "Bidirectional mount propagation is available only to privileged "
                        "containers");
}

static void check_recursive(struct validation *v, const struct field_path *p,
                            const struct corev1_volume_mount *m)
{
    const struct field_path *at = AT(p, "recursiveReadOnly");
    if (!m->recursive_read_only.p || str_eq(m->recursive_read_only, STR("Disabled")))
        return;
    if (!check_schema_enum(v, p, &corev1_volume_mount_desc, "recursiveReadOnly",
                           m->recursive_read_only))
        return;
    if (!m->read_only)
        fault_forbidden(v, at, "may only be specified when readOnly is true");
    if (m->mount_propagation.p && !str_eq(m->mount_propagation, STR("None")))
        fault_forbidden(v, at,
                        "may only be specified when mountPropagation is None or not specified");
}

static void check_sub_paths(struct validation *v, const struct field_path *p,
                            const struct field_path *list, const struct corev1_volume *volume,
                            const struct corev1_volume_mount *m)
{
    static const char no_image[] = "not allowed in image volume sources";
    if (volume && volume->image) {
        if (m->sub_path.n)
            fault_invalid(v, AT(p, "subPath"), bad_str(m->sub_path), no_image);
        if (m->sub_path_expr.n)
            fault_invalid(v, AT(p, "subPathExpr"), bad_str(m->sub_path_expr), no_image);
    }
    if (m->sub_path.n)
        check_relative_path(v, AT(list, "subPath"), m->sub_path);
    if (!m->sub_path_expr.n)
        return;
    if (m->sub_path.n)
        fault_invalid(v, AT(p, "subPathExpr"), bad_str(m->sub_path_expr),
                      "subPathExpr and subPath are mutually exclusive");
    check_relative_path(v, AT(list, "subPathExpr"), m->sub_path_expr);
}

/* Names and paths of what a container sees. */
struct places {
    struct map names, paths;
};

static bool has(const struct map *m, struct str key)
{
    return key.n && map_has(m, key);
}

static void check_mount(struct pod_check *c, const struct field_path *list, size_t i,
                        const struct corev1_container *container, struct map *points,
                        const struct places *devices)
{
    const struct corev1_volume_mount *m = &container->volume_mounts.v[i];
    const struct corev1_volume *volume = m->name.n ? map_get(&c->volumes, m->name) : NULL;
    const struct field_path *p = AT_INDEX(list, i);
    struct validation *v = c->v;
    if (!m->name.n)
        fault_required(v, AT(p, "name"), "%s", "");
    if (!volume)
        fault_not_found(v, AT(p, "name"), bad_str(m->name));
    if (!m->mount_path.n)
        fault_required(v, AT(p, "mountPath"), "%s", "");
    if (seen_before(points, m->mount_path))
        fault_invalid(v, AT(p, "mountPath"), bad_str(m->mount_path), "must be unique");
    if (has(&devices->names, m->name))
        fault_invalid(v, AT(p, "name"), bad_str(m->name),
                      "must not already exist in volumeDevices");
    if (has(&devices->paths, m->mount_path))
        fault_invalid(v, AT(p, "mountPath"), bad_str(m->mount_path),
                      "must not already exist as a path in volumeDevices");
    check_sub_paths(v, p, list, volume, m);
    check_propagation(v, list, m, container);
    check_recursive(v, list, m);
}

static void check_device(struct pod_check *c, const struct field_path *p,
                         const struct corev1_volume_device *d, struct places *devices,
                         const struct places *mounts)
{
    const struct corev1_volume *volume = d->name.n ? map_get(&c->volumes, d->name) : NULL;
    struct validation *v = c->v;
    if (!d->name.n)
        fault_required(v, AT(p, "name"), "%s", "");
    else if (seen_before(&devices->names, d->name))
        fault_invalid(v, AT(p, "name"), bad_str(d->name), "must be unique");
    if (!volume)
        fault_not_found(v, AT(p, "name"), bad_str(d->name));
    else if (!volume->persistent_volume_claim && !volume->ephemeral)
        fault_invalid(v, AT(p, "name"), bad_str(d->name),
                      "can only use volume source type of PersistentVolumeClaim or Ephemeral for "
                      "block mode");
    if (!d->device_path.n)
        fault_required(v, AT(p, "devicePath"), "%s", "");
    if (seen_before(&devices->paths, d->device_path))
        fault_invalid(v, AT(p, "devicePath"), bad_str(d->device_path), "must be unique");
    struct str rest = d->device_path, part;
    while (str_next(&rest, '/', &part))
        if (str_eq(part, STR(".."))) {
            fault_invalid(v, AT(p, "devicePath"), bad_str(d->device_path),
                          "can not contain backsteps ('..')");
            break;
        }
    if (has(&mounts->names, d->name))
        fault_invalid(v, AT(p, "name"), bad_str(d->name), "must not already exist in volumeMounts");
    if (has(&mounts->paths, d->device_path))
        fault_invalid(v, AT(p, "devicePath"), bad_str(d->device_path),
                      "must not already exist as a path in volumeMounts");
}

static void places_fini(struct places *p)
{
    map_fini(&p->names);
    map_fini(&p->paths);
}

void check_volume_mounts(struct pod_check *c, const struct field_path *p,
                         const struct corev1_container *container)
{
    CLEANUP(places_fini) struct places mounts = {MAP_INIT_BORROWED, MAP_INIT_BORROWED};
    CLEANUP(places_fini) struct places devices = {MAP_INIT_BORROWED, MAP_INIT_BORROWED};
    CLEANUP(places_fini) struct places seen = {MAP_INIT_BORROWED, MAP_INIT_BORROWED};
    LIST_EACH (m, &container->volume_mounts) {
        (void)seen_before(&mounts.names, m->name);
        (void)seen_before(&mounts.paths, m->mount_path);
    }
    LIST_EACH (d, &container->volume_devices) {
        (void)seen_before(&devices.names, d->name);
        (void)seen_before(&devices.paths, d->device_path);
    }
    for (size_t i = 0; i < container->volume_mounts.n; i++)
        check_mount(c, AT(p, "volumeMounts"), i, container, &seen.paths, &devices);
    map_clear(&seen.paths);
    for (size_t i = 0; i < container->volume_devices.n; i++)
        check_device(c, AT_INDEX(AT(p, "volumeDevices"), i), &container->volume_devices.v[i], &seen,
                     &mounts);
}
