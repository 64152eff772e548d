/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory with /proc mounted in it: one of its files is the memory of the process that serves, and others belong to
 * other processes. A guest gets none of them, whether the whole file system or one file is mounted. The listing of the root
 * tells nothing about the directory above it.
 */
#include "virtiofs-rig.h"

#include <sys/mount.h>

static vfs v;

static void mount_at(const char *source, const char *name, const char *type, unsigned long flags)
{
    CHECK(mount(source, host_path(&v, name), type, flags, NULL) == 0);
}

/* The inode number of a name in a listing. */
static uint64_t listed(const char *name)
{
    struct fuse_open_in open_in = {.flags = O_RDONLY | O_DIRECTORY};
    ok(vfs_ask(&v, FUSE_OPENDIR, FUSE_ROOT_ID, &open_in, sizeof(open_in), sizeof(struct fuse_open_out)));
    struct fuse_read_in in = {.fh = BODY(&v, struct fuse_open_out)->fh, .size = 4096};
    ok(vfs_ask(&v, FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof(in), 4096));
    for (size_t at = 0; at < v.head.len - sizeof(v.head);) {
        const struct fuse_dirent *entry = (const struct fuse_dirent *)(v.body + at);
        if (entry->namelen == strlen(name) && memcmp(entry->name, name, entry->namelen) == 0) {
            return entry->ino;
        }
        at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry->namelen);
    }
    FAIL("%s is not listed", name);
}

int main(void)
{
    struct stat st;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
        skip("it takes root to mount something");
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        skip("the root is no mount point, as in a chroot");
    }
    vfs_folders(&v);
    CHECK(mkdir(host_path(&v, "proc"), 0755) == 0 && mkdir(host_path(&v, "other"), 0755) == 0);
    host_write(host_path(&v, "file"), "", 0);
    mount_at("proc", "proc", "proc", 0);
    mount_at("other", "other", "tmpfs", 0);
    host_write(host_path(&v, "other/below"), "below", 5);
    mount_at("/proc/self/environ", "file", NULL, MS_BIND);
    v.queues = 2;
    vfs_memory(&v);
    vfs_start(&v, NULL);
    vfs_connect(&v);
    vfs_run(&v, NULL);
    vfs_init(&v);
    err(vfs_lookup(&v, FUSE_ROOT_ID, "proc"), -EACCES);
    err(vfs_lookup(&v, FUSE_ROOT_ID, "file"), -EACCES);
    /* Another mounted file system is served as usual. */
    uint64_t below = vfs_node(&v, vfs_node(&v, FUSE_ROOT_ID, "other"), "below");
    ok(vfs_read(&v, below, vfs_handle(&v, below, O_RDONLY), 0, 5));
    CHECK(memcmp(v.body, "below", 5) == 0);
    CHECK(stat(v.shared, &st) == 0);
    EQ(listed("."), st.st_ino);
    EQ(listed(".."), st.st_ino);
    CHECK(umount2(host_path(&v, "proc"), MNT_DETACH) == 0 && umount2(host_path(&v, "other"), MNT_DETACH) == 0 &&
          umount2(host_path(&v, "file"), MNT_DETACH) == 0);
    vfs_close(&v);
    return 0;
}
