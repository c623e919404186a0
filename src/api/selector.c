/* SPDX-License-Identifier: Apache-2.0 */
/* Label selectors: the string form, the object form, matching. */
#include "api/selector.h"

#include "api/validate.h"

/* ---- tokens ---- */

enum token {
    TOK_END,
    TOK_CLOSE,
    TOK_COMMA,
    TOK_NOT,
    TOK_DOUBLE_EQUALS,
    TOK_EQUALS,
    TOK_GREATER,
    TOK_IDENTIFIER,
    TOK_IN,
    TOK_LESS,
    TOK_NOT_EQUALS,
    TOK_NOT_IN,
    TOK_OPEN,
};

struct lexer {
    struct str rest;
    enum token tok; /* the token ahead */
    struct str text;
    struct arena *arena;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_symbol(char c)
{
    return c && strchr("=!(),><", c);
}

static enum token symbol(struct str s, size_t *ret_n)
{
    bool then_equals = s.n > 1 && s.p[1] == '=';
    *ret_n = then_equals && (s.p[0] == '=' || s.p[0] == '!') ? 2 : 1;
    switch (s.p[0]) {
    case '=': return then_equals ? TOK_DOUBLE_EQUALS : TOK_EQUALS;
    case '!': return then_equals ? TOK_NOT_EQUALS : TOK_NOT;
    case '(': return TOK_OPEN;
    case ')': return TOK_CLOSE;
    case ',': return TOK_COMMA;
    case '>': return TOK_GREATER;
    default: return TOK_LESS;
    }
}

/* Reads the next token into tok and text. A NUL ends the text, as upstream. */
static void advance(struct lexer *l)
{
    size_t n = 0;
    while (l->rest.n && is_blank(l->rest.p[0]))
        l->rest = str_sub(l->rest, 1, l->rest.n);
    if (!l->rest.n || !l->rest.p[0]) {
        l->tok = TOK_END;
        l->text = STR("");
        return;
    }
    if (is_symbol(l->rest.p[0])) {
        l->tok = symbol(l->rest, &n);
    } else {
        while (n < l->rest.n && l->rest.p[n] && !is_symbol(l->rest.p[n]) && !is_blank(l->rest.p[n]))
            n++;
        struct str word = str_sub(l->rest, 0, n);
        l->tok = str_eq(word, STR("in"))      ? TOK_IN
                 : str_eq(word, STR("notin")) ? TOK_NOT_IN
                                              : TOK_IDENTIFIER;
    }
    l->text = str_sub(l->rest, 0, n);
    l->rest = str_sub(l->rest, n, l->rest.n);
}

/* The token ahead where names are expected: "in" and "notin" are names there. */
static enum token peek_name(const struct lexer *l)
{
    return l->tok == TOK_IN || l->tok == TOK_NOT_IN ? TOK_IDENTIFIER : l->tok;
}

static enum token take_name(struct lexer *l, struct str *ret_text)
{
    enum token tok = peek_name(l);
    *ret_text = l->text;
    advance(l);
    return tok;
}

/* ---- requirements ---- */

static void sort_values(struct str_list *l)
{
    size_t n = 0;
    if (l->n)
        qsort(l->v, l->n, sizeof *l->v, str_qsort);
    for (size_t i = 0; i < l->n; i++)
        if (!n || !str_eq(l->v[i], l->v[n - 1]))
            l->v[n++] = l->v[i];
    l->n = n;
}

/* The faults of one format on one line, as the parser reports them. */
static void check_joined(struct validation *v, const struct field_path *p, struct str s,
                         enum format f)
{
    const char *faults[FORMAT_FAULTS_MAX];
    CLEANUP(buf_fini) struct buf b = BUF_INIT(FAULT_TEXT_MAX);
    size_t n = format_faults(f, s, faults);
    for (size_t i = 0; i < n; i++)
        buf_fmt(&b, "%s%s", i ? "; " : "", faults[i]);
    if (n)
        fault_invalid(v, p, bad_str(s), "%.*s", STR_ARG(buf_view(&b)));
}

/* Sets *e from the causes found, after "unable to parse requirement: ". */
static int requirement_error(struct validation *v, struct err *e)
{
    struct str text = validation_text(v);
    return err_set(e, ERR_BAD_REQUEST, "unable to parse requirement: %.*s", STR_ARG(text));
}

static int check_requirement(struct lexer *l, struct label_requirement *r, struct err *e)
{
    struct err found = ERR_INIT(l->arena);
    struct validation v = {.arena = l->arena, .err = &found};
    const struct field_path *values = AT(NULL, "values");
    check_joined(&v, AT(NULL, "key"), r->key, FORMAT_LABEL_KEY);
    if ((r->op == LABEL_GREATER || r->op == LABEL_LESS) && r->values.n &&
        !str_to_i64(r->values.v[0], &r->number))
        fault_invalid(&v, AT_INDEX(values, 0), bad_str(r->values.v[0]),
                      "for 'Gt', 'Lt' operators, the value must be an integer");
    for (size_t i = 0; i < r->values.n; i++)
        check_joined(&v, AT_KEY(AT_INDEX(values, i), r->key), r->values.v[i], FORMAT_LABEL_VALUE);
    return v.faults ? requirement_error(&v, e) : 0;
}

#define UNEXPECTED(e, text, what)                                                                  \
    err_set((e), ERR_BAD_REQUEST, "unable to parse requirement: found '%.*s', expected: " what,    \
            STR_ARG(text))

/* "a,b)" after the opening parenthesis: identifiers, empty ones allowed. */
static int parse_identifiers(struct lexer *l, struct str_list *ret, struct err *e)
{
    struct str text;
    do {
        enum token tok = take_name(l, &text), next = peek_name(l);
        if (tok == TOK_IDENTIFIER) {
            str_list_push(l->arena, ret, text);
            if (next != TOK_COMMA && next != TOK_CLOSE)
                return UNEXPECTED(e, l->text, "',' or ')'");
        } else if (tok == TOK_COMMA) {
            if (!ret->n || next == TOK_CLOSE || next == TOK_COMMA)
                str_list_push(l->arena, ret, STR(""));
        } else {
            return UNEXPECTED(e, text, "',', or identifier");
        }
    } while (peek_name(l) != TOK_CLOSE);
    return 0;
}

/* "(a,b)" */
static int parse_values(struct lexer *l, struct str_list *ret, struct err *e)
{
    struct str text;
    if (take_name(l, &text) != TOK_OPEN)
        return err_set(e, ERR_BAD_REQUEST,
                       "unable to parse requirement: found '%.*s' expected: '('", STR_ARG(text));
    if (peek_name(l) == TOK_CLOSE) {
        str_list_push(l->arena, ret, STR(""));
    } else if (peek_name(l) == TOK_IDENTIFIER || peek_name(l) == TOK_COMMA) {
        int rc = parse_identifiers(l, ret, e);
        if (rc < 0)
            return rc;
    } else {
        return UNEXPECTED(e, l->text, "',', ')' or identifier");
    }
    (void)take_name(l, &text); /* the closing parenthesis */
    sort_values(ret);
    return 0;
}

static int parse_exact_value(struct lexer *l, struct str_list *ret, struct err *e)
{
    struct str text = STR("");
    if (peek_name(l) != TOK_END && peek_name(l) != TOK_COMMA &&
        take_name(l, &text) != TOK_IDENTIFIER)
        return UNEXPECTED(e, text, "identifier");
    str_list_push(l->arena, ret, text);
    return 0;
}

static int parse_operator(struct lexer *l, struct label_requirement *r, struct err *e)
{
    struct str text = l->text;
    enum token tok = l->tok;
    advance(l);
    switch (tok) {
    case TOK_IN: r->op = LABEL_IN; return parse_values(l, &r->values, e);
    case TOK_NOT_IN: r->op = LABEL_NOT_IN; return parse_values(l, &r->values, e);
    case TOK_EQUALS:
    case TOK_DOUBLE_EQUALS: r->op = LABEL_IN; break;
    case TOK_NOT_EQUALS: r->op = LABEL_NOT_IN; break;
    case TOK_GREATER: r->op = LABEL_GREATER; break;
    case TOK_LESS: r->op = LABEL_LESS; break;
    case TOK_END:
    case TOK_CLOSE:
    case TOK_COMMA:
    case TOK_NOT:
    case TOK_IDENTIFIER:
    case TOK_OPEN: return UNEXPECTED(e, text, "in, notin, =, ==, !=, gt, lt");
    }
    r->exact = true;
    return parse_exact_value(l, &r->values, e);
}

static int parse_requirement(struct lexer *l, struct label_requirement *r, struct err *e)
{
    struct str text;
    struct err found = ERR_INIT(l->arena);
    struct validation v = {.arena = l->arena, .err = &found};
    enum token tok = take_name(l, &text);
    bool negated = tok == TOK_NOT;
    if (negated)
        tok = take_name(l, &text);
    if (tok != TOK_IDENTIFIER)
        return UNEXPECTED(e, text, "identifier");
    r->key = text;
    check_joined(&v, NULL, text, FORMAT_LABEL_KEY);
    if (v.faults)
        return requirement_error(&v, e);
    if (negated || peek_name(l) == TOK_END || peek_name(l) == TOK_COMMA) {
        r->op = negated ? LABEL_NOT_EXISTS : LABEL_EXISTS;
        return 0;
    }
    int rc = parse_operator(l, r, e);
    return rc < 0 ? rc : check_requirement(l, r, e);
}

/* Sorted by key, equal keys in the order of the text. */
static void sort_requirements(struct label_selector *s)
{
    for (size_t i = 1; i < s->n; i++) {
        struct label_requirement r = s->v[i];
        size_t at = i;
        for (; at && str_cmp(s->v[at - 1].key, r.key) > 0; at--)
            s->v[at] = s->v[at - 1];
        s->v[at] = r;
    }
}

int label_selector_parse(struct arena *a, struct str text, struct label_selector *ret,
                         struct err *e)
{
    struct lexer l = {.rest = text, .arena = a};
    struct label_selector s = {0};
    advance(&l);
    while (peek_name(&l) == TOK_IDENTIFIER || peek_name(&l) == TOK_NOT) {
        int rc = parse_requirement(&l, list_add(a, &s), e);
        if (rc < 0)
            return rc;
        struct str after;
        enum token tok = take_name(&l, &after);
        if (tok == TOK_END)
            break;
        if (tok != TOK_COMMA)
            return err_set(e, ERR_BAD_REQUEST, "found '%.*s', expected: ',' or 'end of string'",
                           STR_ARG(after));
        if (peek_name(&l) != TOK_IDENTIFIER && peek_name(&l) != TOK_NOT)
            return err_set(e, ERR_BAD_REQUEST, "found '%.*s', expected: identifier after ','",
                           STR_ARG(l.text));
    }
    if (peek_name(&l) != TOK_END)
        return err_set(e, ERR_BAD_REQUEST,
                       "found '%.*s', expected: !, identifier, or 'end of string'",
                       STR_ARG(l.text));
    sort_requirements(&s);
    *ret = s;
    return 0;
}

/* ---- the object forms ---- */

static bool op_from(struct str name, enum label_op *ret)
{
    static const char *const names[] = {
        [LABEL_IN] = "In",
        [LABEL_NOT_IN] = "NotIn",
        [LABEL_EXISTS] = "Exists",
        [LABEL_NOT_EXISTS] = "DoesNotExist",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_eqz(name, names[i]))
            continue;
        *ret = (enum label_op)i;
        return true;
    }
    return false;
}

