/* SPDX-License-Identifier: Apache-2.0 */
/* Service-account tokens: ES256 JSON web tokens (RFC 7518 3.4), signed and verified with one key.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "api/corev1.h"
#include "codec/base64.h"
#include "server/authn.h"
#include "server/impl.h"
#include "server/write.h"

enum { VERIFIED_MAX = 4096 };
enum { TOKEN_BYTES_MAX = 16 << 10, CLOCK_SKEW_S = 10, SIGNATURE_BYTES = 64 };

struct token_key {
    EVP_PKEY *pkey;
    struct str kid; /* base64url of the SHA-256 of the public key's DER form */
    /* Tokens whose signature was found good: a client sends the same one with every request.
     * Everything else about them is checked each time. */
    struct map verified;
};

static struct str key_id(struct arena *a, EVP_PKEY *pkey)
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned int digest_n;
    int n = i2d_PUBKEY(pkey, &der);
    must(n > 0);
    must(EVP_Digest(der, (size_t)n, digest, &digest_n, EVP_sha256(), NULL) == 1);
    OPENSSL_free(der);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(256);
    base64url_encode(&b, str_n((const char *)digest, digest_n));
    return buf_to_arena(&b, a);
}

int token_init(struct server *s, struct err *e)
{
    struct str pem = s->config.sa_key_pem;
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!pkey)
        return err_set(e, ERR_INTERNAL, "the service-account key is not a PEM private key");
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC || EVP_PKEY_get_bits(pkey) != 256) {
        EVP_PKEY_free(pkey);
        return err_set(e, ERR_INTERNAL, "the service-account key must be a P-256 key");
    }
    s->token_key = xcalloc(1, sizeof *s->token_key);
    s->token_key->pkey = pkey;
    s->token_key->kid = key_id(&s->arena, pkey);
    return 0;
}

void token_fini(struct server *s)
{
    if (s->token_key) {
        EVP_PKEY_free(s->token_key->pkey);
        map_fini(&s->token_key->verified);
    }
    free(s->token_key);
    s->token_key = NULL;
}

/* ---- signing ---- */

static void put_member(struct buf *b, const char *name, struct str value)
{
    if (b->p[b->n - 1] != '{')
        buf_c(b, ',');
    buf_fmt(b, "\"%s\":", name);
    json_put_string(b, value);
}

static void put_ref(struct buf *b, const char *kind, struct str name, struct str uid)
{
    buf_fmt(b, ",\"%s\":{", kind);
    put_member(b, "name", name);
    put_member(b, "uid", uid);
    buf_c(b, '}');
}

static const char *bound_member(struct str kind)
{
    if (str_eq(kind, STR("Pod")))
        return "pod";
    if (str_eq(kind, STR("Secret")))
        return "secret";
    return "node";
}

static void put_claims(struct server *s, struct buf *b, const struct token_spec *t)
{
    struct arena scratch = ARENA_INIT;
    buf_z(b, "{\"aud\":[");
    for (size_t i = 0; i < t->audiences.n; i++) {
        if (i)
            buf_c(b, ',');
        json_put_string(b, t->audiences.v[i]);
    }
    buf_fmt(b, "],\"exp\":%lld,\"iat\":%lld,\"nbf\":%lld", (long long)t->expires_s,
            (long long)t->issued_s, (long long)t->issued_s);
    put_member(b, "iss", s->config.issuer);
    put_member(b, "jti", make_uid(s, &scratch));
    put_member(b, "sub",
               arena_fmt(&scratch, "system:serviceaccount:%.*s:%.*s", STR_ARG(t->ns),
                         STR_ARG(t->service_account)));
    buf_z(b, ",\"kubernetes.io\":{");
    put_member(b, "namespace", t->ns);
    if (t->bound_kind.n)
        put_ref(b, bound_member(t->bound_kind), t->bound_name, t->bound_uid);
    if (t->node_name.n && !str_eq(t->bound_kind, STR("Node")))
        put_ref(b, "node", t->node_name, t->node_uid);
    put_ref(b, "serviceaccount", t->service_account, t->uid);
    buf_z(b, "}}");
    arena_fini(&scratch);
}

