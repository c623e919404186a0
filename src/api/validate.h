/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate.h: faults of API objects: where, of which kind, in which words.
 *
 * A check that fails adds one cause (base/err.h) with a field path, a reason and a message in the
 * form of k8s.io/apimachinery/pkg/util/validation/field; validation_finish() turns what was
 * collected into the Invalid error that clients know:
 *
 *   struct err e = ERR_INIT(arena);
 *   struct validation v = {.arena = arena, .err = &e};
 *   fault_invalid(&v, AT(AT(NULL, "spec"), "replicas"), bad_int(-1), "must be ...");
 *   return validation_finish(&v, STR("apps"), STR("Deployment"), STR("x"));
 *
 * Checks only ever add causes: they do not stop at the first one and return nothing, unless the
 * caller needs to know. All text lives on the arena; its total is bounded by VALIDATION_TEXT_MAX,
 * so that a hostile object cannot make its own refusal expensive.
 */
#ifndef BARQUE_API_VALIDATE_H
#define BARQUE_API_VALIDATE_H

#include "api/desc.h"
#include "api/hooks.h"
#include "api/metav1.h"
#include "base/map.h"

enum {
    VALIDATION_TEXT_MAX = 1 << 20, /* bytes of all causes; later ones are dropped */
    FAULT_TEXT_MAX = 32 << 10,     /* bytes of one cause; the bad value is cut */
};

struct validation {
    struct arena *arena;
    struct err *err;        /* causes go here; may be the caller's, with causes in it */
    bool is_update;         /* an old object exists */
    bool is_custom;         /* a custom resource: finalizers may be any label key */
    struct str subresource; /* "" for the object itself; "status", "resize", ... */
    uint32_t faults;        /* found so far; more than the causes when those are too many */
    size_t text_used;       /* private */
};

/* ---- field paths ----
 *
 * A path is a chain of links on the C stack, printed only when there is a fault. The links made
 * by these macros live as long as the enclosing block (the statement after `if` without braces is
 * a block too: never assign a path there):
 *
 *   const struct field_path *spec = AT(path, "spec");
 *   LIST_EACH(c, &pod->containers) check_container(v, AT_INDEX(AT(spec, "containers"), i), c);
 */
struct field_path {
    const struct field_path *parent;
    const char *name; /* NULL: an index, or a key when key.p is set */
    struct str key;
    size_t index;
};

#define AT(parent_, name_)    (&(const struct field_path){.parent = (parent_), .name = (name_)})
#define AT_INDEX(parent_, i_) (&(const struct field_path){.parent = (parent_), .index = (i_)})
#define AT_KEY(parent_, key_) (&(const struct field_path){.parent = (parent_), .key = (key_)})

/* "spec.containers[0].env[1].name", "metadata.labels[foo]"; the root path (NULL) is "<nil>". */
struct str field_path_text(struct arena *a, const struct field_path *p);

/* ---- bad values, as they are printed in messages ---- */

struct bad_value {
    enum {
        BAD_STRING,
        BAD_INT,
        BAD_BOOL,
        BAD_DOUBLE,
        BAD_OBJECT,
        BAD_LIST,
        BAD_TEXT,
        BAD_NONE
    } kind;
    struct str s; /* BAD_STRING: quoted as Go's %q; BAD_TEXT: as it is */
    int64_t i;
    double d;
    const struct desc *desc; /* BAD_OBJECT: printed as JSON; obj NULL: null */
    const void *obj;
};

