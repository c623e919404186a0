/* SPDX-License-Identifier: Apache-2.0 */
/*
 * desc.h: descriptors of API types, and the generic code that walks them.
 *
 * schema/<group>_<version>.api is compiled at build time (tools/schemagen.py) into C structs
 * (`struct corev1_pod`, "api/corev1.h") and into constant tables of the kind below
 * (`corev1_pod_desc`). One engine decodes, encodes, defaults, compares and copies every type;
 * there are no functions per type. etcd, CRI and CSI messages use the same engine.
 *
 * How a schema type looks in C:
 *
 *   string, enum, bytes     struct str           absent and empty are the same
 *   *string                 struct str           absent: p == NULL; present may be empty
 *   bool int32 int64 double the C type           absent is zero
 *   *T                      T *                  absent: NULL
 *   T (message)             struct               embedded
 *   []T                     LIST(T)              absent: v == NULL; empty and present: n == 0
 *   map:T                   struct x_map         sorted by key, unique keys
 *   time, microtime         struct wall          absent is {0, 0}
 *   quantity                struct quantity      text in canonical form, p == NULL absent
 *   intorstring             struct intstr
 *   duration                int64_t              nanoseconds
 *   raw, json, fields       struct str           JSON text, p == NULL absent
 *   strings                 struct str_list      a list that is a message of its own on the wire
 *
 * Decoded objects live on one arena; their strings are views into the decoded text where it needs
 * no unescaping, so the text must live as long as the object (a request's body does, a stored
 * item's bytes do). Objects are immutable by convention once they are shared; whoever needs a
 * change copies with desc_copy, which copies strings too.
 */
#ifndef BARQUE_API_DESC_H
#define BARQUE_API_DESC_H

#include "api/types.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/pb.h"

enum field_kind {
    FK_STRING,
    FK_BOOL,
    FK_INT32,
    FK_INT64,
    FK_UINT32,
    FK_UINT64,
    FK_DOUBLE,
    FK_BYTES,
    FK_TIME,
    FK_MICROTIME,
    FK_DURATION,
    FK_QUANTITY,
    FK_INTSTR,
    FK_RAW,
    FK_STRINGS,
    FK_MESSAGE,
};

enum field_shape { SHAPE_ONE, SHAPE_PTR, SHAPE_LIST, SHAPE_MAP };

enum field_flag {
    FIELD_ALWAYS = 1 << 0,   /* JSON: written even when empty (Go: no omitempty) */
    FIELD_REQUIRED = 1 << 1, /* listed as required in OpenAPI */
    FIELD_OMITZERO = 1 << 2, /* a non-pointer struct that is left out when zero */
    FIELD_FLAT = 1 << 3,     /* comes from an inlined type; JSON only */
    FIELD_INLINE = 1 << 4,   /* the inlined type itself; protobuf and C only */
    FIELD_DEFAULTS = 1 << 5, /* has a default, or holds a type that has */
    FIELD_ONEOF = 1 << 6,    /* member of a protobuf oneof */
};

enum list_type { LIST_UNSPECIFIED, LIST_ATOMIC, LIST_SET, LIST_MAP };

/* What only some fields have. Strings are "" or NULL when absent; vectors end with NULL. */
struct field_ext {
    const char *default_text;       /* JSON scalar text without quotes for strings */
    const char *const *enum_values; /* allowed values, when enum_closed these only */
    const char *const *map_keys;    /* of a LIST_MAP */
    const char *patch_merge_key;    /* strategic merge patch */
    bool patch_merge, patch_retain_keys, patch_replace;
    bool enum_closed;
    bool map_atomic, struct_atomic; /* for server-side apply */
    uint8_t list_type;
};

struct desc;

struct field {
    const char *name;            /* JSON name */
    const struct desc *message;  /* FK_MESSAGE */
    const struct field_ext *ext; /* NULL: none */
    const char *doc;             /* one or more sentences; "" */
    uint16_t offset;             /* in the C struct */
    uint16_t number;             /* protobuf; 0: JSON only */
    uint8_t kind, shape;
    uint16_t flags;
};

