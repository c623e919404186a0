/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds of the real loop: timers, tasks, posts from threads, what ends loop_run. */
#include "base/test.h"

#include <pthread.h>
#include <sys/resource.h>

#include "loop/impl.h"

static struct arena arena = ARENA_INIT;

static struct loop *new_loop(void)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = loop_new(&e);
    assert_non_null(l);
    return l;
}

/* What ran, one letter each. */
static struct {
    char text[64];
    size_t n;
} trace;

static void note(char c)
{
    assert_true(trace.n < sizeof trace.text - 1);
    trace.text[trace.n++] = c;
    trace.text[trace.n] = 0;
}

static void expect_trace(const char *want)
{
    assert_string_equal(trace.text, want);
    trace.n = 0;
    trace.text[0] = 0;
}

struct letter_timer {
    struct timer t;
    char letter;
};

static void note_timer(struct timer *t)
{
    note(CONTAINER_OF(t, struct letter_timer, t)->letter);
}

static void timers_run_in_order_of_deadline_then_start(void **state)
{
    struct loop *l = new_loop();
    struct letter_timer a = {.letter = 'a'}, b = {.letter = 'b'}, c = {.letter = 'c'},
                        d = {.letter = 'd'}, e = {.letter = 'e'};
    timer_start(l, &a.t, 20, note_timer);
    timer_start(l, &b.t, 5, note_timer);
    timer_start(l, &c.t, 0, note_timer);
    timer_start(l, &d.t, 5, note_timer);
    timer_start(l, &e.t, 1, note_timer);
    timer_stop(&e.t);
    timer_stop(&e.t);
    assert_false(timer_active(&e.t));
    assert_true(timer_active(&a.t));
    timer_start(l, &b.t, 5, note_timer); /* moved behind d */
    int64_t before = loop_now_ns(l);
    loop_run(l);
    expect_trace("cdba");
    assert_true(loop_now_ns(l) - before >= 19 * 1000000);
    assert_false(timer_active(&a.t));
    loop_free(l);
}

static int rounds;

static void again(struct timer *t)
{
    note('t');
    if (++rounds < 3)
        timer_start(t->loop, t, 0, again);
}

static void task_between(struct task *t)
{
    note('k');
    if (rounds < 3)
        loop_defer(t->loop, t, task_between);
}

/* What is added with no delay waits for the next round, so that neither starves the other. */
static void zero_delays_alternate(void **state)
{
    struct loop *l = new_loop();
    struct timer t = {0};
    struct task k = {0};
    rounds = 0;
    timer_start(l, &t, 0, again);
    loop_defer(l, &k, task_between);
    loop_run(l);
    expect_trace("tktktk");
    loop_free(l);
}

static void never_run(struct task *t)
{
    fail_msg("a cancelled task ran");
}

static void note_once(struct task *t)
{
    note('o');
}

static void tasks_are_added_once_and_cancelled(void **state)
{
    struct loop *l = new_loop();
    struct task a = {0}, b = {0}, c = {0};
    task_cancel(&c);
    loop_defer(l, &a, never_run);
    loop_defer(l, &b, note_once);
    loop_defer(l, &b, note_once);
    loop_post(l, &c, never_run);
    task_cancel(&a);
    task_cancel(&c);
    loop_run(l);
    expect_trace("o");
    loop_free(l);
}

static void stop_it(struct task *t)
{
    note('s');
    loop_stop(t->loop);
}

static void stop_leaves_the_rest_for_the_next_run(void **state)
{
    struct loop *l = new_loop();
    struct task a = {0}, b = {0};
    struct letter_timer t = {.letter = 't'};
    loop_defer(l, &a, stop_it);
    loop_defer(l, &b, note_once);
    timer_start(l, &t.t, 0, note_timer);
    loop_run(l);
    expect_trace("ts");
    loop_run(l);
    expect_trace("o");
    loop_free(l);
}

/* ---- posting ---- */

enum { POSTS = 200 };

static struct poster {
    struct loop *l;
    struct task tasks[POSTS];
    int next; /* expected by the loop: posts arrive in order */
    struct timer keep;
} poster;