void label_selector_from_map(struct arena *a, const struct str_map *m, struct label_selector *ret)
{
    *ret = (struct label_selector){0};
    for (size_t i = 0; i < m->n; i++) {
        struct label_requirement *r = list_add(a, ret);
        *r = (struct label_requirement){.key = m->v[i].key, .op = LABEL_IN, .exact = true};
        r->values = (struct str_list){&m->v[i].value, 1};
    }
}

int label_selector_from(struct arena *a, const struct metav1_label_selector *s,
                        struct label_selector *ret, struct err *e)
{
    if (!s) {
        *ret = (struct label_selector){.nothing = true};
        return 0;
    }
    label_selector_from_map(a, &s->match_labels, ret);
    for (size_t i = 0; i < s->match_expressions.n; i++) {
        const struct metav1_label_selector_requirement *from = &s->match_expressions.v[i];
        struct label_requirement *r = list_add(a, ret);
        r->key = from->key;
        if (!op_from(from->operator_, &r->op))
            return err_set(e, ERR_BAD_REQUEST, "%.*s is not a valid label selector operator",
                           STR_ARG(go_quote(a, from->operator_)));
        for (size_t j = 0; j < from->values.n; j++)
            str_list_push(a, &r->values, from->values.v[j]);
        sort_values(&r->values);
    }
    sort_requirements(ret);
    return 0;
}

