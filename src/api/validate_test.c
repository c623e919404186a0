/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "api/validate.h"

struct fixture {
    struct arena arena;
    struct err err;
    struct validation v;
};

static void start(struct fixture *f)
{
    f->arena = ARENA_INIT;
    f->err = ERR_INIT(&f->arena);
    f->v = (struct validation){.arena = &f->arena, .err = &f->err};
}

/* "path: reason: message" of the n-th cause. */
static struct str cause(struct fixture *f, size_t n)
{
    struct err_cause *c = f->err.causes;
    while (c && n--)
        c = c->next;
    return c ? arena_fmt(&f->arena, "%.*s | %.*s | %.*s", STR_ARG(c->field), STR_ARG(c->reason),
                         STR_ARG(c->message))
             : STR_NULL;
}

static void paths_print_as_upstream(void **state)
{
    struct arena a = ARENA_INIT;
    const struct field_path *c = AT_INDEX(AT(AT(NULL, "spec"), "containers"), 0);
    assert_str(field_path_text(&a, AT(AT_INDEX(AT(c, "env"), 1), "name")),
               "spec.containers[0].env[1].name");
    assert_str(field_path_text(&a, AT_KEY(AT(AT(NULL, "metadata"), "labels"), STR("foo"))),
               "metadata.labels[foo]");
    assert_str(field_path_text(&a, NULL), "<nil>");
    arena_fini(&a);
}