static inline struct bad_value bad_str(struct str s)
{
    return (struct bad_value){.kind = BAD_STRING, .s = s};
}
static inline struct bad_value bad_int(int64_t i)
{
    return (struct bad_value){.kind = BAD_INT, .i = i};
}
static inline struct bad_value bad_bool(bool b)
{
    return (struct bad_value){.kind = BAD_BOOL, .i = b};
}
static inline struct bad_value bad_double(double d)
{
    return (struct bad_value){.kind = BAD_DOUBLE, .d = d};
}
static inline struct bad_value bad_obj(const struct desc *d, const void *obj)
{
    return (struct bad_value){.kind = BAD_OBJECT, .desc = d, .obj = obj};
}
/* A JSON array of strings. */
static inline struct bad_value bad_list(const struct str_list *l)
{
    return (struct bad_value){.kind = BAD_LIST, .obj = l};
}
/* Printed verbatim: JSON that the caller made, numbers. */
static inline struct bad_value bad_text(struct str s)
{
    return (struct bad_value){.kind = BAD_TEXT, .s = s};
}
static inline struct bad_value bad_null(void)
{
    return bad_text(STR("null"));
}
/* "Invalid value: detail", without a value. */
static inline struct bad_value bad_none(void)
{
    return (struct bad_value){.kind = BAD_NONE};
}
static inline struct bad_value bad_quantity(const struct quantity *q)
{
    return bad_str(q->text.p ? q->text : STR("0"));
}
struct bad_value bad_intstr(const struct intstr *i);
/* A JSON object of strings; the text is made at once. */
struct bad_value bad_map(struct arena *a, const struct str_map *m);
/* A time as JSON prints it; {0, 0} is null. */
struct bad_value bad_time(struct arena *a, struct wall t);

/* Quoted and escaped as Go's %q. */
struct str go_quote(struct arena *a, struct str s);

/* ---- faults ---- */

void fault_required(struct validation *v, const struct field_path *p, const char *fmt, ...)
    PRINTF(3, 4);
void fault_invalid(struct validation *v, const struct field_path *p, struct bad_value bad,
                   const char *fmt, ...) PRINTF(4, 5);
void fault_type_invalid(struct validation *v, const struct field_path *p, struct bad_value bad,
                        const char *fmt, ...) PRINTF(4, 5);
void fault_forbidden(struct validation *v, const struct field_path *p, const char *fmt, ...)
    PRINTF(3, 4);
void fault_duplicate(struct validation *v, const struct field_path *p, struct bad_value bad);
void fault_duplicate_because(struct validation *v, const struct field_path *p, struct bad_value bad,
                             const char *fmt, ...) PRINTF(4, 5);
void fault_not_found(struct validation *v, const struct field_path *p, struct bad_value bad);
void fault_not_found_because(struct validation *v, const struct field_path *p, struct bad_value bad,
                             const char *fmt, ...) PRINTF(4, 5);
/* values: ends with NULL; printed in this order. */
void fault_not_supported(struct validation *v, const struct field_path *p, struct bad_value bad,
                         const char *const *values);
/* max < 0: no bound is named. */
void fault_too_long(struct validation *v, const struct field_path *p, int max_bytes);
void fault_too_long_chars(struct validation *v, const struct field_path *p, int max_chars);
void fault_too_many(struct validation *v, const struct field_path *p, int64_t n, int64_t max);
void fault_too_few(struct validation *v, const struct field_path *p, int64_t n, int64_t min);
void fault_internal(struct validation *v, const struct field_path *p, const char *fmt, ...)
    PRINTF(3, 4);

/* Was the key in the set? It is afterwards. The set borrows the key. */
bool seen_before(struct map *set, struct str key);

/* The causes on one line: "path: message", or "[a, b]" for several; equal ones once. */
struct str validation_text(struct validation *v);
/* 0 when there is no cause. Otherwise sets code (ERR_INVALID), message and details as
 * apimachinery's NewInvalid:
 *   Deployment.apps "x" is invalid: spec.replicas: Invalid value: -1: must be greater ...
 * and returns -ERR_INVALID. */
int validation_finish(struct validation *v, struct str group, struct str kind,
                      struct str name) MUST_USE;

/* ---- formats of strings ---- */