struct str token_sign(struct server *s, struct arena *a, const struct token_spec *t)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(TOKEN_BYTES_MAX), out = BUF_INIT(TOKEN_BYTES_MAX);
    unsigned char sig[1024];
    size_t sig_n = sizeof sig;
    buf_z(&text, "{");
    put_member(&text, "alg", STR("ES256"));
    put_member(&text, "kid", s->token_key->kid);
    buf_c(&text, '}');
    base64url_encode(&out, buf_view(&text));
    buf_c(&out, '.');
    buf_clear(&text);
    put_claims(s, &text, t);
    base64url_encode(&out, buf_view(&text));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, s->token_key->pkey) == 1);
    must(EVP_DigestSign(ctx, sig, &sig_n, (const unsigned char *)out.p, out.n) == 1);
    EVP_MD_CTX_free(ctx);
    unsigned char raw[SIGNATURE_BYTES];
    const unsigned char *der = sig;
    ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &der, (long)sig_n);
    must(parts && BN_bn2binpad(ECDSA_SIG_get0_r(parts), raw, SIGNATURE_BYTES / 2) > 0 &&
         BN_bn2binpad(ECDSA_SIG_get0_s(parts), raw + SIGNATURE_BYTES / 2, SIGNATURE_BYTES / 2) > 0);
    ECDSA_SIG_free(parts);
    buf_c(&out, '.');
    base64url_encode(&out, str_n((const char *)raw, sizeof raw));
    must(!out.failed);
    return buf_to_arena(&out, a);
}

/* ---- verifying ---- */

static bool signature_ok(struct server *s, struct str signed_part, struct str sig)
{
    if (sig.n != SIGNATURE_BYTES)
        return false;
    const unsigned char *raw = (const unsigned char *)sig.p;
    unsigned char *der = NULL;
    ECDSA_SIG *parts = ECDSA_SIG_new();
    must(ECDSA_SIG_set0(parts, BN_bin2bn(raw, SIGNATURE_BYTES / 2, NULL),
                        BN_bin2bn(raw + SIGNATURE_BYTES / 2, SIGNATURE_BYTES / 2, NULL)) == 1);
    int n = i2d_ECDSA_SIG(parts, &der);
    ECDSA_SIG_free(parts);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = n > 0 &&
              EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, s->token_key->pkey) == 1 &&
              EVP_DigestVerify(ctx, der, (size_t)n, (const unsigned char *)signed_part.p,
                               signed_part.n) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return ok;
}

static bool is_verified(struct server *s, struct str token, size_t signed_n, struct str sig)
{
    struct map *verified = &s->token_key->verified;
    if (map_has(verified, token))
        return true;
    if (!signature_ok(s, str_n(token.p, signed_n), sig))
        return false;
    if (verified->count >= VERIFIED_MAX)
        map_clear(verified);
    map_put(verified, token, s);
    return true;
}

static int refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_UNAUTHORIZED, "Unauthorized: %s", why);
}

/* The claims of a well-signed token that is valid now. */
static int open_token(struct server *s, struct arena *a, struct str token, struct json **ret,
                      struct err *e)
{
    struct str head, rest, claims, sig, text;
    int64_t exp, nbf = 0, now = loop_wall(s->loop).s;
    if (token.n > TOKEN_BYTES_MAX || !str_cut(token, '.', &head, &rest) ||
        !str_cut(rest, '.', &claims, &sig) || !base64url_decode(a, sig, &sig) ||
        !base64url_decode(a, claims, &text))
        return refuse(e, "not a token of this server");
    if (!is_verified(s, token, head.n + 1 + claims.n, sig))
        return refuse(e, "the token's signature is wrong");
    struct err ignored = ERR_INIT(a);
    if (json_parse(a, text, ret, &ignored) < 0 || !json_i64(json_getz(*ret, "exp"), &exp))
        return refuse(e, "the token has no claims");
    (void)json_i64(json_getz(*ret, "nbf"), &nbf);
    if (!str_eq(json_str(json_getz(*ret, "iss")), s->config.issuer))
        return refuse(e, "the token has another issuer");
    if (exp <= now)
        return refuse(e, "the token has expired");
    if (nbf > now + CLOCK_SKEW_S)
        return refuse(e, "the token is not valid yet");
    return 0;
}

/* Does the object still exist, with this uid? */
static bool is_alive(struct server *s, struct arena *a, const char *plural, struct str ns,
                     const struct json *ref)
{
    struct resource *res = resources_find(s, STR(""), STR("v1"), str_z(plural));
    struct item *i =
        store_get(s->store, resource_key(a, res, ns, json_str(json_getz(ref, "name"))));
    struct metav1_object_meta m;
    if (!i)
        return false;
    item_meta(a, i, &m);
    return str_eq(m.uid, json_str(json_getz(ref, "uid"))) && !m.deletion_timestamp;
}

