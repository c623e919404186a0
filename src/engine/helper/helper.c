/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's helper: a program of a few kilobytes without a C library, because one of its two
 * jobs is to sit in a pod for as long as the pod lives.
 *
 *   helper pause PIDFILE
 *       Starts a process that is init of a new PID namespace, writes its pid to PIDFILE and ends.
 *       That process does nothing but live; the kernel reaps orphans for it, since it ignores
 *       SIGCHLD.
 *
 *   helper runtime FLAGS PROGRAM ARG...
 *       Becomes PROGRAM, an OCI runtime. FLAGS are letters, "-" stands for none:
 *
 *       u   In a mount namespace of its own, where /sys/fs/cgroup/unified is not mounted. crun
 *           refuses hosts that have cgroup v1 with an empty v2 beside it; without that mount it
 *           sees a plain v1 host. Only /sys/fs/cgroup is cut off from mount propagation, so that
 *           volumes with bidirectional propagation work as ever.
 *       r   An argument "create" becomes "run --detach": conmon knows only create, and one
 *           execution of the runtime less is a tenth of a container's start.
 *
 * The program is built into barque and written out to <root>/bin/helper.
 */
#include <asm/unistd.h>

#define CLONE_NEWNS  0x00020000
#define CLONE_NEWPID 0x20000000
#define MS_PRIVATE   (1 << 18)
#define MNT_DETACH   2
#define SIGCHLD      17
#define SIGTERM      15
#define SIGINT       2
#define O_FLAGS      (01 | 0100 | 01000 | 02000000) /* write, create, truncate, close on exec */
#define AT_FDCWD     (-100)
#define PR_SET_NAME  15
#define ARGS_MAX     64

static long call(long n, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__)
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#elif defined(__riscv) && __riscv_xlen == 64
    register long a7 __asm__("a7") = n;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
    return a0;
#else
#error "the helper is not ported to this processor: add its system call and entry here"
#endif
}

__attribute__((noreturn)) static void quit(int status)
{
    for (;;)
        call(__NR_exit_group, status, 0, 0, 0, 0);
}

static long length(const char *s)
{
    long n = 0;
    while (s[n])
        n++;
    return n;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

__attribute__((noreturn)) static void fail(const char *what)
{
    call(__NR_write, 2, (long)"helper: ", 8, 0, 0);
    call(__NR_write, 2, (long)what, length(what), 0, 0);
    call(__NR_write, 2, (long)"\n", 1, 0, 0);
    quit(1);
}

struct action { /* the kernel's struct sigaction */
    void (*handler)(int);
    unsigned long flags;
#if defined(__x86_64__)
    void (*restorer)(void);
#endif
    unsigned long mask;
};

static void on_term(int sig)
{
    quit(128 + sig);
}

static void handle(int sig, void (*handler)(int))
{
    struct action act = {0};
    act.handler = handler;
#if defined(__x86_64__)
    act.flags = 0x04000000; /* SA_RESTORER: asked for, though no handler here returns */
#endif
    call(__NR_rt_sigaction, sig, (long)&act, 0, sizeof act.mask, 0);
}

__attribute__((noreturn)) static void pause_forever(void)
{
    handle(SIGCHLD, (void (*)(int))1); /* ignore: children are reaped by the kernel */
    handle(SIGTERM, on_term);
    handle(SIGINT, on_term);
    call(__NR_setsid, 0, 0, 0, 0, 0);
    call(__NR_prctl, PR_SET_NAME, (long)"pause", 0, 0, 0);
    call(__NR_close_range, 0, ~0u, 0, 0, 0);
    for (;;)
        call(__NR_ppoll, 0, 0, 0, 0, 0);
}

static void write_pid(const char *path, long pid)
{
    char text[24];
    int at = sizeof text;
    text[--at] = '\n';
    do
        text[--at] = (char)('0' + pid % 10);
    while (pid /= 10);
    long fd = call(__NR_openat, AT_FDCWD, (long)path, O_FLAGS, 0600, 0);
    if (fd < 0 || call(__NR_write, fd, (long)(text + at), (long)sizeof text - at, 0, 0) < 0)
        fail("cannot write the pid file");
}

static void start_pause(const char *pid_file)
{
    if (call(__NR_unshare, CLONE_NEWPID, 0, 0, 0, 0) < 0)
        fail("cannot make a PID namespace");
    long pid = call(__NR_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid < 0)
        fail("cannot fork");
    if (pid == 0)
        pause_forever();
    write_pid(pid_file, pid);
    quit(0);
}

static int has(const char *flags, char flag)
{
    while (*flags && *flags != flag)
        flags++;
    return *flags == flag;
}

static void leave_unified(void)
{
    if (call(__NR_unshare, CLONE_NEWNS, 0, 0, 0, 0) < 0)
        fail("cannot make a mount namespace");
    /* nothing there to unmount is fine */
    call(__NR_mount, 0, (long)"/sys/fs/cgroup", 0, MS_PRIVATE, 0);
    call(__NR_umount2, (long)"/sys/fs/cgroup/unified", MNT_DETACH, 0, 0, 0);
}

static void become_runtime(const char *flags, char **from, char **env)
{
    static char run[] = "run", detach[] = "--detach";
    char *argv[ARGS_MAX + 2];
    int n = 0, replace = has(flags, 'r');
    if (has(flags, 'u'))
        leave_unified();
    for (; *from; from++) {
        if (n >= ARGS_MAX)
            fail("too many arguments");
        if (replace && same(*from, "create")) {
            argv[n++] = run;
            argv[n++] = detach;
            replace = 0;
        } else {
            argv[n++] = *from;
        }
    }
    argv[n] = 0;
    call(__NR_execve, (long)argv[0], (long)argv, (long)env, 0, 0);
    fail("cannot execute the OCI runtime");
}

/* The kernel's start-up stack: argc, argv[], NULL, envp[]. */
__attribute__((noreturn, used)) void helper_main(long *stack);
void helper_main(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1);
    if (argc == 3 && same(argv[1], "pause"))
        start_pause(argv[2]);
    if (argc >= 4 && same(argv[1], "runtime"))
        become_runtime(argv[2], argv + 3, argv + argc + 1);
    fail("usage: helper pause PIDFILE | helper runtime FLAGS PROGRAM ARG...");
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n"
        " call helper_main\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x29, #0\n mov x0, sp\n bl helper_main\n");
#elif defined(__riscv)
__asm__(".globl _start\n_start: li s0, 0\n mv a0, sp\n andi sp, sp, -16\n call helper_main\n");
#endif
