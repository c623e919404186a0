/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml.h: YAML in (libyaml), as the JSON value it stands for, the way sigs.k8s.io/yaml reads it
 * (YAML 1.1 scalars: yes/no/on/off are booleans only as go-yaml v2 resolves them, anchors and
 * merge keys are followed, duplicate keys are errors, keys become strings).
 *
 * Bounded: bytes, depth (JSON_DEPTH_MAX) and alias expansion (total nodes at most
 * YAML_NODES_MAX, so that "billion laughs" documents fail early).
 */
#ifndef BARQUE_CODEC_YAML_H
#define BARQUE_CODEC_YAML_H

#include "codec/json.h"

enum { YAML_NODES_MAX = 1000000 };

/* One document. Errors: ERR_BAD_REQUEST "yaml: line 3: ...". An empty document is JSON null. */
int yaml_parse(struct arena *a, struct str text, struct json **ret, struct err *e) MUST_USE;
/* All documents of a stream ("---"), empty ones left out; name stands in messages: file:line. */
int yaml_parse_all(struct arena *a, struct str name, struct str text, struct json ***ret_v,
                   size_t *ret_n, struct err *e) MUST_USE;
/* Block style, two blanks an indent, keys in the object's order; strings are quoted when YAML 1.1
 * would read them as something else. */
void yaml_write(struct buf *b, const struct json *v);

#endif