static void faults_print_as_upstream(void **state)
{
    static const char *const colours[] = {"blue", "red", NULL};
    struct str_list list = {(struct str[]){STR("a"), STR("b\"")}, 2};
    struct fixture f;
    start(&f);
    const struct field_path *p = AT(NULL, "f");
    struct validation *v = &f.v;
    fault_required(v, p, "%s", "");
    fault_required(v, p, "must not be empty");
    fault_invalid(v, p, bad_int(-1), "must be %d%%", 5);
    fault_invalid(v, p, bad_str(STR("a\"\n\x01\xc3\xa9\xff")), "bad");
    fault_invalid(v, p, bad_list(&list), "bad");
    fault_invalid(v, p, bad_bool(true), "bad");
    fault_invalid(v, p, bad_obj(&metav1_label_selector_desc, NULL), "bad");
    fault_not_supported(v, p, bad_str(STR("green")), colours);
    fault_forbidden(v, p, "no");
    fault_duplicate(v, p, bad_str(STR("x")));
    fault_not_found(v, p, bad_str(STR("x")));
    fault_too_long(v, p, 63);
    fault_too_long_chars(v, p, 1);
    fault_too_many(v, p, 3, 1);
    fault_too_few(v, p, 0, 2);
    fault_type_invalid(v, p, bad_double(1.5), "must be integer");
    fault_invalid(v, p, bad_none(), "no value");
    static const char *const want[] = {
        "f | FieldValueRequired | Required value",
        "f | FieldValueRequired | Required value: must not be empty",
        "f | FieldValueInvalid | Invalid value: -1: must be 5%",
        "f | FieldValueInvalid | Invalid value: \"a\\\"\\n\\x01\xc3\xa9\\xff\": bad",
        "f | FieldValueInvalid | Invalid value: [\"a\",\"b\\\"\"]: bad",
        "f | FieldValueInvalid | Invalid value: true: bad",
        "f | FieldValueInvalid | Invalid value: null: bad",
        "f | FieldValueNotSupported | Unsupported value: \"green\": supported values: \"blue\", "
        "\"red\"",
        "f | FieldValueForbidden | Forbidden: no",
        "f | FieldValueDuplicate | Duplicate value: \"x\"",
        "f | FieldValueNotFound | Not found: \"x\"",
        "f | FieldValueTooLong | Too long: may not be more than 63 bytes",
        "f | FieldValueTooLong | Too long: may not be more than 1 character",
        "f | FieldValueTooMany | Too many: 3: must have at most 1 item",
        "f | FieldValueTooFew | Too few: 0: must have at least 2 items",
        "f | FieldValueTypeInvalid | Invalid value: 1.5: must be integer",
        "f | FieldValueInvalid | Invalid value: no value",
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_str(cause(&f, i), want[i]);
    assert_int_equal(f.err.cause_count, ARRAY_LEN(want));
    arena_fini(&f.arena);
}

static void the_invalid_error(void **state)
{
    struct fixture f;
    start(&f);
    assert_int_equal(validation_finish(&f.v, STR("apps"), STR("Deployment"), STR("x")), 0);
    const struct field_path *p = AT(AT(NULL, "spec"), "replicas");
    check_nonnegative(&f.v, p, -1);
    assert_int_equal(validation_finish(&f.v, STR("apps"), STR("Deployment"), STR("x")),
                     -ERR_INVALID);
    assert_str(f.err.message,
               "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: -1: must be "
               "greater than or equal to 0");
    check_nonnegative(&f.v, p, -1); /* twice the same shows once in the message */
    fault_required(&f.v, AT(NULL, "b"), "%s", "");
    assert_int_equal(validation_finish(&f.v, STR(""), STR("Pod"), STR("x")), -ERR_INVALID);
    assert_str(f.err.message, "Pod \"x\" is invalid: [spec.replicas: Invalid value: -1: must be "
                              "greater than or equal to 0, b: Required value]");
    assert_str(f.err.detail_kind, "Pod");
    assert_str(f.err.detail_name, "x");
    assert_int_equal(f.err.cause_count, 3);
    arena_fini(&f.arena);
}

static void refusals_are_bounded(void **state)
{
    struct fixture f;
    start(&f);
    char *big = arena_raw(&f.arena, MIB(2));
    memset(big, '\x01', MIB(2));
    struct str_list list = {(struct str[]){str_n(big, MIB(2))}, 1};
    for (int i = 0; i < 3000; i++) {
        fault_invalid(&f.v, AT_KEY(AT(NULL, "a"), str_n(big, 1000)), bad_str(str_n(big, MIB(2))),
                      "bad");
        fault_invalid(&f.v, NULL, bad_list(&list), "bad");
    }
    assert_true(f.err.cause_count > 10 && f.err.cause_count < 3000);
    assert_int_equal(validation_finish(&f.v, STR(""), STR("Pod"), STR("x")), -ERR_INVALID);
    assert_true(f.err.message.n < 2 * VALIDATION_TEXT_MAX);
    assert_true(f.arena.used < MIB(32));
    arena_fini(&f.arena);
}

static void formats(void **state)
{
    static const struct {
        enum format f;
        const char *text;
        size_t faults;
        const char *first; /* part of it */
    } rows[] = {
        {FORMAT_DNS_LABEL, "a-1", 0, NULL},
        {FORMAT_DNS_LABEL, "a.b", 1, "must not contain dots"},
        {FORMAT_DNS_LABEL, "", 1, "a lowercase RFC 1123 label must consist of"},
        {FORMAT_DNS_LABEL, "-a", 1,
         "(e.g. 'my-name',  or '123-abc', regex used for validation is "
         "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"},
        {FORMAT_DNS_LABEL, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_", 2,
         "must be no more than 63 characters"},
        {FORMAT_DNS_SUBDOMAIN, "a.b-c.0", 0, NULL},
        {FORMAT_DNS_SUBDOMAIN, "a..b", 1, "subdomain"},
        {FORMAT_DNS_SUBDOMAIN, "A", 1, "(e.g. 'example.com', regex"},
        {FORMAT_DNS1035_LABEL, "1a", 1, "DNS-1035"},
        {FORMAT_DNS1035_LABEL, "a1", 0, NULL},
        {FORMAT_DNS_SUBDOMAIN_UNDERSCORE, "_tcp.a_b.c", 0, NULL},
        {FORMAT_WILDCARD_SUBDOMAIN, "*.a.b", 0, NULL},
        {FORMAT_WILDCARD_SUBDOMAIN, "*", 1, "wildcard"},
        {FORMAT_LABEL_KEY, "a.b/c_D", 0, NULL},
        {FORMAT_LABEL_KEY, "/c", 1, "prefix part must be non-empty"},
        {FORMAT_LABEL_KEY, "a/b/c", 1, "a valid label key must consist"},
        {FORMAT_LABEL_KEY, "A_/b", 1, "prefix part a lowercase"},
        {FORMAT_LABEL_KEY, "", 2, "name part must be non-empty"},
        {FORMAT_LABEL_KEY, "a b", 1, "name part must consist of"},
        {FORMAT_PREFIXED_LABEL_KEY, "a", 1, "must include a prefix"},
        {FORMAT_LABEL_VALUE, "", 0, NULL},
        {FORMAT_LABEL_VALUE, "a/b", 1, "a valid label must be an empty string or"},
        {FORMAT_C_IDENTIFIER, "a_1", 0, NULL},
        {FORMAT_C_IDENTIFIER, "1a", 1, "C identifier"},
        {FORMAT_PORT_NAME, "http", 0, NULL},
        {FORMAT_PORT_NAME, "80", 1, "must contain at least one letter"},
        {FORMAT_PORT_NAME, "-a--b", 2, "must not contain consecutive hyphens"},
        {FORMAT_PORT_NAME, "", 2, "must contain only alpha-numeric"},
        {FORMAT_PERCENT, "10%", 0, NULL},
        {FORMAT_PERCENT, "%", 1, "percent"},
        {FORMAT_HTTP_HEADER, "X-A", 0, NULL},
        {FORMAT_HTTP_HEADER, "X A", 1, "HTTP header"},
        {FORMAT_ENV_NAME, "1.a b", 0, NULL},
        {FORMAT_ENV_NAME, "a=b", 1, "printable ASCII"},
        {FORMAT_ENV_NAME, "", 1, "must be non-empty"},
        {FORMAT_CONFIG_KEY, "a.b_c", 0, NULL},
        {FORMAT_CONFIG_KEY, "..", 1, "must not be '..'"},
        {FORMAT_CONFIG_KEY, "..a", 1, "must not start with '..'"},
        {FORMAT_CONFIG_KEY, "a/b", 1, "config key"},
        {FORMAT_PATH_SEGMENT, "a:b", 0, NULL},
        {FORMAT_PATH_SEGMENT, "..", 1, "may not be '..'"},
        {FORMAT_PATH_SEGMENT, "a/%", 2, "may not contain '/'"},
        {FORMAT_CONDITION_REASON, "A_b:c,d", 0, NULL},
        {FORMAT_CONDITION_REASON, "A,", 1, "condition reason"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *faults[FORMAT_FAULTS_MAX];
        size_t n = format_faults(rows[i].f, str_z(rows[i].text), faults);
        if (n != rows[i].faults)
            fail_msg("\"%s\": %zu faults, want %zu", rows[i].text, n, rows[i].faults);
        if (n && !strstr(faults[0], rows[i].first))
            fail_msg("\"%s\": %s", rows[i].text, faults[0]);
    }
    assert_null(format_name_fault(FORMAT_DNS_SUBDOMAIN, STR("web-"), true));
    assert_null(format_name_fault(FORMAT_DNS_SUBDOMAIN, STR("web--"), true));
    assert_non_null(format_name_fault(FORMAT_DNS_SUBDOMAIN, STR("web-"), false));
    assert_non_null(format_name_fault(FORMAT_DNS_SUBDOMAIN, STR("-"), true));
}

static void addresses(void **state)
{
    static const struct {
        bool (*check)(struct validation *v, const struct field_path *p, struct str s);
        const char *text, *fault; /* NULL: good */
    } rows[] = {
        {check_ip, "10.0.0.1", NULL},
        {check_ip, "010.0.0.01", NULL},
        {check_ip, "::ffff:1.2.3.4", NULL},
        {check_ip, "fe80::1", NULL},
        {check_ip, "fe80::1%eth0", "must be a valid IP address"},
        {check_ip, "1.2.3", "must be a valid IP address"},
        {check_ip, "1.2.3.256", "must be a valid IP address"},
        {check_ip, "", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"},
        {check_ip_strict, "010.0.0.1", "must not have leading 0s"},
        {check_ip_strict, "::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"},
        {check_ip_strict, "FE80::0001", "must be in canonical form (\"fe80::1\")"},
        {check_ip_strict, "fe80::1", NULL},
        {check_cidr, "10.0.0.1/8", NULL},
        {check_cidr, "10.0.0.0/33", "must be a valid CIDR value"},
        {check_cidr, "10.0.0.0", "must be a valid CIDR value"},
        {check_cidr, "::/128", NULL},
        {check_cidr_strict, "10.0.0.1/8", "must not have bits set beyond the prefix length"},
        {check_cidr_strict, "10.0.0.0/08", "must not have leading 0s in IP or prefix length"},
        {check_cidr_strict, "10.0.0.0/8", NULL},
        {check_cidr_strict, "FD00::/8", "must be in canonical form (\"fd00::/8\")"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        start(&f);
        bool ok = rows[i].check(&f.v, AT(NULL, "ip"), str_z(rows[i].text));
        if (ok != (rows[i].fault == NULL) || ok != (f.err.cause_count == 0))
            fail_msg("\"%s\" %s", rows[i].text, ok ? "accepted" : "rejected");
        if (!ok && str_find(f.err.causes->message, str_z(rows[i].fault)) < 0)
            fail_msg("\"%s\": %.*s", rows[i].text, STR_ARG(f.err.causes->message));
        arena_fini(&f.arena);
    }
    struct ip_prefix p;
    struct ip_addr ip;
    assert_true(ip_prefix_parse(STR("10.96.0.0/12"), &p) && ip_parse(STR("10.111.1.1"), &ip));
    assert_true(ip_in_prefix(&ip, &p));
    assert_true(ip_parse(STR("10.112.0.0"), &ip));
    assert_false(ip_in_prefix(&ip, &p));
    assert_true(ip_parse(STR("127.3.2.1"), &ip) && ip_is_loopback(&ip));
    assert_true(ip_parse(STR("ff02::1"), &ip) && ip_is_link_local_multicast(&ip));
    assert_true(ip_parse(STR("169.254.0.9"), &ip) && ip_is_link_local_unicast(&ip));
    assert_true(ip_parse(STR("::"), &ip) && ip_is_unspecified(&ip));
}

/* Decodes an ObjectMeta from JSON with ' for ". */
static struct metav1_object_meta *meta(struct arena *a, const char *text)
{
    struct metav1_object_meta *m = arena_new(a, struct metav1_object_meta);
    struct err e = ERR_INIT(a);
    char *json = arena_raw(a, strlen(text) + 1);
    for (size_t i = 0; i <= strlen(text); i++)
        json[i] = (char)(text[i] == '\'' ? '"' : text[i]);
    if (desc_decode_json(&metav1_object_meta_desc, str_z(json), a, m, NULL, &e) < 0)
        fail_msg("%.*s", STR_ARG(e.message));
    return m;
}

static void object_meta(void **state)
{
    static const struct {
        const char *now, *old; /* old NULL: create */
        const char *cause;     /* part of the first one; NULL: good */
    } rows[] = {
        {"{'name':'a','namespace':'b'}", NULL, NULL},
        {"{'namespace':'b'}", NULL,
         "m.name | FieldValueRequired | Required value: name or generateName is required"},
        {"{'name':'a'}", NULL, "m.namespace | FieldValueRequired | Required value"},
        {"{'name':'a_','namespace':'b'}", NULL,
         "m.name | FieldValueInvalid | Invalid value: "
         "\"a_\": a lowercase RFC 1123 subdomain"},
        {"{'name':'a-1','generateName':'_a-','namespace':'b'}", NULL, "m.generateName |"},
        {"{'name':'a','namespace':'b.c'}", NULL, "m.namespace | FieldValueInvalid"},
        {"{'name':'a','namespace':'b','labels':{'x y':'z'}}", NULL,
         "m.labels | FieldValueInvalid | Invalid value: \"x y\": name part"},
        {"{'name':'a','namespace':'b','labels':{'x':'-'}}", NULL,
         "m.labels | FieldValueInvalid | Invalid value: \"-\": a valid label"},
        {"{'name':'a','namespace':'b','annotations':{'EXAMPLE.com/x':'anything at all'}}", NULL,
         NULL},
        {"{'name':'a','namespace':'b','annotations':{'x/':''}}", NULL, "m.annotations |"},
        {"{'name':'a','namespace':'b','ownerReferences':[{'apiVersion':'v1','kind':'Pod',"
         "'name':'p','uid':'u'}]}",
         NULL, NULL},
        {"{'name':'a','namespace':'b','ownerReferences':[{'kind':'Pod','name':'p','uid':'u'}]}",
         NULL, "m.ownerReferences[0].apiVersion | FieldValueRequired"},
        {"{'name':'a','namespace':'b','ownerReferences':[{'apiVersion':'v1','kind':'Event',"
         "'name':'p','uid':'u'}]}",
         NULL, "m.ownerReferences[0] | FieldValueInvalid"},
        {"{'name':'a','namespace':'b','ownerReferences':[{'apiVersion':'v1','kind':'Pod',"
         "'name':'p','uid':'u','controller':true},{'apiVersion':'v1','kind':'Pod','name':'q',"
         "'uid':'w','controller':true}]}",
         NULL,
         "Only one reference can have Controller set to true. Found \"true\" in references for "
         "Pod/p and Pod/q"},
        {"{'name':'a','namespace':'b','finalizers':['x/y/z']}", NULL, "m.finalizers |"},
        {"{'name':'a','namespace':'b','finalizers':['orphan','foregroundDeletion']}", NULL,
         "cannot be both set"},
        {"{'name':'a','namespace':'b','managedFields':[{'operation':'Steal'}]}", NULL,
         "m.managedFields[0].operation | FieldValueNotSupported | Unsupported value: \"Steal\": "
         "supported values: \"Apply\", \"Update\""},
        {"{'name':'a','namespace':'b','resourceVersion':'1'}", "{'name':'a','namespace':'b'}",
         NULL},
        {"{'name':'a','namespace':'b'}", "{'name':'a','namespace':'b'}",
         "m.resourceVersion | FieldValueInvalid | Invalid value: \"\": must be specified for an "
         "update"},
        {"{'name':'a','uid':'x','resourceVersion':'1'}",
         "{'name':'a','uid':'y','resourceVersion':'1'}",
         "m.uid | FieldValueInvalid | Invalid value: \"x\": field is immutable"},
        {"{'name':'a','resourceVersion':'1'}",
         "{'name':'a','resourceVersion':'1','creationTimestamp':'2026-01-02T03:04:05Z'}",
         "m.creationTimestamp | FieldValueInvalid | Invalid value: null: field is immutable"},
        {"{'name':'a','resourceVersion':'1','generation':1}",
         "{'name':'a','resourceVersion':'1','generation':2}", "must not be decremented"},
        {"{'name':'a','resourceVersion':'1','deletionTimestamp':'2026-01-02T03:04:05Z',"
         "'finalizers':['b','a','c/d']}",
         "{'name':'a','resourceVersion':'1','deletionTimestamp':'2026-01-02T03:04:05Z',"
         "'finalizers':['c/d']}",
         "found new finalizers []string{\"a\", \"b\"}"},
        {"{'name':'a','resourceVersion':'1','deletionGracePeriodSeconds':3}",
         "{'name':'a','resourceVersion':'1'}",
         "m.deletionGracePeriodSeconds | FieldValueInvalid | Invalid value: 3: field is "
         "immutable"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        start(&f);
        struct metav1_object_meta *now = meta(&f.arena, rows[i].now);
        if (rows[i].old)
            check_object_meta_update(&f.v, AT(NULL, "m"), now, meta(&f.arena, rows[i].old));
        else
            check_object_meta(&f.v, AT(NULL, "m"), now, true, NULL);
        struct str first = cause(&f, 0);
        if (!rows[i].cause != !first.p)
            fail_msg("%s: got \"%.*s\"", rows[i].now, STR_ARG(first));
        if (first.p && str_find(first, str_z(rows[i].cause)) < 0)
            fail_msg("%s: got \"%.*s\", want \"%s\"", rows[i].now, STR_ARG(first), rows[i].cause);
        arena_fini(&f.arena);
    }
}

TESTS(cmocka_unit_test(paths_print_as_upstream), cmocka_unit_test(faults_print_as_upstream),
      cmocka_unit_test(the_invalid_error), cmocka_unit_test(refusals_are_bounded),
      cmocka_unit_test(formats), cmocka_unit_test(addresses), cmocka_unit_test(object_meta))
