/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Limits and capabilities, by system calls.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "privileges.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <grp.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/securebits.h>

#define USUAL_NOFILE UINT64_C(1000000)

#define BIT(capability) (UINT64_C(1) << (capability))
/*
 * The capabilities that serve a directory of many users. CAP_MKNOD, CAP_SETFCAP and CAP_SYS_ADMIN are missing: a guest makes no
 * device nodes, no programs with capabilities and no attributes of the class `trusted`.
 */
#define KEPT (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_SETUID) | BIT(CAP_SETGID))
#define KEPT_BITS                                                                                                              \
    (SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED | \
     SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* The capabilities that are usually effective. */
static uint64_t effective;
static bool acts_for_others;

/* ---- limits ---- */

static uint64_t kernels_most(void)
{
    FILE *file = fopen("/proc/sys/fs/nr_open", "re");
    unsigned long long number = 0;

    if (file == NULL) {
        return UINT64_MAX;
    }
    if (fscanf(file, "%llu", &number) != 1) {
        number = 0;
    }
    fclose(file);
    return number > 0 ? number : UINT64_MAX;
}

uint64_t privileges_raise_nofile(uint64_t wanted)
{
    struct rlimit limit;
    uint64_t most = kernels_most(), target = wanted > 0 ? wanted : USUAL_NOFILE;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return 1024;
    }
    target = target < most ? target : most;
    if (wanted > 0 || limit.rlim_cur < target) {
        struct rlimit raised = {.rlim_cur = target, .rlim_max = target > limit.rlim_max ? target : limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &raised) < 0) {
            /* Only root may raise a limit above the hard limit. */
            raised = (struct rlimit){.rlim_cur = target < limit.rlim_max ? target : limit.rlim_max, .rlim_max = limit.rlim_max};
            setrlimit(RLIMIT_NOFILE, &raised);
        }
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

/* ---- capabilities ---- */

static int get_capabilities(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    memset(data, 0, 2 * sizeof(data[0]));
    return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

static int set_capabilities(uint64_t permitted, uint64_t now)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{(uint32_t)now, (uint32_t)permitted, 0},
                                             {(uint32_t)(now >> 32), (uint32_t)(permitted >> 32), 0}};

    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* glibc's calls report no error. The kernel's calls return the value from before. */
static bool set_group(gid_t gid)
{
    syscall(SYS_setfsgid, gid);
    return (gid_t)syscall(SYS_setfsgid, (gid_t)-1) == gid;
}

static bool set_user(uid_t uid)
{
    syscall(SYS_setfsuid, uid);
    return (uid_t)syscall(SYS_setfsuid, (uid_t)-1) == uid;
}

/**
 * Whether the process can act for other users. A namespace of users that a plain user gets has only that user. Then all files
 * belong to that user.
 */
static bool can_act_for_others(uint64_t permitted)
{
    uid_t own = geteuid(), other = own == 0;
    bool can = (permitted & BIT(CAP_SETUID)) != 0 && (permitted & BIT(CAP_SETGID)) != 0 && set_user(other);

    set_user(own);
    return can;
}

int privileges_drop(bool use_handles)
{
    struct __user_cap_data_struct data[2];
    uint64_t permitted, kept = KEPT | (use_handles ? BIT(CAP_DAC_READ_SEARCH) : 0);
    int rc = get_capabilities(data);

    if (rc < 0) {
        return rc;
    }
    permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    if ((permitted & BIT(CAP_SETPCAP)) != 0) {
        /* With these bits, a change of the user for files does not change the capabilities: see privileges_as. */
        if (prctl(PR_SET_SECUREBITS, KEPT_BITS, 0, 0, 0) < 0) {
            return -errno;
        }
        for (int i = 0; i <= 63 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
            if ((kept & BIT(i)) == 0 && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) {
                return -errno;
            }
        }
    }
    acts_for_others = can_act_for_others(permitted);
    /*
     * The groups of the user who started the process must have no effect for the guest. Without the right to drop them, they
     * stay.
     */
    if ((permitted & BIT(CAP_SETGID)) != 0) {
        setgroups(0, NULL);
    }
    /* Without this, all readable memory could be executed. The filter forbids to set it again. */
    personality((unsigned long)personality(0xffffffff) & ~(unsigned long)READ_IMPLIES_EXEC);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return -errno;
    }
    effective = permitted & kept;
    return set_capabilities(effective, effective);
}

struct killpriv killpriv;

void privileges_kill_suid(bool on)
{
    static bool is_on;

    if (on != is_on && (effective & BIT(CAP_FSETID)) != 0) {
        is_on = on;
        set_capabilities(effective, on ? effective & ~BIT(CAP_FSETID) : effective);
    }
}

/* ---- the owner of new files ---- */

int privileges_as(uid_t uid, gid_t gid)
{
    if (acts_for_others && (!set_group(gid) || !set_user(uid))) {
        privileges_as_before();
        return -EPERM;
    }
    privileges_kill_suid(true);
    return 0;
}

void privileges_as_before(void)
{
    privileges_kill_suid(false);
    if (acts_for_others) {
        set_user(geteuid());
        set_group(getegid());
    }
}
