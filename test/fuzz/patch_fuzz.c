/* SPDX-License-Identifier: Apache-2.0 */
/* patch_fuzz.c: "j", "m" or "s" (the kind), a line with the document, then the patch. Inputs stay as
 * they were, results are good JSON, a merge patch has no effect when applied again. */
#include "api/corev1.h"
#include "api/patch.h"

#include "fuzz.h"

/* Small enough to meet the limits of the arena too. */
enum { RESULT_MAX = 1 << 22 };

static int apply(struct arena *a, enum patch_type type, const struct json *doc,
                 const struct json *patch, struct json **ret, struct err *e)
{
    if (type == PATCH_JSON)
        return patch_json(a, doc, patch, ret, e);
    if (type == PATCH_MERGE)
        return patch_merge(a, doc, patch, ret, e);
    return patch_strategic(a, &corev1_pod_desc, doc, patch, ret, e);
}

static void check_result(struct arena *a, const struct json *out)
{
    struct err e = ERR_INIT(a);
    struct json *again;
    must(json_parse(a, json_text(a, out), &again, &e) == 0);
    must(json_eq(out, again));
}

/* Without a type and without directives a strategic merge patch is a merge patch. */
static void check_agreement(struct arena *a, const struct json *doc, const struct json *patch,
                            const struct json *merged)
{
    struct err e = ERR_INIT(a);
    struct json *out;
    if (doc->type != JSON_OBJECT || str_index(json_text(a, patch), '$') >= 0)
        return;
    must(patch_strategic(a, NULL, doc, patch, &out, &e) == 0);
    CLEANUP(buf_fini) struct buf x = BUF_INIT(BUF_CAP_DEFAULT), y = BUF_INIT(BUF_CAP_DEFAULT);
    json_write(&x, merged);
    json_write(&y, out);
    /* Lists keep their nulls in one and not in the other. */
    if (str_find(buf_view(&y), STR("null")) < 0)
        must(str_eq(buf_view(&x), buf_view(&y)));
}

static void run(struct arena *a, enum patch_type type, const struct json *doc, struct str text)
{
    struct err e = ERR_INIT(a);
    struct decode_notes notes = {.arena = a};
    struct json *patch, *out, *again;
    if (patch_parse(type, text, a, &patch, &notes, &e) != 0)
        return;
    struct str doc_text = json_text(a, doc), patch_text = json_text(a, patch);
    struct arena results;
    arena_init(&results, RESULT_MAX);
    int rc = apply(&results, type, doc, patch, &out, &e);
    if (rc == 0) {
        check_result(a, out);
        if (type == PATCH_MERGE) {
            must(apply(a, type, out, patch, &again, &e) == 0 && json_eq(out, again));
            check_agreement(a, doc, patch, out);
        }
    }
    must(str_eq(doc_text, json_text(a, doc)) && str_eq(patch_text, json_text(a, patch)));
    arena_fini(&results);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str kind, doc_text, rest = str_n((const char *)data, size);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *doc;
    if (!str_next(&rest, '\n', &kind) || !str_next(&rest, '\n', &doc_text) || kind.n != 1)
        return 0;
    enum patch_type type = kind.p[0] == 'j' ? PATCH_JSON
                           : kind.p[0] == 'm' ? PATCH_MERGE
                                              : PATCH_STRATEGIC;
    bool good = json_parse(&a, doc_text, &doc, &e) == 0;
    if (good && (doc->type == JSON_OBJECT || type != PATCH_STRATEGIC))
        run(&a, type, doc, rest);
    arena_fini(&a);
    return 0;
}