enum format {
    FORMAT_DNS_LABEL,                /* RFC 1123 label: pod container names, namespaces */
    FORMAT_DNS_SUBDOMAIN,            /* RFC 1123 subdomain: most names */
    FORMAT_DNS1035_LABEL,            /* services */
    FORMAT_DNS_SUBDOMAIN_UNDERSCORE, /* DNS search domains, with '_' */
    FORMAT_WILDCARD_SUBDOMAIN,       /* "*.example.com" */
    FORMAT_LABEL_KEY,                /* "example.com/name", "qualified name" */
    FORMAT_PREFIXED_LABEL_KEY,       /* the same with a mandatory prefix */
    FORMAT_LABEL_VALUE,
    FORMAT_C_IDENTIFIER,
    FORMAT_PORT_NAME, /* RFC 6335 service name */
    FORMAT_PERCENT,
    FORMAT_HTTP_HEADER,
    FORMAT_ENV_NAME, /* printable ASCII but '=' */
    FORMAT_CONFIG_KEY,
    FORMAT_PATH_SEGMENT,        /* a name that is safe in an URL path */
    FORMAT_PATH_SEGMENT_PREFIX, /* the same for generateName */
    FORMAT_CONDITION_REASON,
};
enum { FORMAT_FAULTS_MAX = 4 };

/* What is wrong with s: at most FORMAT_FAULTS_MAX static texts; 0: it is well-formed. */
size_t format_faults(enum format f, struct str s, const char *ret[FORMAT_FAULTS_MAX]);
bool format_ok(enum format f, struct str s);
/* The first fault or NULL, for kind_hooks.valid_name: is_prefix allows a '-' at the end. */
const char *format_name_fault(enum format f, struct str name, bool is_prefix);
/* Rules of names that several kinds share, for kind_hooks.valid_name. */
const char *name_is_label(struct str name, bool is_prefix);
const char *name_is_path_segment(struct str name, bool is_prefix);

/* One Invalid cause for each fault of the format. False when there was one. */
bool check_format(struct validation *v, const struct field_path *p, struct str s, enum format f);
/* The same as one cause: the faults joined. */
bool check_format_joined(struct validation *v, const struct field_path *p, struct str s,
                         enum format f, const char *separator);
/* Required when empty, NotSupported when none of values (which end with NULL and are printed in
 * their order). */
bool check_enum(struct validation *v, const struct field_path *p, struct str s,
                const char *const *values);
/* NotSupported only: the empty string too is not one of values. */
bool check_one_of(struct validation *v, const struct field_path *p, struct str s,
                  const char *const *values);
/* At least two labels; a '.' may follow. Required when empty. */
bool check_full_domain_name(struct validation *v, const struct field_path *p, struct str s);
/* "example.com/some/path"; Required when empty. */
bool check_domain_prefixed_path(struct validation *v, const struct field_path *p, struct str s);
/* NotSupported at <p>.<name> unless s is one of the values that the schema lists for this field of
 * d (printed sorted). Absent (NULL) is good, empty is not. */
bool check_schema_enum(struct validation *v, const struct field_path *p, const struct desc *d,
                       const char *name, struct str s);
/* The same where the field must not be empty: Required. */
bool check_schema_enum_required(struct validation *v, const struct field_path *p,
                                const struct desc *d, const char *name, struct str s);
/* Required at each field below p that the schema calls required and that is an empty string or an
 * empty list. */
bool check_required_fields(struct validation *v, const struct field_path *p, const struct desc *d,
                           const void *obj);
/* Required when empty, otherwise the format. */
bool check_required_format(struct validation *v, const struct field_path *p, struct str s,
                           enum format f);
bool check_nonnegative(struct validation *v, const struct field_path *p, int64_t value);
bool check_nonnegative_ptr32(struct validation *v, const struct field_path *p, const int32_t *i);
bool check_nonnegative_ptr64(struct validation *v, const struct field_path *p, const int64_t *i);
bool check_positive(struct validation *v, const struct field_path *p, int64_t value);
/* low and high belong to the range. */
bool check_range(struct validation *v, const struct field_path *p, int64_t value, int64_t low,
                 int64_t high);
