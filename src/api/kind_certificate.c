/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate signing requests. What is in the request and the certificate is checked as far as
 * its outer form; the signer reads the rest. */
#include "api/certificatesv1.h"
#include "api/pod.h"
#include "codec/base64.h"

/* ---- PEM ---- */

/* Takes the next block of *text: its label and its bytes. False: no further block. */
static bool next_pem(struct arena *a, struct str *text, struct str *ret_label, struct str *ret_der)
{
    struct str begin = STR("-----BEGIN "), dashes = STR("-----");
    ptrdiff_t at = str_find(*text, begin);
    if (at < 0)
        return false;
    struct str rest = str_sub(*text, (size_t)at + begin.n, text->n);
    ptrdiff_t n = str_find(rest, dashes);
    if (n < 0)
        return false;
    *ret_label = str_sub(rest, 0, (size_t)n);
    rest = str_sub(rest, (size_t)n + dashes.n, rest.n);
    struct str end = arena_fmt(a, "-----END %.*s-----", STR_ARG(*ret_label));
    n = str_find(rest, end);
    if (n < 0)
        return false;
    *text = str_sub(rest, (size_t)n + end.n, rest.n);
    return base64_decode(a, str_trim(str_sub(rest, 0, (size_t)n)), ret_der);
}

/* One DER sequence and nothing after it? */
static bool is_der_sequence(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t head = 2, n;
    if (s.n < 2 || p[0] != 0x30)
        return false;
    n = p[1];
    if (n & 0x80) {
        size_t bytes = n & 0x7f;
        if (bytes == 0 || bytes > 4 || s.n < 2 + bytes)
            return false;
        for (n = 0; head < 2 + bytes; head++)
            n = n << 8 | p[head];
    }
    return n == s.n - head;
}

static const char *request_fault(struct arena *a, struct str pem)
{
    struct str label, der;
    if (!next_pem(a, &pem, &label, &der) || !str_eq(label, STR("CERTIFICATE REQUEST")))
        return "PEM block type must be CERTIFICATE REQUEST";
    return is_der_sequence(der) ? NULL : "asn1: structure error";
}

static const char *certificate_fault(struct arena *a, struct str pem)
{
    struct str label, der;
    size_t n = 0;
    for (; next_pem(a, &pem, &label, &der); n++) {
        if (!str_eq(label, STR("CERTIFICATE")))
            return "only CERTIFICATE PEM blocks are allowed";
        if (!is_der_sequence(der))
            return "found CERTIFICATE PEM block containing 0 certificates";
    }
    return n ? NULL : "must contain at least one CERTIFICATE PEM block";
}

/* ---- names of signers ---- */

enum { SIGNER_DOMAIN_MAX = 253, SIGNER_NAME_MAX = 571 };

static void check_parts(struct validation *v, const struct field_path *p, struct str s,
                        enum format f)
{
    const char *faults[FORMAT_FAULTS_MAX];
    struct str rest = s, part;
    while (str_next(&rest, '.', &part)) {
        size_t n = format_faults(f, part, faults);
        for (size_t i = 0; i < n; i++)
            fault_invalid(v, p, bad_str(s), "validating label %.*s: %s",
                          STR_ARG(go_quote(v->arena, part)), faults[i]);
        if (n)
            return;
    }
}

bool check_signer_name(struct validation *v, const struct field_path *p, struct str name)
{
    uint32_t before = v->faults;
    struct str domain, path;
    if (!name.n) {
        fault_required(v, p, "signerName must be provided");
        return false;
    }
    if (!str_cut(name, '/', &domain, &path) || str_index(path, '/') >= 0) {
        fault_invalid(v, p, bad_str(name),
                      "must be a fully qualified domain and path of the form "
                      "'example.com/signer-name'");
        return false;
    }
    if (domain.n > SIGNER_DOMAIN_MAX)
        fault_too_long(v, p, SIGNER_DOMAIN_MAX);
    check_parts(v, p, domain, FORMAT_DNS_LABEL);
    if (str_index(domain, '.') < 0)
        fault_invalid(v, p, bad_str(domain),
                      "should be a domain with at least two segments separated by dots");
    check_parts(v, p, path, FORMAT_DNS_SUBDOMAIN);
    if (name.n > SIGNER_NAME_MAX)
        fault_too_long(v, p, SIGNER_NAME_MAX);
    return v->faults == before;
}

/* ---- the request ---- */

static void check_usages(struct validation *v, const struct field_path *p,
                         const struct str_list *usages)
{
    static const char *const known[] = {"any",
                                        "cert sign",
                                        "client auth",
                                        "code signing",
                                        "content commitment",
                                        "crl sign",
                                        "data encipherment",
                                        "decipher only",
                                        "digital signature",
                                        "email protection",
                                        "encipher only",
                                        "ipsec end system",
                                        "ipsec tunnel",
                                        "ipsec user",
                                        "key agreement",
                                        "key encipherment",
                                        "microsoft sgc",
                                        "netscape sgc",
                                        "ocsp signing",
                                        "s/mime",
                                        "server auth",
                                        "signing",
                                        "timestamping",
                                        NULL};
    CLEANUP(map_fini) struct map seen = MAP_INIT_BORROWED;
    if (!usages->n)
        fault_required(v, p, "usages must be provided");
    for (size_t i = 0; i < usages->n; i++) {
        check_one_of(v, AT_INDEX(p, i), usages->v[i], known);
        if (seen_before(&seen, usages->v[i]))
            fault_duplicate(v, AT_INDEX(p, i), bad_str(usages->v[i]));
    }
}

