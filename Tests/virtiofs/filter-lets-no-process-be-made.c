/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The filter of system calls in the process that serves, as the kernel has it: it may make a thread but no process, it may
 * not make memory executable, and it may act on no process except itself. The test reads the filter and interprets it.
 */
#include "virtiofs-rig.h"

#include <sched.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

static vfs v;
static struct sock_filter code[4096];
static long length;

static void read_filter(void)
{
    int status;
    if (ptrace(PTRACE_ATTACH, v.child, NULL, NULL) < 0) {
        skip("the process cannot be traced");
    }
    CHECK(waitpid(v.child, &status, __WALL) == v.child);
    length = ptrace(PTRACE_SECCOMP_GET_FILTER, v.child, (void *)0, code);
    int why = errno;
    CHECK(ptrace(PTRACE_DETACH, v.child, NULL, NULL) == 0);
    if (length < 0) {
        vfs_close(&v);
        skip(strerror(why));
    }
}

/* What the filter returns for a call. */
static uint32_t verdict(long nr, const uint64_t *arguments, size_t count)
{
    struct seccomp_data data = {.nr = (int)nr, .arch = AUDIT_ARCH_X86_64};
    uint32_t a = 0;
    memcpy(data.args, arguments, count * sizeof(*arguments));
    for (long pc = 0; pc < length; pc++) {
        const struct sock_filter *i = &code[pc];
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            memcpy(&a, (const char *)&data + i->k, sizeof(a));
            break;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += (a & i->k) != 0 ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            FAIL("an instruction 0x%x", i->code);
        }
    }
    FAIL("the filter has no end");
}

#define VERDICT(nr, ...) verdict(nr, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)
#define REFUSED(code) (SECCOMP_RET_ERRNO | (code))

int main(void)
{
#ifndef __x86_64__
    skip("the numbers are those of x86_64");
#endif
    static const char *const options[] = {"--window", "16M", NULL};
    static const int none[] = {SYS_execve,  SYS_execveat, SYS_fork,  SYS_vfork,  SYS_socket,      SYS_unshare,       SYS_setns,
                               SYS_mount,   SYS_ptrace,   SYS_kill,  SYS_bpf,    SYS_setuid,      SYS_pivot_root,    SYS_chroot,
                               SYS_connect, SYS_bind,     SYS_mknod, SYS_keyctl, SYS_pidfd_getfd, SYS_io_uring_setup};
    const uint64_t of_a_thread =
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
    vfs_open_with(&v, 2, options);
    read_filter();
    char *line = NULL;
    size_t size = 0;
    uint64_t own = 0;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", v.child);
    FILE *file = fopen(path, "re");
    while (file != NULL && getline(&line, &size, file) > 0) {
        if (strncmp(line, "NSpid:", 6) == 0) {
            own = strtoull(strrchr(line, '\t'), NULL, 10);
        }
    }
    fclose(file);
    free(line);
    CHECK(own > 0);

    EQ(VERDICT(SYS_clone, of_a_thread), SECCOMP_RET_ALLOW);
    EQ(VERDICT(SYS_clone, SIGCHLD), REFUSED(EPERM));
    EQ(VERDICT(SYS_clone, CLONE_NEWUSER | SIGCHLD), REFUSED(EPERM));
    EQ(VERDICT(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD), REFUSED(EPERM));
    EQ(VERDICT(SYS_clone3, 0), REFUSED(ENOSYS));
    EQ(VERDICT(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE), SECCOMP_RET_ALLOW);
    EQ(VERDICT(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC), REFUSED(EPERM));
    EQ(VERDICT(SYS_mprotect, 0, 4096, PROT_EXEC), REFUSED(EPERM));
    EQ(VERDICT(SYS_personality, 0xffffffff), SECCOMP_RET_ALLOW);
    EQ(VERDICT(SYS_personality, 0), SECCOMP_RET_ALLOW);
    EQ(VERDICT(SYS_personality, READ_IMPLIES_EXEC), REFUSED(EPERM));
    EQ(VERDICT(SYS_process_vm_readv, own), SECCOMP_RET_ALLOW);
    EQ(VERDICT(SYS_process_vm_readv, own + 1), REFUSED(EPERM));
    EQ(VERDICT(SYS_process_vm_writev, own + 1), REFUSED(EPERM));
    EQ(VERDICT(SYS_tgkill, own), SECCOMP_RET_ALLOW);
    EQ(VERDICT(SYS_tgkill, own + 1), REFUSED(EPERM));
    EQ(VERDICT(SYS_rt_tgsigqueueinfo, own + 1), REFUSED(EPERM));
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        if (VERDICT(none[i], 0) != SECCOMP_RET_KILL_PROCESS) {
            FAIL("call %d is 0x%x", none[i], VERDICT(none[i], 0));
        }
    }
    vfs_close(&v);
    return 0;
}
