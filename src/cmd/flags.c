/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

static bool bad(const struct command *c, const char *flag, const char *why)
{
    fprintf(stderr, "barque %s: %s: %s\n\n%s", c->name, flag, why, c->help);
    return false;
}

static const struct flag *find(const struct flag *flags, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eqz(name, flags[i].name))
            return &flags[i];
    return NULL;
}

static bool take_value(const struct command *c, const struct flag *f, const char *value)
{
    if (f->text) {
        *f->text = value;
        return true;
    }
    int64_t v;
    if (!str_to_i64(str_z(value), &v) || v < f->min || v > f->max)
        return bad(c, f->name, "not a number in its range");
    *f->number = v;
    return true;
}

bool flags_parse(const struct command *c, int *argc, char **argv, const struct flag *flags,
                 size_t n_flags)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        struct str arg = str_z(argv[i]), name, value;
        if (!str_skip(&arg, STR("--"))) {
            argv[kept++] = argv[i];
            continue;
        }
        if (str_eq(arg, STR("help"))) {
            fputs(c->help, stdout);
            exit(0);
        }
        bool joined = str_cut(arg, '=', &name, &value);
        const struct flag *f = find(flags, n_flags, name);
        if (!f)
            return bad(c, argv[i], "unknown flag");
        if (f->on) {
            if (joined)
                return bad(c, argv[i], "takes no value");
            *f->on = true;
            continue;
        }
        if (!joined && i + 1 == *argc)
            return bad(c, argv[i], "needs a value");
        if (!take_value(c, f, joined ? value.p : argv[++i]))
            return false;
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

int complain(const struct err *e, const char *hint)
{
    fprintf(stderr, "barque: %.*s\n", STR_ARG(e->message));
    if (hint)
        fprintf(stderr, "  %s\n", hint);
    return 1;
}
