/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.h: the logic of a kind that its schema cannot express.
 *
 * A resource whose schema block has the word `hooks` names a table `<package>_<kind>_hooks`
 * (`corev1_pod_hooks`), defined in api/kind_<kind>.c; a missing one is a link error. Members may be
 * NULL. Everything works on decoded structs (api/<package>.h) and on the request's arena.
 *
 * Order for a write: decode, static defaults (schema), `defaults`, admission, `prepare`,
 * `validate`, store. The same order as kube-apiserver's, so that messages and results agree.
 */
#ifndef BARQUE_API_HOOKS_H
#define BARQUE_API_HOOKS_H

#include "api/desc.h"
#include "api/metav1.h"

struct validation; /* api/validate.h */

struct kind_hooks {
    /* Conditional defaults (upstream: SetDefaults_X). Idempotent. */
    void (*defaults)(struct arena *a, void *obj);
    /* What the server sets, keeps or clears itself (upstream: PrepareForCreate/Update of the
     * strategy) beyond the generic rules: status is cleared at create and kept at update,
     * metadata.generation rises when something besides metadata and status changed. old is NULL
     * at create. Called with metadata.name, uid and creationTimestamp set, and not for writes of
     * the status. */
    void (*prepare)(struct arena *a, void *obj, const void *old);
    /* Checks the object (old NULL: create) or the change; adds a cause for each fault, with field
     * path, reason and message as upstream has them. Name, labels and the rest of ObjectMeta are
     * checked by the caller; `valid_name` says which rule names follow. */
    void (*validate)(struct validation *v, const void *obj, const void *old);
    /* The same for the status subresource, where there always is an old object; NULL: nothing to
     * check. */
    void (*validate_status)(struct validation *v, const void *obj, const void *old);
    /* Fault of a name, NULL when it is good: e.g. DNS label for services. NULL hook: DNS
     * subdomain, as most kinds. */
    const char *(*valid_name)(struct str name, bool is_prefix);
    /* Fields of the spec that may never change are checked in `validate`. A spec that may not
     * change at all (ControllerRevision data, ...) too. */
    bool generation_off; /* this kind keeps no metadata.generation (ConfigMap, Secret, ...) */
};

/* For `prepare` of kinds that have no spec but keep metadata.generation: 1 at create, and one more
 * when something besides metadata changes. obj is a d. */
void prepare_generation(const struct desc *d, void *obj, const void *old);

#endif
