/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/taints.h"

static bool evicts(const struct corev1_taint *t)
{
    return str_eq(t->effect, STR("NoExecute"));
}

bool taints_evict(const struct corev1_node *n)
{
    LIST_EACH (t, &n->spec.taints)
        if (evicts(t))
            return true;
    return false;
}

bool taint_tolerated_by(const struct corev1_taint *t, const struct corev1_toleration *by)
{
    if ((by->effect.n && !str_eq(by->effect, t->effect)) || (by->key.n && !str_eq(by->key, t->key)))
        return false;
    if (str_eq(by->operator_, STR("Exists")))
        return true;
    return (!by->operator_.n || str_eq(by->operator_, STR("Equal"))) && str_eq(by->value, t->value);
}

static const struct corev1_toleration *toleration_of(const struct corev1_pod *p,
                                                     const struct corev1_taint *t)
{
    LIST_EACH (by, &p->spec.tolerations)
        if (taint_tolerated_by(t, by))
            return by;
    return NULL;
}

int64_t taints_tolerated_s(const struct corev1_pod *p, const struct corev1_node *n)
{
    int64_t least = -1;
    LIST_EACH (t, &n->spec.taints) {
        if (!evicts(t))
            continue;
        const struct corev1_toleration *by = toleration_of(p, t);
        if (!by)
            return 0;
        if (!by->toleration_seconds)
            continue;
        int64_t s = MAX(*by->toleration_seconds, 0);
        least = least < 0 ? s : MIN(least, s);
    }
    return least;
}