static void add_extra(struct arena *a, struct user *u, const char *key, struct str value)
{
    struct strings_pair *p = list_add(a, &u->extra);
    p->key = str_z(key);
    str_list_push(a, &p->value, value);
}

int token_user(struct server *s, struct arena *a, struct str token, struct user *ret,
               struct str_list *ret_audiences, struct err *e)
{
    struct json *claims;
    int rc = open_token(s, a, token, &claims, e);
    if (rc < 0)
        return rc;
    struct json *k8s = json_getz(claims, "kubernetes.io");
    struct str ns = json_str(json_getz(k8s, "namespace"));
    struct json *sa = json_getz(k8s, "serviceaccount"), *pod = json_getz(k8s, "pod");
    struct json *secret = json_getz(k8s, "secret"), *node = json_getz(k8s, "node");
    if (!is_alive(s, a, "serviceaccounts", ns, sa))
        return refuse(e, "the token's service account is gone");
    if (pod && !is_alive(s, a, "pods", ns, pod))
        return refuse(e, "the token's pod is gone");
    if (secret && !is_alive(s, a, "secrets", ns, secret))
        return refuse(e, "the token's secret is gone");
    *ret = (struct user){.name = json_str(json_getz(claims, "sub")),
                         .uid = json_str(json_getz(sa, "uid"))};
    str_list_push(a, &ret->groups, STR("system:serviceaccounts"));
    str_list_push(a, &ret->groups, arena_fmt(a, "system:serviceaccounts:%.*s", STR_ARG(ns)));
    str_list_push(a, &ret->groups, STR("system:authenticated"));
    struct str jti = json_str(json_getz(claims, "jti"));
    add_extra(a, ret, "authentication.kubernetes.io/credential-id", arena_cat(a, STR("JTI="), jti));
    if (node) {
        add_extra(a, ret, "authentication.kubernetes.io/node-name",
                  json_str(json_getz(node, "name")));
        add_extra(a, ret, "authentication.kubernetes.io/node-uid",
                  json_str(json_getz(node, "uid")));
    }
    if (pod) {
        add_extra(a, ret, "authentication.kubernetes.io/pod-name",
                  json_str(json_getz(pod, "name")));
        add_extra(a, ret, "authentication.kubernetes.io/pod-uid", json_str(json_getz(pod, "uid")));
    }
    struct json *aud = json_getz(claims, "aud");
    for (size_t i = 0; ret_audiences && aud && aud->type == JSON_ARRAY && i < aud->array.n; i++)
        str_list_push(a, ret_audiences, json_str(aud->array.v[i]));
    return 0;
}

/* ---- publishing ---- */

static void put_number(struct buf *b, const char *name, EVP_PKEY *pkey, const char *param)
{
    BIGNUM *n = NULL;
    unsigned char bytes[SIGNATURE_BYTES / 2];
    must(EVP_PKEY_get_bn_param(pkey, param, &n) == 1 &&
         BN_bn2binpad(n, bytes, sizeof bytes) == (int)sizeof bytes);
    BN_free(n);
    buf_fmt(b, ",\"%s\":\"", name);
    base64url_encode(b, str_n((const char *)bytes, sizeof bytes));
    buf_c(b, '"');
}

struct str token_jwks(struct server *s, struct arena *a)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(16));
    buf_z(&b, "{\"keys\":[{\"use\":\"sig\",\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":");
    json_put_string(&b, s->token_key->kid);
    buf_z(&b, ",\"alg\":\"ES256\"");
    put_number(&b, "x", s->token_key->pkey, OSSL_PKEY_PARAM_EC_PUB_X);
    put_number(&b, "y", s->token_key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y);
    buf_z(&b, "}]}");
    return buf_to_arena(&b, a);
}

struct str token_discovery(struct server *s, struct arena *a)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    buf_z(&b, "{\"issuer\":");
    json_put_string(&b, s->config.issuer);
    buf_z(&b, ",\"jwks_uri\":");
    json_put_string(&b, arena_fmt(a, "https://%.*s:%u/openid/v1/jwks",
                                  STR_ARG(s->config.advertise_address), s->config.advertise_port));
    buf_z(&b,
          ",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"],"
          "\"id_token_signing_alg_values_supported\":[\"ES256\"]}");
    return buf_to_arena(&b, a);
}