static void posted(struct task *t)
{
    assert_ptr_equal(t, &poster.tasks[poster.next]);
    if (++poster.next == POSTS)
        timer_stop(&poster.keep);
}

static void *post_all(void *arg)
{
    for (int i = 0; i < POSTS; i++) {
        loop_post(poster.l, &poster.tasks[i], posted);
        if (i % 50 == 0)
            usleep(2000);
    }
    return NULL;
}

static void too_late(struct timer *t)
{
    fail_msg("posted tasks did not arrive");
}

static void posts_from_a_thread_wake_the_loop(void **state)
{
    poster = (struct poster){.l = new_loop()};
    timer_start(poster.l, &poster.keep, 4000, too_late);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, post_all, NULL), 0);
    loop_run(poster.l);
    assert_int_equal(poster.next, POSTS);
    pthread_join(thread, NULL);
    loop_free(poster.l);
}

/* ---- idleness ---- */

static long wakeups(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nvcsw;
}

static long idle_wakeups;

static void idle_ended(struct timer *t)
{
    idle_wakeups = wakeups() - idle_wakeups;
}

static void begin_idle(struct timer *t)
{
    idle_wakeups = wakeups();
    timer_start(t->loop, t, 300, idle_ended);
}

static void an_idle_loop_sleeps_through(void **state)
{
    struct loop *l = new_loop();
    struct timer t = {0}, stopped = {0};
    timer_start(l, &t, 0, begin_idle);
    timer_start(l, &stopped, 20, too_late);
    timer_stop(&stopped);
    loop_run(l);
    assert_in_range(idle_wakeups, 0, 1);
    loop_free(l);
}

static void clocks_and_chance(void **state)
{
    struct loop *l = new_loop();
    assert_true(loop_random_u64(l) != loop_random_u64(l));
    assert_true(loop_wall(l).s > 1600000000);
    int64_t a = loop_now_ns(l);
    assert_true(loop_now_ns(l) >= a);
    assert_in_range(a / 1000000 - loop_now_ms(l) + 5, 0, 1000);
    loop_free(l);
}

/* ---- addresses ---- */

static void round_trip(const char *text, enum address_scheme scheme)
{
    struct address a;
    char out[128];
    assert_true(address_parse(str_z(text), &a));
    assert_int_equal(a.scheme, scheme);
    address_format(out, sizeof out, &a);
    assert_string_equal(out, text);
}

static void addresses_parse_and_print(void **state)
{
    round_trip("tcp:127.0.0.1:6443", ADDRESS_TCP);
    round_trip("tcp:[::1]:0", ADDRESS_TCP);
    round_trip("udp:10.96.0.10:53", ADDRESS_UDP);
    round_trip("unix:/run/x.sock", ADDRESS_UNIX);
    static const char *const bad[] = {
        "",           "tcp:",         "tcp:1.2.3.4",    "tcp:1.2.3.4:",   "tcp:1.2.3.4:65536",
        "tcp:::1:80", "tcp:[::1]",    "tcp:name:80",    "unix:",          "tcp:[::1:80",
        "1.2.3.4:80", "tcp:1.2.3:80", "tcp:1.2.3.4:-1", "http:1.2.3.4:80"};
    struct address a;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(address_parse(str_z(bad[i]), &a));
    char longest[200] = "unix:/";
    memset(longest + 6, 'x', sizeof longest - 7);
    assert_false(address_parse(str_z(longest), &a));
    assert_false(address_parse(str_n("unix:/a\0b", 9), &a));
}

TESTS(cmocka_unit_test(timers_run_in_order_of_deadline_then_start),
      cmocka_unit_test(zero_delays_alternate), cmocka_unit_test(tasks_are_added_once_and_cancelled),
      cmocka_unit_test(stop_leaves_the_rest_for_the_next_run),
      cmocka_unit_test(posts_from_a_thread_wake_the_loop),
      cmocka_unit_test(an_idle_loop_sleeps_through), cmocka_unit_test(clocks_and_chance),
      cmocka_unit_test(addresses_parse_and_print))
