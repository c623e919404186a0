/* SPDX-License-Identifier: Apache-2.0 */
/* test.h: what every unit test includes first: cmocka and assertions over struct str. */
#ifndef BARQUE_BASE_TEST_H
#define BARQUE_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/base.h"
#include "base/str.h"

#define assert_str(s, z)                                                                          \
    do {                                                                                          \
        struct str s_ = (s);                                                                      \
        const char *z_ = (z);                                                                     \
        if (!str_eqz(s_, z_))                                                                     \
            fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(s_), z_);                               \
    } while (0)

/* The whole test program: TESTS(cmocka_unit_test(a), cmocka_unit_test(b)) */
#define TESTS(...)                                                                                \
    int main(void)                                                                                \
    {                                                                                             \
        const struct CMUnitTest tests_[] = {__VA_ARGS__};                                         \
        return cmocka_run_group_tests(tests_, NULL, NULL);                                        \
    }

#endif
