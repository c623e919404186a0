/* SPDX-License-Identifier: Apache-2.0 */
/*
 * patch.h: the three patch languages of the Kubernetes API, on value trees.
 *
 *   JSON Patch             RFC 6902, with JSON Pointer (RFC 6901)
 *   JSON Merge Patch       RFC 7386
 *   strategic merge patch  lists merge by key as the descriptors say; the same results as
 *                          k8s.io/apimachinery/pkg/util/strategicpatch
 *
 * Server-side apply, the fourth kind of PATCH request, is api/apply.h.
 *
 * No function here changes its inputs. Results share values with them: from then on all trees are
 * read-only. All memory is on the given arena; when it does not hold the result, and when a patch
 * asks for more than JSON_PATCH_WORK_MAX, the error is ERR_LIMIT. No result is nested deeper than
 * JSON_DEPTH_MAX.
 *
 * Codes and messages are those of kube-apiserver. A patch that does not apply is ERR_INVALID with
 * the message PATCH_REJECTED, which is all that kube-apiserver tells; the reason stands in one
 * cause (field "patch"), in the words of the Go library that kube-apiserver uses. Where
 * kube-apiserver answers 500 to a strategic merge patch that makes no sense, we answer 400 with the
 * same message.
 */
#ifndef BARQUE_API_PATCH_H
#define BARQUE_API_PATCH_H

#include "api/desc.h"
#include "codec/json.h"

enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC };

enum {
    JSON_PATCH_OPS_MAX = 10000,     /* operations in one patch, as kube-apiserver */
    JSON_PATCH_COPY_MAX = 3 << 20,  /* bytes that `copy` operations may add, as there */
    JSON_PATCH_WORK_MAX = 50 << 20, /* values looked at and moved by one patch */
};

#define PATCH_REJECTED "the server rejected our request due to an error in our request"

/* Reads a patch document and checks its outer form: an array of operations whose `op`, `path` and
 * `from` are strings, or an object. With notes, repeated fields (and unknown fields of operations)
 * are noted as "[0].foo", "metadata.labels.a"; fieldValidation prefixes those of a JSON Patch with
 * "json patch ". Errors: ERR_BAD_REQUEST. */
int patch_parse(enum patch_type type, struct str text, struct arena *a, struct json **ret,
                struct decode_notes *notes, struct err *e) MUST_USE;

/* patch must have passed patch_parse. Departures from RFC 6902 that kube-apiserver's clients know:
 * an array index may be negative (from the end) and have leading zeros; `replace` of an absent
 * member adds it; `copy` of an absent member gives null; `test` of an absent member passes for
 * null. Errors: ERR_INVALID (also a failed `test`); ERR_TOO_LARGE for too many operations. */
int patch_json(struct arena *a, const struct json *doc, const struct json *patch, struct json **ret,
               struct err *e) MUST_USE;

/* What is set anew by the patch loses its null members, inside arrays too. */
int patch_merge(struct arena *a, const struct json *doc, const struct json *patch,
                struct json **ret, struct err *e) MUST_USE;

/* d describes the objects of doc and patch. What it does not describe (unknown fields, raw JSON)
 * merges as in patch_merge. Errors: ERR_BAD_REQUEST, ERR_INVALID. */
int patch_strategic(struct arena *a, const struct desc *d, const struct json *doc,
                    const struct json *patch, struct json **ret, struct err *e) MUST_USE;

/* The value a JSON Pointer names ("" is doc itself, "/a/0" ...), or NULL. */
struct json *json_pointer(const struct json *doc, struct str pointer);

#endif