static inline bool check_port(struct validation *v, const struct field_path *p, int64_t port)
{
    return check_range(v, p, port, 1, 65535);
}
/* A port number (1..65535) or a port name. */
bool check_port_or_name(struct validation *v, const struct field_path *p, const struct intstr *i);
bool check_nonnegative_quantity(struct validation *v, const struct field_path *p,
                                const struct quantity *q);
/* A number that is not negative, or "n%". */
bool check_int_or_percent(struct validation *v, const struct field_path *p, const struct intstr *i);
/* "n%" above 100 is a fault. */
bool check_at_most_100_percent(struct validation *v, const struct field_path *p,
                               const struct intstr *i);
/* n when i is "n%". */
bool intstr_percent(const struct intstr *i, int32_t *ret);
/* The number in i; of a percentage its n. */
int32_t intstr_int_or_percent(const struct intstr *i);

/* Invalid "field is immutable" when they differ. */
bool check_immutable_str(struct validation *v, const struct field_path *p, struct str now,
                         struct str old);
bool check_immutable(struct validation *v, const struct field_path *p, const struct desc *d,
                     const void *now, const void *old);

/* ---- addresses ---- */

struct ip_addr {
    uint8_t bytes[16]; /* IPv4: the first four */
    bool is_v6;
};
struct ip_prefix {
    struct ip_addr addr;
    uint8_t bits;
};
/* Accepts what net.ParseIP accepted before Go 1.17: leading zeros in IPv4 too. ::ffff:1.2.3.4
 * is IPv4. */
bool ip_parse(struct str s, struct ip_addr *ret);
bool ip_prefix_parse(struct str s, struct ip_prefix *ret); /* host bits may be set */
bool ip_in_prefix(const struct ip_addr *ip, const struct ip_prefix *prefix);
struct str ip_text(struct arena *a, const struct ip_addr *ip); /* RFC 5952 */
bool ip_is_unspecified(const struct ip_addr *ip);
bool ip_is_loopback(const struct ip_addr *ip);
bool ip_is_link_local_unicast(const struct ip_addr *ip);
bool ip_is_link_local_multicast(const struct ip_addr *ip);

/* A field that always took any IP spelling (podIP, clusterIP, externalIPs, ...). */
bool check_ip(struct validation *v, const struct field_path *p, struct str s);
/* A newer field: canonical form only. */
bool check_ip_strict(struct validation *v, const struct field_path *p, struct str s);
bool check_cidr(struct validation *v, const struct field_path *p, struct str s);
bool check_cidr_strict(struct validation *v, const struct field_path *p, struct str s);
/* An address that others can send to: not loopback, link-local or unspecified. */
void check_ordinary_ip(struct validation *v, const struct field_path *p, struct str s);
/* Two prefixes, one of IPv4 and one of IPv6? */
bool is_dual_stack(const struct str_list *cidrs);

/* ---- shared parts of objects ---- */

typedef const char *valid_name_fn(struct str name, bool is_prefix);

/* Metadata at create, after generateName was applied. valid_name NULL: DNS subdomain. */
void check_object_meta(struct validation *v, const struct field_path *p,
                       const struct metav1_object_meta *m, bool namespaced,
                       valid_name_fn *valid_name);
/* Metadata at update: what may not change, and the rest as at create. */
void check_object_meta_update(struct validation *v, const struct field_path *p,
                              const struct metav1_object_meta *m,
                              const struct metav1_object_meta *old);
void check_labels(struct validation *v, const struct field_path *p, const struct str_map *m);
void check_annotations(struct validation *v, const struct field_path *p, const struct str_map *m);
void check_field_manager(struct validation *v, const struct field_path *p, struct str manager);
/* allow_bad_values: an old object holds label values that are not well-formed. s may be NULL. */
void check_label_selector(struct validation *v, const struct field_path *p,
                          const struct metav1_label_selector *s, bool allow_bad_values);
bool label_selector_has_bad_value(const struct metav1_label_selector *s);
void check_conditions(struct validation *v, const struct field_path *p,
                      const struct metav1_condition *c, size_t n);

#endif
