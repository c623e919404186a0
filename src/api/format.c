/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats of strings. The texts are those of k8s.io/apimachinery (util/validation and
 * api/validate/content), because clients show them and match on them.
 */
#include "api/field.h"
#include "api/validate.h"

#define LABEL_RE      "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define LABEL_US_RE   "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
#define LABEL_1035_RE "[a-z]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_RE  LABEL_RE "(\\." LABEL_RE ")*"
#define KEY_RE        "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

#define RE(regex)              " (regex used for validation is '" regex "')"
#define RE_EG(examples, regex) " (e.g. " examples ", regex used for validation is '" regex "')"

#define LABEL_TEXT                                                                                 \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end with an alphanumeric character" RE_EG("'my-name',  or '123-abc'",          \
                                                              LABEL_RE)
#define SUBDOMAIN_TEXT                                                                             \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character" RE_EG("'example.com'",            \
                                                                       SUBDOMAIN_RE)
#define KEY_TEXT                                                                                   \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "    \
    "alphanumeric character" RE_EG("'MyName',  or 'my.name',  or '123-abc'", KEY_RE)

enum { LABEL_MAX = 63, SUBDOMAIN_MAX = 253, PORT_NAME_MAX = 15 };

/* ---- character classes and patterns ---- */

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_alpha(c) || is_digit(c);
}

static bool one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

/* Letters and digits at both ends, `inner` too between. */
static bool is_word(struct str s, bool (*outer)(char), const char *inner)
{
    if (!s.n || !outer(s.p[0]) || !outer(s.p[s.n - 1]))
        return false;
    for (size_t i = 1; i + 1 < s.n; i++)
        if (!outer(s.p[i]) && !one_of(s.p[i], inner))
            return false;
    return true;
}

static bool is_dns_label(struct str s)
{
    return is_word(s, is_lower_alnum, "-");
}

static bool is_dns1035_label(struct str s)
{
    return is_dns_label(s) && !is_digit(s.p[0]);
}

static bool is_label_with_underscore(struct str s)
{
    (void)str_skip(&s, STR("_"));
    return is_word(s, is_lower_alnum, "-_");
}

static bool each_part(struct str s, bool (*ok)(struct str))
{
    struct str part;
    while (str_next(&s, '.', &part))
        if (!ok(part))
            return false;
    return true;
}

static bool is_subdomain(struct str s)
{
    return s.n && each_part(s, is_dns_label);
}

static bool is_subdomain_with_underscore(struct str s)
{
    return s.n && each_part(s, is_label_with_underscore);
}

static bool is_wildcard(struct str s)
{
    return str_skip(&s, STR("*.")) && is_subdomain(s);
}

static bool is_key_name(struct str s)
{
    return is_word(s, is_alnum, "-_.");
}

static bool is_label_value(struct str s)
{
    return !s.n || is_key_name(s);
}

/* Not empty, the first of `first`, the others of `rest`. */
static bool is_run(struct str s, bool (*base)(char), const char *more)
{
    for (size_t i = 0; i < s.n; i++)
        if (!base(s.p[i]) && !one_of(s.p[i], more))
            return false;
    return s.n > 0;
}

static bool is_c_identifier(struct str s)
{
    return is_run(s, is_alnum, "_") && !is_digit(s.p[0]);
}

static bool is_percent(struct str s)
{
    return str_chop(&s, STR("%")) && is_run(s, is_digit, "");
}

static bool is_http_header(struct str s)
{
    return is_run(s, is_alnum, "-");
}

static bool is_config_key(struct str s)
{
    return is_run(s, is_alnum, "-._");
}

static bool is_condition_reason(struct str s)
{
    return is_run(s, is_alnum, "_,:") && is_alpha(s.p[0]) && !one_of(s.p[s.n - 1], ",:");
}

/* ---- the table ---- */