/* ---- matching and printing ---- */

static bool requirement_match(const struct label_requirement *r, const struct str_map *labels)
{
    struct str value = str_map_get(labels, r->key);
    int64_t number;
    switch (r->op) {
    case LABEL_IN: return value.p && str_list_has(&r->values, value);
    case LABEL_NOT_IN: return !value.p || !str_list_has(&r->values, value);
    case LABEL_EXISTS: return value.p != NULL;
    case LABEL_NOT_EXISTS: return value.p == NULL;
    case LABEL_GREATER: return value.p && str_to_i64(value, &number) && number > r->number;
    case LABEL_LESS: return value.p && str_to_i64(value, &number) && number < r->number;
    }
    never("label operator");
}

bool label_selector_match(const struct label_selector *s, const struct str_map *labels)
{
    if (s->nothing)
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (!requirement_match(&s->v[i], labels))
            return false;
    return true;
}

static void put_requirement(struct buf *b, const struct label_requirement *r)
{
    static const char *const infix[] = {
        [LABEL_IN] = " in (",    [LABEL_NOT_IN] = " notin (", [LABEL_EXISTS] = "",
        [LABEL_NOT_EXISTS] = "", [LABEL_GREATER] = ">",       [LABEL_LESS] = "<",
    };
    bool set = (r->op == LABEL_IN || r->op == LABEL_NOT_IN) && !r->exact;
    buf_z(b, r->op == LABEL_NOT_EXISTS ? "!" : "");
    buf_str(b, r->key);
    if (r->exact && r->op == LABEL_IN)
        buf_c(b, '=');
    else if (r->exact && r->op == LABEL_NOT_IN)
        buf_z(b, "!=");
    else
        buf_z(b, infix[r->op]);
    for (size_t i = 0; i < r->values.n; i++) {
        buf_z(b, i ? "," : "");
        buf_str(b, r->values.v[i]);
    }
    buf_z(b, set ? ")" : "");
}

struct str label_selector_format(struct arena *a, const struct label_selector *s)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    for (size_t i = 0; i < s->n; i++) {
        buf_z(&b, i ? "," : "");
        put_requirement(&b, &s->v[i]);
    }
    return buf_to_arena(&b, a);
}

bool label_selector_exact(const struct label_selector *s, struct str key, struct str *ret_value)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct label_requirement *r = &s->v[i];
        if (!str_eq(r->key, key) || r->op != LABEL_IN || r->values.n != 1)
            continue;
        *ret_value = r->values.v[0];
        return true;
    }
    return false;
}
