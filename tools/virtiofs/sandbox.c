/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * An empty root file system in memory. It has the shared directory at /dir and this process's descriptors at /proc/self/fd. The
 * shared directory itself is not the root: the C library and libvhushmem look up names in /proc/self/fd, and the guest must not
 * decide what they find there.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/mount.h>

/* From Linux 5.12. The C library of an older distribution has no name for it. */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

#define DESCRIPTORS "/proc/self/fd"

/* From Linux 5.9. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

void sandbox_close_others(int kept)
{
    unsigned first = STDERR_FILENO + 1;

    if (kept >= (int)first) {
        if (kept > (int)first) {
            syscall(SYS_close_range, first, (unsigned)kept - 1, 0);
        }
        first = (unsigned)kept + 1;
    }
    syscall(SYS_close_range, first, ~0u, 0);
}

/* ---- users ---- */

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        rc = -EIO;
    }
    close(fd);
    return rc;
}

/** Make a namespace of users in which this process keeps its user and group. A process that is not root needs it. */
static int own_users(uid_t uid, gid_t gid)
{
    char map[64];
    int rc;

    write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "%u %u 1\n", (unsigned)uid, (unsigned)uid);
    rc = write_text("/proc/self/uid_map", map);
    if (rc < 0) {
        return rc;
    }
    snprintf(map, sizeof(map), "%u %u 1\n", (unsigned)gid, (unsigned)gid);
    return write_text("/proc/self/gid_map", map);
}

int sandbox_prepare(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (unshare(CLONE_NEWPID) == 0) {
        return 0;
    }
    if (errno != EPERM) {
        return -errno;
    }
    if (unshare(CLONE_NEWPID | CLONE_NEWUSER) < 0) {
        return -errno;
    }
    return own_users(uid, gid);
}

/* ---- mounts ---- */

/** Copy the mounts at a place. The copy is not mounted anywhere yet. */
static int copy_of(int fd, const char *path, bool with_what_is_below)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (with_what_is_below ? AT_RECURSIVE : 0);

    return (int)syscall(SYS_open_tree, fd, path, flags);
}

static int put(int tree, const char *path)
{
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

/**
 * Forbid devices and set-user-id in it for this process, and changes if the guest may make none: so the kernel forbids them
 * too.
 */
static int restrict_tree(int tree, bool read_only)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (read_only ? MOUNT_ATTR_RDONLY : 0)};

    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) == 0 || errno == ENOSYS) {
        return 0;
    }
    return -errno;
}

/** Fill the new, empty file system, which is the working directory. */
static int furnish(int dir_tree, int fd_tree)
{
    if (mkdir("dir", 0500) < 0 || mkdir("proc", 0500) < 0 || mkdir("proc/self", 0500) < 0 || mkdir("proc/self/fd", 0500) < 0) {
        return -errno;
    }
    return put(dir_tree, "dir") < 0 || put(fd_tree, "proc/self/fd") < 0 ? -errno : 0;
}

/** Go back to the root from before the empty one. */
static void leave_empty_root(void)
{
    if (chdir("/") == 0) {
        umount2("/proc", MNT_DETACH);
    }
}

static int change_root(int dir_tree, int fd_tree)
{
    int rc;

    /* The host does not see changes of mounts here. Later mounts of the host in the directory are seen here. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
        return -errno;
    }
    /* Every Linux has this place, and this process does not need it any more. */
    if (mount("vhushmem-virtiofs", "/proc", "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "size=64k,mode=0500") < 0 ||
        chdir("/proc") < 0) {
        return -errno;
    }
    rc = furnish(dir_tree, fd_tree);
    if (rc < 0) {
        leave_empty_root();
        return rc;
    }
    if (syscall(SYS_pivot_root, ".", ".") < 0) {
        rc = -errno;
        leave_empty_root();
        return rc;
    }
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC, NULL) < 0) {
        return -errno;
    }
    return 0;
}

int sandbox_enter(const char *path, int *dir, bool read_only)
{
    int dir_tree, fd_tree = -1, inside, rc;

    /* Here and not before the fork, because it changes the root of every process of the namespace. */
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0) {
        return -errno;
    }
    dir_tree = copy_of(AT_FDCWD, path, true);
    if (dir_tree < 0) {
        return -errno;
    }
    rc = restrict_tree(dir_tree, read_only);
    if (rc == 0) {
        fd_tree = copy_of(AT_FDCWD, DESCRIPTORS, false);
        rc = fd_tree < 0 ? -errno : change_root(dir_tree, fd_tree);
    }
    close(dir_tree);
    if (fd_tree >= 0) {
        close(fd_tree);
    }
    if (rc < 0) {
        return rc;
    }
    inside = open("/dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (inside < 0) {
        return -errno;
    }
    *dir = inside;
    return 0;
}
