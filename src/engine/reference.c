/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/reference.h"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool digest_valid(struct str s)
{
    if (s.n != DIGEST_TEXT_LEN || !str_skip(&s, STR("sha256:")))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_hex(s.p[i]))
            return false;
    return true;
}

struct str digest_hex(struct str digest)
{
    must(digest_valid(digest));
    return str_sub(digest, 7, digest.n);
}

/* Length of the separator at s between two runs of a path component: '.', '_', "__" or any number
 * of '-'. */
static size_t separator(struct str s)
{
    if (s.p[0] == '.')
        return 1;
    if (s.p[0] == '_')
        return s.n > 1 && s.p[1] == '_' ? 2 : 1;
    size_t n = 0;
    while (n < s.n && s.p[n] == '-')
        n++;
    return n;
}

static bool component_valid(struct str s)
{
    size_t at = 0;
    for (;;) {
        size_t run = at;
        while (at < s.n && is_lower_alnum(s.p[at]))
            at++;
        if (at == run)
            return false;
        if (at == s.n)
            return true;
        size_t sep = separator(str_sub(s, at, s.n));
        if (!sep)
            return false;
        at += sep;
    }
}

static bool path_valid(struct str path)
{
    struct str part;
    while (str_next(&path, '/', &part))
        if (!component_valid(part))
            return false;
    return true;
}

static bool host_label_valid(struct str s)
{
    if (!s.n || s.p[0] == '-' || s.p[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_lower_alnum(s.p[i]) && !is_upper(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

static bool ipv6_valid(struct str s)
{
    if (!s.n)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_hex(s.p[i]) && !(s.p[i] >= 'A' && s.p[i] <= 'F') && s.p[i] != ':')
            return false;
    return true;
}

static bool port_valid(struct str s)
{
    uint64_t port;
    return s.n && s.n <= 5 && s.p[0] != '-' && str_to_u64(s, &port) && port <= 65535;
}

static bool domain_valid(struct str domain)
{
    if (str_skip(&domain, STR("["))) {
        struct str address, rest;
        return str_cut(domain, ']', &address, &rest) && ipv6_valid(address) &&
               (!rest.n || (str_skip(&rest, STR(":")) && port_valid(rest)));
    }
    struct str host, port, label;
    if (str_cut(domain, ':', &host, &port) && !port_valid(port))
        return false;
    while (str_next(&host, '.', &label))
        if (!host_label_valid(label))
            return false;
    return true;
}

static bool tag_valid(struct str s)
{
    if (!s.n || s.n > REFERENCE_TAG_MAX || s.p[0] == '.' || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_lower_alnum(s.p[i]) && !is_upper(s.p[i]) && s.p[i] != '_' && s.p[i] != '.' &&
            s.p[i] != '-')
            return false;
    return true;
}

/* Is the part before the first slash a domain, not the first component of a path on Docker Hub? */
static bool looks_like_domain(struct str s)
{
    if (str_index(s, '.') >= 0 || str_index(s, ':') >= 0 || str_eq(s, STR("localhost")))
        return true;
    for (size_t i = 0; i < s.n; i++)
        if (is_upper(s.p[i]))
            return true;
    return false;
}

/* Splits name into domain and path, with Docker Hub's defaults. */
static void split_name(struct arena *a, struct str name, struct reference *r)
{
    struct str head, tail;
    if (str_cut(name, '/', &head, &tail) && looks_like_domain(head)) {
        r->domain = head;
        r->path = tail;
    } else {
        r->domain = STR("docker.io");
        r->path = name;
    }
    if (str_eq(r->domain, STR("index.docker.io")))
        r->domain = STR("docker.io");
    if (str_eq(r->domain, STR("docker.io")) && str_index(r->path, '/') < 0)
        r->path = arena_fmt(a, "library/%.*s", STR_ARG(r->path));
}

static int refuse(struct str text, const char *why, struct err *e)
{
    return err_set(e, ERR_BAD_REQUEST, "couldn't parse image name \"%.*s\": %s",
                   (int)MIN(text.n, (size_t)512), text.p ? text.p : "", why);
}

int reference_parse(struct arena *a, struct str text, struct reference *ret, struct err *e)
{
    *ret = (struct reference){0};
    if (text.n > REFERENCE_NAME_MAX + REFERENCE_TAG_MAX + DIGEST_TEXT_LEN + 2)
        return refuse(text, "the name is too long", e);
    struct str name = arena_str(a, text), digest;
    if (str_cut(name, '@', &name, &digest)) {
        if (!digest_valid(digest))
            return refuse(text, "invalid digest", e);
        ret->digest = digest;
    }
    ptrdiff_t colon = str_rindex(name, ':');
    if (colon >= 0 && str_index(str_sub(name, (size_t)colon, name.n), '/') < 0) {
        ret->tag = str_sub(name, (size_t)colon + 1, name.n);
        name = str_sub(name, 0, (size_t)colon);
        if (!tag_valid(ret->tag))
            return refuse(text, "invalid tag", e);
    }
    split_name(a, name, ret);
    if (!ret->path.n || !path_valid(ret->path) || !domain_valid(ret->domain))
        return refuse(text, "invalid reference format", e);
    if (ret->domain.n + 1 + ret->path.n > REFERENCE_NAME_MAX)
        return refuse(text, "the name is longer than 255 characters", e);
    if (!ret->tag.n && !ret->digest.n)
        ret->tag = STR("latest");
    return 0;
}

struct str reference_name(struct arena *a, const struct reference *r)
{
    return arena_fmt(a, "%.*s/%.*s", STR_ARG(r->domain), STR_ARG(r->path));
}

struct str reference_text(struct arena *a, const struct reference *r)
{
    struct str name = reference_name(a, r);
    if (r->digest.n)
        return arena_fmt(a, "%.*s@%.*s", STR_ARG(name), STR_ARG(r->digest));
    return arena_fmt(a, "%.*s:%.*s", STR_ARG(name), STR_ARG(r->tag));
}