enum { EXPIRATION_S_MIN = 600 };

static void check_csr_spec(struct validation *v, const struct field_path *p,
                           const struct certificatesv1_certificate_signing_request_spec *s)
{
    const char *fault = request_fault(v->arena, s->request);
    if (fault)
        fault_invalid(v, AT(p, "request"), bad_str(STR("<certificate request>")), "%s", fault);
    check_usages(v, AT(p, "usages"), &s->usages);
    if (s->expiration_seconds && *s->expiration_seconds < EXPIRATION_S_MIN)
        fault_invalid(v, AT(p, "expirationSeconds"), bad_int(*s->expiration_seconds),
                      "may not specify a duration less than %d seconds (10 minutes)",
                      EXPIRATION_S_MIN);
    if (str_eq(s->signer_name, STR("kubernetes.io/legacy-unknown")))
        fault_invalid(v, AT(p, "signerName"), bad_str(s->signer_name),
                      "the legacy signerName is not allowed via this API version");
    else
        check_signer_name(v, AT(p, "signerName"), s->signer_name);
}

static bool is_decision(struct str type)
{
    return str_eq(type, STR("Approved")) || str_eq(type, STR("Denied"));
}

static void check_csr_conditions(struct validation *v, const struct field_path *p,
                                 const struct certificatesv1_certificate_signing_request *c)
{
    static const char *const any[] = {"False", "True", "Unknown", NULL};
    static const char *const only_true[] = {"True", NULL};
    CLEANUP(map_fini) struct map seen = MAP_INIT_BORROWED;
    struct str decision = STR_NULL;
    for (size_t i = 0; i < c->status.conditions.n; i++) {
        const struct certificatesv1_certificate_signing_request_condition *cond =
            &c->status.conditions.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        bool final = is_decision(cond->type) || str_eq(cond->type, STR("Failed"));
        if (!cond->type.n)
            fault_required(v, AT(at, "type"), "%s", "");
        check_enum(v, AT(at, "status"), cond->status, final ? only_true : any);
        if (is_decision(cond->type) && decision.p && !str_eq(decision, cond->type))
            fault_invalid(v, AT(at, "type"), bad_str(cond->type),
                          "Approved and Denied conditions are mutually exclusive");
        if (is_decision(cond->type))
            decision = cond->type;
        if (seen_before(&seen, cond->type))
            fault_duplicate(v, AT(at, "type"), bad_str(cond->type));
    }
}

static void check_csr_status(struct validation *v,
                             const struct certificatesv1_certificate_signing_request *c)
{
    const struct field_path *p = AT(NULL, "status");
    const char *fault =
        c->status.certificate.n ? certificate_fault(v->arena, c->status.certificate) : NULL;
    check_csr_conditions(v, AT(p, "conditions"), c);
    if (fault)
        fault_invalid(v, AT(p, "certificate"), bad_str(STR("<certificate data>")), "%s", fault);
}

/* Decisions stay: they can be added (through `approval`), but not taken back. */
static void check_csr_update(struct validation *v,
                             const struct certificatesv1_certificate_signing_request *now,
                             const struct certificatesv1_certificate_signing_request *old)
{
    const struct field_path *p = AT(AT(NULL, "status"), "conditions");
    LIST_EACH (was, &old->status.conditions) {
        bool kept = false;
        LIST_EACH (is, &now->status.conditions)
            kept |= str_eq(is->type, was->type);
        if (is_decision(was->type) && !kept)
            fault_forbidden(v, p, "updates may not remove a condition of type \"%.*s\"",
                            STR_ARG(was->type));
    }
    LIST_EACH (is, &now->status.conditions) {
        bool known = false;
        LIST_EACH (was, &old->status.conditions)
            known |= str_eq(is->type, was->type);
        if (is_decision(is->type) && !known && !str_eq(v->subresource, STR("approval")))
            fault_forbidden(v, p, "updates may not add a condition of type \"%.*s\"",
                            STR_ARG(is->type));
    }
    if (old->status.certificate.n && !str_eq(old->status.certificate, now->status.certificate))
        fault_forbidden(v, AT(AT(NULL, "status"), "certificate"),
                        "updates may not set certificate content");
}

static void csr_validate(struct validation *v, const void *obj, const void *old)
{
    const struct certificatesv1_certificate_signing_request *c = obj;
    check_csr_spec(v, AT(NULL, "spec"), &c->spec);
    check_csr_status(v, c);
    if (old)
        check_csr_update(v, obj, old);
}

static void csr_validate_status(struct validation *v, const void *obj, const void *old)
{
    check_csr_status(v, obj);
    check_csr_update(v, obj, old);
}

/* The spec is what its creator asked for, for good. */
static void csr_prepare(struct arena *a, void *obj, const void *old)
{
    struct certificatesv1_certificate_signing_request *c = obj;
    const struct certificatesv1_certificate_signing_request *was = old;
    if (was)
        c->spec = was->spec;
}

static const char *csr_name(struct str name, bool is_prefix)
{
    return NULL;
}

const struct kind_hooks certificatesv1_certificate_signing_request_hooks = {
    .prepare = csr_prepare,
    .validate = csr_validate,
    .validate_status = csr_validate_status,
    .valid_name = csr_name,
    .generation_off = true,
};
