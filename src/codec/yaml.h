/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml.h: YAML in (libyaml), as the JSON value it stands for, the way sigs.k8s.io/yaml reads it.
 *
 * Plain scalars resolve as in go-yaml v2 (YAML 1.1): null ~; y yes true on, n no false off; ints in
 * decimal, 0x, 0o, 0b and with a leading 0 octal, with underscores; floats. Timestamps stay
 * strings. Integers of any size keep all their digits. .inf and .nan, which JSON lacks, are
 * errors. Keys become strings; null, sequences and mappings as keys are errors. Tags of the core
 * types are followed, others ignored.
 *
 * Anchors, aliases and merge keys (<<) are followed. A mapping's own keys win over merged ones
 * wherever they stand, and earlier sources over later ones, as https://yaml.org/type/merge.html
 * says. A repeated key is an error; all of a document are named:
 *   yaml: unmarshal errors:
 *     line 3: key "a" already set in map
 *
 * Bounded, so that "billion laughs" and other documents that are small to send and costly to read
 * fail early: see the limits below; depth is JSON_DEPTH_MAX.
 *
 * Results live on the arena and share nothing with the text. Errors are ERR_BAD_REQUEST, also
 * when a bound is passed or the arena is full.
 */
#ifndef BARQUE_CODEC_YAML_H
#define BARQUE_CODEC_YAML_H

#include "codec/json.h"

enum {
    YAML_BYTES_MAX = 16 << 20,
    YAML_NODES_MAX = 1000000,         /* aliases expanded */
    YAML_LEVELS_MAX = 64 << 20,       /* sum of all nodes' depths: libyaml's time grows with it */
    YAML_COPIED_BYTES_MAX = 16 << 20, /* of text in expanded aliases */
    YAML_ANCHORS_MAX = 10000,
    YAML_TAG_DIRECTIVES_MAX = 1000,
};

/* One document; what follows it is not looked at. Error: "yaml: line 3: ...". An empty document
 * is JSON null. */
int yaml_parse(struct arena *a, struct str text, struct json **ret, struct err *e) MUST_USE;
/* The same, but the last value of a repeated key wins, as for requests without strict field
 * validation. *ret_repeated is what yaml_parse would have said, on e's arena, or STR_NULL. */
int yaml_parse_lenient(struct arena *a, struct str text, struct json **ret,
                       struct str *ret_repeated, struct err *e) MUST_USE;
/* All documents of a stream ("---"), empty ones left out; name stands in messages:
 * "pod.yaml:3: ...". */
int yaml_parse_all(struct arena *a, struct str name, struct str text, struct json ***ret_v,
                   size_t *ret_n, struct err *e) MUST_USE;
/* Block style, two blanks an indent, lists not indented under their key, keys in the object's
 * order, as kubectl -o yaml prints; strings are quoted when YAML 1.1 would read them as something
 * else, texts of several lines are literal blocks. Failure shows in b->failed. */
void yaml_write(struct buf *b, const struct json *v);

#endif
