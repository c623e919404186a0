/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/seccomp.h"

#include <linux/capability.h>

/* One blank-separated list for each topic; names that a processor does not have are skipped by
 * the runtime. */
static const char *const allowed[] = {
    /* files */
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 "
    "faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 "
    "fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr "
    "fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat "
    "getcwd getdents getdents64 getxattr getxattrat ioctl lchown lchown32 lgetxattr link linkat "
    "listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat "
    "lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe "
    "pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat "
    "readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr "
    "setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync "
    "sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat "
    "utimensat_time64 utimes vmsplice write writev",
    /* waiting for events */
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 "
    "io_setup io_submit _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select "
    "signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
    "timerfd_settime64",
    /* network; socket() itself is below */
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
    "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall "
    "socketpair",
    /* memory */
    "brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock "
    "mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc "
    "pkey_free pkey_mprotect process_mrelease remap_file_pages",
    /* processes, users, signals */
    "alarm capget capset execve execveat exit exit_group fork getegid getegid32 geteuid geteuid32 "
    "getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid getpriority "
    "getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 "
    "ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self "
    "pause pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace "
    "restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 "
    "setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 "
    "setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid "
    "setuid32 sigaltstack sigprocmask sigreturn tgkill tkill ugetrlimit vfork wait4 waitid "
    "waitpid",
    /* threads and locks */
    "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list "
    "get_thread_area getcpu set_robust_list set_thread_area set_tid_address",
    /* System V and POSIX IPC */
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
    "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop "
    "semtimedop_time64 shmat shmctl shmdt shmget",
    /* time and the system */
    "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 getrandom gettimeofday nanosleep "
    "sysinfo time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
    "timer_settime timer_settime64 times uname",
    /* particular to a processor */
    "arch_prctl arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush modify_ldt "
    "riscv_flush_icache riscv_hwprobe s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr "
    "set_tls sync_file_range2 uretprobe",
};

/* What a capability makes legitimate. */
static const struct {
    int capability;
    const char *names;
} by_capability[] = {
    {CAP_DAC_READ_SEARCH, "open_by_handle_at"},
    {CAP_SYS_ADMIN, "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
                    "mount mount_setattr move_mount open_tree perf_event_open quotactl "
                    "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"},
    {CAP_SYS_BOOT, "reboot"},
    {CAP_SYS_CHROOT, "chroot"},
    {CAP_SYS_MODULE, "delete_module finit_module init_module"},
    {CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {CAP_SYS_PACCT, "acct"},
    {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise"},
    {CAP_SYS_RAWIO, "ioperm iopl"},
    {CAP_SYS_TIME, "clock_settime clock_settime64 settimeofday stime"},
    {CAP_SYS_TTY_CONFIG, "vhangup"},
    {CAP_SYSLOG, "syslog"},
    {CAP_BPF, "bpf"},
    {CAP_PERFMON, "perf_event_open"},
};

static void put_names(struct buf *b, const char *names)
{
    struct str rest = str_z(names), name;
    bool first = true;
    while (str_next(&rest, ' ', &name)) {
        buf_fmt(b, "%s\"%.*s\"", first ? "" : ",", STR_ARG(name));
        first = false;
    }
}

static void put_rule(struct buf *b, const char *names, const char *more)
{
    buf_z(b, ",{\"names\":[");
    put_names(b, names);
    buf_fmt(b, "],\"action\":\"SCMP_ACT_ALLOW\"%s}", more);
}

static void put_argument(struct buf *b, const char *name, unsigned index, uint64_t value,
                         const char *op)
{
    char args[128];
    snprintf(args, sizeof args, ",\"args\":[{\"index\":%u,\"value\":%llu,\"op\":\"%s\"}]", index,
             (unsigned long long)value, op);
    put_rule(b, name, args);
}

static const char architectures[] =
#if defined(__x86_64__)
    "[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]";
#elif defined(__aarch64__)
    "[\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_ARM\"]";
#else
    "[]"; /* the runtime's own */
#endif

/* clone without any flag that makes a namespace; clone3, whose flags a filter cannot see, looks
 * absent, and C libraries fall back to clone. */
static void put_clone(struct buf *b)
{
#if defined(__s390x__)
    const unsigned flags_at = 1;
#else
    const unsigned flags_at = 0;
#endif
    buf_fmt(b,
            ",{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":%u,"
            "\"value\":2114060288,\"valueTwo\":0,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}"
            ",{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}",
            flags_at);
}

void seccomp_default(struct buf *b, uint64_t capabilities)
{
    static const uint64_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};
    enum { AF_VSOCK_NUMBER = 40 };
    buf_fmt(b, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,\"architectures\":%s,",
            architectures);
    buf_z(b, "\"syscalls\":[{\"names\":[");
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        buf_z(b, i ? "," : "");
        put_names(b, allowed[i]);
    }
    buf_z(b, "],\"action\":\"SCMP_ACT_ALLOW\"}");
    for (size_t i = 0; i < ARRAY_LEN(personalities); i++)
        put_argument(b, "personality", 0, personalities[i], "SCMP_CMP_EQ");
    put_argument(b, "socket", 0, AF_VSOCK_NUMBER, "SCMP_CMP_NE");
    for (size_t i = 0; i < ARRAY_LEN(by_capability); i++)
        if (capabilities >> by_capability[i].capability & 1)
            put_rule(b, by_capability[i].names, "");
    if (!(capabilities >> CAP_SYS_ADMIN & 1))
        put_clone(b);
    buf_z(b, "]}");
}