enum desc_encoding {
    ENC_PLAIN,
    ENC_SCHEMA_OR_BOOL,    /* JSONSchemaPropsOrBool: a boolean or an object */
    ENC_SCHEMA_OR_ARRAY,   /* an object or an array of objects */
    ENC_SCHEMA_OR_STRINGS, /* an object or an array of strings */
};

struct desc {
    const char *name;    /* "PodSpec" */
    const char *package; /* "corev1" */
    const char *doc;
    const struct field
        *fields;              /* JSON order, inlined types flattened; then n_inline FIELD_INLINE */
    const uint8_t *by_name;   /* indices of the first n_json fields, by JSON name */
    const uint8_t *by_number; /* indices of fields with a protobuf number that are not FIELD_FLAT */
    uint16_t n_json, n_inline, n_number;
    uint16_t size;         /* of the C struct */
    uint16_t map_value_at; /* offset of `value` in the map entry struct of this type */
    uint16_t map_entry_size;
    uint8_t encoding; /* enum desc_encoding */
    bool proto3;      /* zero scalars are not written, numeric lists are packed */
    bool atomic;      /* for server-side apply */
    bool defaults;    /* some field below has FIELD_DEFAULTS */
};

/* One rpc of a gRPC service; the path is "/<service>/<method>". */
struct rpc_def {
    const char *service, *method;
    const struct desc *request, *response;
    bool server_stream;
};

/* The field with this JSON name, or NULL. */
const struct field *desc_field(const struct desc *d, struct str json_name);
/* Bytes of one element of the field (of the value, for maps). */
size_t field_elem_size(const struct field *f);

/* ---- JSON ---- */

/* What decoding noticed without failing: unknown and repeated fields, for fieldValidation. */
struct decode_notes {
    VEC(struct str) unknown; /* "spec.containers[0].foo" */
    VEC(struct str) duplicate;
    struct arena *arena;
};
enum { DECODE_NOTES_MAX = 100 };

/* Decodes text into *obj (zeroed, d->size bytes). Unknown fields are skipped, and noted when notes
 * is given. Errors: ERR_BAD_REQUEST, in the words of Go's decoder ("json: cannot unmarshal string
 * into Go struct field PodSpec.spec.hostNetwork of type bool"). */
int desc_decode_json(const struct desc *d, struct str text, struct arena *a, void *obj,
                     struct decode_notes *notes, struct err *e) MUST_USE;
/* The same for a value inside a longer text; path stands in messages and notes. */
int desc_decode_json_in(const struct desc *d, struct json_in *in, struct str path, void *obj,
                        struct decode_notes *notes, struct err *e) MUST_USE;
void desc_encode_json(const struct desc *d, const void *obj, struct buf *b);

/* ---- protobuf (raw messages; the Kubernetes envelope is api/codec_k8s.h) ---- */

int desc_decode_pb(const struct desc *d, struct str bytes, struct arena *a, void *obj,
                   struct err *e) MUST_USE;
/* Writes the message in front of what o holds. */
void desc_encode_pb(const struct desc *d, const void *obj, struct pb_out *o);

/* ---- values ---- */

/* Sets the schema's static defaults on absent fields, in all that is present below obj. */
void desc_default(const struct desc *d, void *obj, struct arena *a);
/* Semantic equality: absent and empty lists, maps and strings are equal; quantities by value. */
bool desc_equal(const struct desc *d, const void *a, const void *b);
/* The same for one field of two structs. */
bool field_equal(const struct field *f, const void *obj_a, const void *obj_b);
/* Deep copy onto the arena. */
void *desc_copy(const struct desc *d, struct arena *a, const void *obj);
void desc_copy_into(const struct desc *d, struct arena *a, void *to, const void *from);

#endif
