/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Merge Patch, RFC 7386. */
#include "api/patch.h"
#include "api/tree.h"

/* NULL: the arena is full. */
static struct json *merge(struct arena *a, struct json *doc, struct json *patch)
{
    if (patch->type != JSON_OBJECT || !doc || doc->type != JSON_OBJECT)
        return tree_without_nulls(a, patch);
    struct tree_edit ed;
    if (!tree_edit_init(&ed, a, doc, patch->object.n))
        return NULL;
    bool full = false;
    for (size_t i = 0; i < patch->object.n && !full; i++) {
        const struct json_member *m = &patch->object.v[i];
        if (m->value->type == JSON_NULL) {
            tree_edit_del(&ed, m->key);
            continue;
        }
        struct json *v = merge(a, tree_edit_get(&ed, m->key), m->value);
        if (v)
            tree_edit_set(&ed, m->key, v);
        full = !v;
    }
    struct json *object = tree_edit_done(&ed);
    return full ? NULL : object;
}

int patch_merge(struct arena *a, const struct json *doc, const struct json *patch,
                struct json **ret, struct err *e)
{
    /* Nothing is written through these pointers: the result shares values with both. */
    struct json *from = (struct json *)(uintptr_t)doc, *by = (struct json *)(uintptr_t)patch;
    struct json *merged = merge(a, from, by);
    if (!merged)
        return err_set(e, ERR_LIMIT, "the patched object is too large");
    *ret = merged;
    return 0;
}
