/* SPDX-License-Identifier: Apache-2.0 */
/* Names and numbers of signals, as CRI and images spell them. */
#include <signal.h>

#include "engine/local.h"

/* CRI's numbering is its own: alphabetical. */
static const struct {
    int32_t cri;
    int number;
    const char *name;
} table[] = {
#define S(name)                                                                                    \
    {                                                                                              \
        CRIV1_SIG##name, SIG##name, #name                                                          \
    }
    S(ABRT),
    S(ALRM),
    S(BUS),
    S(CHLD),
    S(CONT),
    S(FPE),
    S(HUP),
    S(ILL),
    S(INT),
    S(IO),
    S(KILL),
    S(PIPE),
    S(PROF),
    S(PWR),
    S(QUIT),
    S(SEGV),
    S(STKFLT),
    S(STOP),
    S(SYS),
    S(TERM),
    S(TRAP),
    S(TSTP),
    S(TTIN),
    S(TTOU),
    S(URG),
    S(USR1),
    S(USR2),
    S(VTALRM),
    S(WINCH),
    S(XCPU),
    S(XFSZ),
#undef S
    {CRIV1_SIGCLD, SIGCHLD, "CLD"},
    {CRIV1_SIGIOT, SIGABRT, "IOT"},
    {CRIV1_SIGPOLL, SIGIO, "POLL"},
};

enum { RTMIN_KERNEL = 34, RTMAX_KERNEL = 64 };

int signal_of_cri(int32_t signal)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].cri == signal)
            return table[i].number;
    if (signal >= CRIV1_SIGRTMIN && signal <= CRIV1_SIGRTMAX)
        return RTMIN_KERNEL + (signal - CRIV1_SIGRTMIN);
    return 0;
}

int32_t signal_to_cri(int number)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].number == number)
            return table[i].cri;
    if (number >= RTMIN_KERNEL && number <= RTMAX_KERNEL)
        return CRIV1_SIGRTMIN + (number - RTMIN_KERNEL);
    return CRIV1_RUNTIME_DEFAULT;
}

/* "RTMIN+3", "RTMAX-1" */
static int realtime(struct str name)
{
    int64_t offset = 0;
    if (str_skip(&name, STR("RTMIN"))) {
        if (name.n && (!str_skip(&name, STR("+")) || !str_to_i64(name, &offset)))
            return 0;
        return offset >= 0 && offset <= 30 ? RTMIN_KERNEL + (int)offset : 0;
    }
    if (!str_skip(&name, STR("RTMAX")) || (name.n && !str_to_i64(name, &offset)))
        return 0;
    return offset <= 0 && offset >= -30 ? RTMAX_KERNEL + (int)offset : 0;
}

int signal_of_name(struct str name)
{
    int64_t number;
    if (str_to_i64(name, &number))
        return number >= 1 && number <= RTMAX_KERNEL ? (int)number : 0;
    if (name.n > 3 && str_case_eq(str_sub(name, 0, 3), STR("SIG")))
        name = str_sub(name, 3, name.n);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_case_eq(name, str_z(table[i].name)))
            return table[i].number;
    return realtime(name);
}