/* Formats that are a pattern and a length. */
static const struct {
    bool (*ok)(struct str);
    size_t max; /* 0: any */
    const char *too_long, *text;
} patterns[] = {
    [FORMAT_DNS_LABEL] = {is_dns_label, LABEL_MAX, "must be no more than 63 characters",
                          LABEL_TEXT},
    [FORMAT_DNS_SUBDOMAIN] = {is_subdomain, SUBDOMAIN_MAX, "must be no more than 253 characters",
                              SUBDOMAIN_TEXT},
    [FORMAT_DNS1035_LABEL] = {is_dns1035_label, LABEL_MAX, "must be no more than 63 characters",
                              "a DNS-1035 label must consist of lower case alphanumeric "
                              "characters or '-', start with an alphabetic character, and end "
                              "with an alphanumeric character" RE_EG("'my-name',  or 'abc-123'",
                                                                     LABEL_1035_RE)},
    [FORMAT_DNS_SUBDOMAIN_UNDERSCORE] =
        {is_subdomain_with_underscore, SUBDOMAIN_MAX, "must be no more than 253 characters",
         "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', "
         "'-' or '.', and must start and end with an alphanumeric character" RE_EG(
             "'example.com'", LABEL_US_RE "(\\." LABEL_US_RE ")*")},
    [FORMAT_WILDCARD_SUBDOMAIN] = {is_wildcard, SUBDOMAIN_MAX,
                                   "must be no more than 253 characters",
                                   "a wildcard DNS-1123 subdomain must start with '*.', followed "
                                   "by a valid DNS subdomain, which must consist of lower case "
                                   "alphanumeric characters, '-' or '.' and end with an "
                                   "alphanumeric character" RE_EG("'*.example.com'",
                                                                  "\\*\\." SUBDOMAIN_RE)},
    [FORMAT_LABEL_VALUE] = {is_label_value, LABEL_MAX, "must be no more than 63 bytes",
                            "a valid label must be an empty string or consist of alphanumeric "
                            "characters, '-', '_' or '.', and must start and end with an "
                            "alphanumeric character" RE_EG("'MyValue',  or 'my_value',  or '12345'",
                                                           "(" KEY_RE ")?")},
    [FORMAT_C_IDENTIFIER] = {is_c_identifier, 0, NULL,
                             "a valid C identifier must start with alphabetic character or '_', "
                             "followed by a string of alphanumeric characters or '_'" RE_EG(
                                 "'my_name',  or 'MY_NAME',  or 'MyName'",
                                 "[A-Za-z_][A-Za-z0-9_]*")},
    [FORMAT_PERCENT] = {is_percent, 0, NULL,
                        "a valid percent string must be a numeric string followed by an ending "
                        "'%'" RE_EG("'1%',  or '93%'", "[0-9]+%")},
    [FORMAT_HTTP_HEADER] = {is_http_header, 0, NULL,
                            "a valid HTTP header must consist of alphanumeric characters or "
                            "'-'" RE_EG("'X-Header-Name'", "[-A-Za-z0-9]+")},
    [FORMAT_CONFIG_KEY] = {is_config_key, SUBDOMAIN_MAX, "must be no more than 253 characters",
                           "a valid config key must consist of alphanumeric characters, '-', '_' "
                           "or '.'" RE_EG("'key.name',  or 'KEY_NAME',  or 'key-name'",
                                          "[-._a-zA-Z0-9]+")},
    [FORMAT_CONDITION_REASON] =
        {is_condition_reason, 0, NULL,
         "a condition reason must start with alphabetic character, optionally followed by a "
         "string of alphanumeric characters or '_,:', and must end with an alphanumeric character "
         "or '_'" RE_EG("'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or "
                        "'ReasonA:ReasonB'",
                        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")},
};

static size_t pattern_faults(enum format f, struct str s, const char **ret)
{
    size_t n = 0;
    if (patterns[f].max && s.n > patterns[f].max)
        ret[n++] = patterns[f].too_long;
    if (!patterns[f].ok(s))
        ret[n++] =
            f == FORMAT_DNS_LABEL && is_subdomain(s) ? "must not contain dots" : patterns[f].text;
    return n;
}

/* ---- formats with parts of their own ---- */

static size_t label_key_faults(struct str s, const char **ret)
{
    struct str prefix, name;
    size_t n = 0;
    if (str_cut(s, '/', &prefix, &name)) {
        if (str_index(name, '/') >= 0) {
            ret[0] = "a valid label key " KEY_TEXT
                     " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return 1;
        }
        if (!prefix.n)
            ret[n++] = "prefix part must be non-empty";
        if (prefix.n > SUBDOMAIN_MAX)
            ret[n++] = "prefix part must be no more than 253 bytes";
        if (prefix.n && !is_subdomain(prefix))
            ret[n++] = "prefix part " SUBDOMAIN_TEXT;
    } else {
        name = s;
    }
    if (!name.n)
        ret[n++] = "name part must be non-empty";
    else if (name.n > LABEL_MAX)
        ret[n++] = "name part must be no more than 63 bytes";
    if (!is_key_name(name))
        ret[n++] = "name part " KEY_TEXT;
    return n;
}

static size_t port_name_faults(struct str s, const char *ret[FORMAT_FAULTS_MAX])
{
    bool letter = false;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        letter |= s.p[i] >= 'a' && s.p[i] <= 'z';
    if (s.n > PORT_NAME_MAX)
        ret[n++] = "must be no more than 15 characters";
    if (!is_run(s, is_lower_alnum, "-"))
        ret[n++] = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
    if (!letter)
        ret[n++] = "must contain at least one letter (a-z)";
    if (str_find(s, STR("--")) >= 0)
        ret[n++] = "must not contain consecutive hyphens";
    if (n < FORMAT_FAULTS_MAX && s.n && (s.p[0] == '-' || s.p[s.n - 1] == '-'))
        ret[n++] = "must not begin or end with a hyphen";
    return n;
}

static size_t env_name_faults(struct str s, const char **ret)
{
    if (!s.n) {
        ret[0] = "environment variable name must be non-empty";
        return 1;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= ' ' && s.p[i] < 0x7f && s.p[i] != '=')
            continue;
        ret[0] = "a valid environment variable name must consist only of printable ASCII "
                 "characters other than '='";
        return 1;
    }
    return 0;
}

static size_t config_key_faults(struct str s, const char **ret)
{
    size_t n = pattern_faults(FORMAT_CONFIG_KEY, s, ret);
    if (str_eq(s, STR(".")))
        ret[n++] = "must not be '.'";
    else if (str_eq(s, STR("..")))
        ret[n++] = "must not be '..'";
    else if (str_has_prefix(s, STR("..")))
        ret[n++] = "must not start with '..'";
    return n;
}

static size_t path_segment_faults(struct str s, bool whole, const char **ret)
{
    size_t n = 0;
    if (whole && (str_eq(s, STR(".")) || str_eq(s, STR("..")))) {
        ret[0] = s.n == 1 ? "may not be '.'" : "may not be '..'";
        return 1;
    }
    if (str_index(s, '/') >= 0)
        ret[n++] = "may not contain '/'";
    if (str_index(s, '%') >= 0)
        ret[n++] = "may not contain '%'";
    return n;
}

size_t format_faults(enum format f, struct str s, const char *ret[FORMAT_FAULTS_MAX])
{
    size_t n;
    switch (f) {
    case FORMAT_LABEL_KEY: return label_key_faults(s, ret);
    case FORMAT_PREFIXED_LABEL_KEY:
        n = label_key_faults(s, ret);
        if (!n && str_index(s, '/') < 0)
            ret[n++] = "must include a prefix (e.g. 'example.com/key')";
        return n;
    case FORMAT_PORT_NAME: return port_name_faults(s, ret);
    case FORMAT_ENV_NAME: return env_name_faults(s, ret);
    case FORMAT_CONFIG_KEY: return config_key_faults(s, ret);
    case FORMAT_PATH_SEGMENT: return path_segment_faults(s, true, ret);
    case FORMAT_PATH_SEGMENT_PREFIX: return path_segment_faults(s, false, ret);
    case FORMAT_DNS_LABEL:
    case FORMAT_DNS_SUBDOMAIN:
    case FORMAT_DNS1035_LABEL:
    case FORMAT_DNS_SUBDOMAIN_UNDERSCORE:
    case FORMAT_WILDCARD_SUBDOMAIN:
    case FORMAT_LABEL_VALUE:
    case FORMAT_C_IDENTIFIER:
    case FORMAT_PERCENT:
    case FORMAT_HTTP_HEADER:
    case FORMAT_CONDITION_REASON: return pattern_faults(f, s, ret);
    }
    never("format");
}

bool format_ok(enum format f, struct str s)
{
    const char *faults[FORMAT_FAULTS_MAX];
    return format_faults(f, s, faults) == 0;
}

const char *format_name_fault(enum format f, struct str name, bool is_prefix)
{
    const char *faults[FORMAT_FAULTS_MAX];
    char masked[SUBDOMAIN_MAX + 2];
    /* What will follow the dash makes the name well-formed: a letter stands for it. */
    if (is_prefix && name.n > 1 && name.n < sizeof masked && name.p[name.n - 1] == '-') {
        memcpy(masked, name.p, name.n - 2);
        masked[name.n - 2] = 'a';
        name = str_n(masked, name.n - 1);
    }
    return format_faults(f, name, faults) ? faults[0] : NULL;
}

const char *name_is_label(struct str name, bool is_prefix)
{
    return format_name_fault(FORMAT_DNS_LABEL, name, is_prefix);
}

const char *name_is_path_segment(struct str name, bool is_prefix)
{
    const char *faults[FORMAT_FAULTS_MAX];
    enum format f = is_prefix ? FORMAT_PATH_SEGMENT_PREFIX : FORMAT_PATH_SEGMENT;
    return format_faults(f, name, faults) ? faults[0] : NULL;
}

/* ---- checks ---- */

bool check_format(struct validation *v, const struct field_path *p, struct str s, enum format f)
{
    const char *faults[FORMAT_FAULTS_MAX];
    size_t n = format_faults(f, s, faults);
    for (size_t i = 0; i < n; i++)
        fault_invalid(v, p, bad_str(s), "%s", faults[i]);
    return n == 0;
}

bool check_format_joined(struct validation *v, const struct field_path *p, struct str s,
                         enum format f, const char *separator)
{
    const char *faults[FORMAT_FAULTS_MAX];
    struct str text = STR("");
    size_t n = format_faults(f, s, faults);
    for (size_t i = 0; i < n; i++)
        text = arena_fmt(v->arena, "%.*s%s%s", STR_ARG(text), i ? separator : "", faults[i]);
    if (n)
        fault_invalid(v, p, bad_str(s), "%.*s", STR_ARG(text));
    return n == 0;
}

bool check_full_domain_name(struct validation *v, const struct field_path *p, struct str s)
{
    struct str rest = s, label;
    if (!s.n) {
        fault_required(v, p, "%s", "");
        return false;
    }
    str_chop(&s, STR("."));
    rest = s;
    if (!check_format_joined(v, p, s, FORMAT_DNS_SUBDOMAIN, ","))
        return false;
    if (str_index(s, '.') < 0) {
        fault_invalid(v, p, bad_str(s),
                      "should be a domain with at least two segments separated by dots");
        return false;
    }
    while (str_next(&rest, '.', &label))
        if (!check_format_joined(v, p, label, FORMAT_DNS_LABEL, ","))
            return false;
    return true;
}

static bool is_path_char(char c)
{
    return is_alnum(c) || (c && strchr("/-._~%!$&'()*+,;=:", c));
}

bool check_domain_prefixed_path(struct validation *v, const struct field_path *p, struct str s)
{
    struct str host, path;
    if (!s.n) {
        fault_required(v, p, "%s", "");
        return false;
    }
    if (!str_cut(s, '/', &host, &path) || !host.n || !path.n) {
        fault_invalid(v, p, bad_str(s), "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return false;
    }
    bool good = check_format(v, p, host, FORMAT_DNS_SUBDOMAIN);
    for (size_t i = 0; i < path.n; i++)
        if (!is_path_char(path.p[i])) {
            fault_invalid(v, p, bad_str(path),
                          "Invalid path (regex used for validation is "
                          "'[A-Za-z0-9/\\-._~%%!$&'()*+,;=:]+')");
            return false;
        }
    return good;
}

static bool is_one_of(struct str s, const char *const *values)
{
    for (size_t i = 0; values[i]; i++)
        if (str_eqz(s, values[i]))
            return true;
    return false;
}

bool check_one_of(struct validation *v, const struct field_path *p, struct str s,
                  const char *const *values)
{
    if (is_one_of(s, values))
        return true;
    fault_not_supported(v, p, bad_str(s), values);
    return false;
}

bool check_enum(struct validation *v, const struct field_path *p, struct str s,
                const char *const *values)
{
    if (s.n)
        return check_one_of(v, p, s, values);
    fault_required(v, p, "%s", "");
    return false;
}

enum { ENUM_VALUES_MAX = 96 };

static int compare_z(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool check_schema_enum(struct validation *v, const struct field_path *p, const struct desc *d,
                       const char *name, struct str s)
{
    const struct field *f = desc_field(d, str_z(name));
    must(f && f->ext && f->ext->enum_values);
    if (!s.p || is_one_of(s, f->ext->enum_values))
        return true;
    const char *sorted[ENUM_VALUES_MAX + 1];
    size_t n = 0;
    for (; f->ext->enum_values[n]; n++) {
        must(n < ENUM_VALUES_MAX);
        sorted[n] = f->ext->enum_values[n];
    }
    qsort(sorted, n, sizeof *sorted, compare_z);
    sorted[n] = NULL;
    fault_not_supported(v, AT(p, name), bad_str(s), sorted);
    return false;
}

bool check_schema_enum_required(struct validation *v, const struct field_path *p,
                                const struct desc *d, const char *name, struct str s)
{
    if (s.n)
        return check_schema_enum(v, p, d, name, s);
    fault_required(v, AT(p, name), "%s", "");
    return false;
}

bool check_required_fields(struct validation *v, const struct field_path *p, const struct desc *d,
                           const void *obj)
{
    bool ok = true;
    for (size_t i = 0; i < d->n_json; i++) {
        const struct field *f = &d->fields[i];
        if (!(f->flags & FIELD_REQUIRED) ||
            !(f->shape == SHAPE_LIST || (f->shape == SHAPE_ONE && f->kind == FK_STRING)) ||
            !field_is_absent(f, (const char *)obj + f->offset))
            continue;
        fault_required(v, AT(p, f->name), "%s", "");
        ok = false;
    }
    return ok;
}

bool check_required_format(struct validation *v, const struct field_path *p, struct str s,
                           enum format f)
{
    if (s.n)
        return check_format(v, p, s, f);
    fault_required(v, p, "%s", "");
    return false;
}

bool check_nonnegative(struct validation *v, const struct field_path *p, int64_t value)
{
    if (value >= 0)
        return true;
    fault_invalid(v, p, bad_int(value), "must be greater than or equal to 0");
    return false;
}

bool check_nonnegative_ptr32(struct validation *v, const struct field_path *p, const int32_t *i)
{
    return !i || check_nonnegative(v, p, *i);
}

bool check_nonnegative_ptr64(struct validation *v, const struct field_path *p, const int64_t *i)
{
    return !i || check_nonnegative(v, p, *i);
}

bool check_positive(struct validation *v, const struct field_path *p, int64_t value)
{
    if (value > 0)
        return true;
    fault_invalid(v, p, bad_int(value), "must be greater than zero");
    return false;
}

bool check_range(struct validation *v, const struct field_path *p, int64_t value, int64_t low,
                 int64_t high)
{
    if (value >= low && value <= high)
        return true;
    fault_invalid(v, p, bad_int(value), "must be between %lld and %lld, inclusive", (long long)low,
                  (long long)high);
    return false;
}

bool check_port_or_name(struct validation *v, const struct field_path *p, const struct intstr *i)
{
    return i->is_string ? check_format(v, p, i->s, FORMAT_PORT_NAME) : check_port(v, p, i->i);
}

bool check_nonnegative_quantity(struct validation *v, const struct field_path *p,
                                const struct quantity *q)
{
    if (!q->text.n || q->text.p[0] != '-')
        return true;
    fault_invalid(v, p, bad_quantity(q), "must be greater than or equal to 0");
    return false;
}

bool intstr_percent(const struct intstr *i, int32_t *ret)
{
    if (!i->is_string || !is_percent(i->s))
        return false;
    if (!str_to_i32(str_sub(i->s, 0, i->s.n - 1), ret))
        *ret = INT32_MAX; /* digits only: too many of them */
    return true;
}

int32_t intstr_int_or_percent(const struct intstr *i)
{
    int32_t n = 0;
    if (!i->is_string)
        return i->i;
    return intstr_percent(i, &n) ? n : 0;
}

bool check_int_or_percent(struct validation *v, const struct field_path *p, const struct intstr *i)
{
    if (!i->is_string)
        return check_nonnegative(v, p, i->i);
    if (is_percent(i->s))
        return true;
    fault_invalid(v, p, bad_str(i->s), "%s", patterns[FORMAT_PERCENT].text);
    return false;
}

bool check_at_most_100_percent(struct validation *v, const struct field_path *p,
                               const struct intstr *i)
{
    int32_t n;
    if (!intstr_percent(i, &n) || n <= 100)
        return true;
    fault_invalid(v, p, bad_str(i->s), "must not be greater than 100%%");
    return false;
}

bool check_immutable_str(struct validation *v, const struct field_path *p, struct str now,
                         struct str old)
{
    if (str_eq(now, old))
        return true;
    fault_invalid(v, p, bad_str(now), "field is immutable");
    return false;
}

bool check_immutable(struct validation *v, const struct field_path *p, const struct desc *d,
                     const void *now, const void *old)
{
    if (now == old || (now && old && desc_equal(d, now, old)))
        return true;
    fault_invalid(v, p, bad_obj(d, now), "field is immutable");
    return false;
}
