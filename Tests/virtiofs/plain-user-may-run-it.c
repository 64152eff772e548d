/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user other than root can share a directory as well. All files that the guest makes belong to that user, whoever makes
 * them in the guest, and other users' files stay theirs.
 */
#include "virtiofs-rig.h"

static vfs v;

int main(void)
{
    if (geteuid() != 0) {
        skip("it takes root to become another user");
    }
    vfs_user = 12345;
    if (!may_run(vfs_user, program_path())) {
        skip("other users may not enter the folder of the program");
    }
    struct stat st;
    /* The test owns the folder that the runner made. */
    if (getenv("TMPDIR") != NULL) {
        CHECK(chmod(getenv("TMPDIR"), 0711) == 0);
    }
    vfs_open(&v);
    struct fuse_create_in create = {.flags = O_CREAT | O_RDWR, .mode = S_IFREG | 0644};
    struct fuse_mkdir_in dir = {.mode = 0755};
    ok(vfs_name(&v, FUSE_CREATE, 1, &create, sizeof(create), "f")); /* made by the guest's root */
    uint64_t node = BODY(&v, struct fuse_entry_out)->nodeid;
    uint64_t fh = ((const struct fuse_open_out *)(v.body + sizeof(struct fuse_entry_out)))->fh;
    EQ(BODY(&v, struct fuse_entry_out)->attr.uid, 12345);
    ok(vfs_write(&v, node, fh, 0, "hello", 5, O_RDWR));
    CHECK(stat(host_path(&v, "f"), &st) == 0 && st.st_uid == 12345);
    CHECK(host_is(host_path(&v, "f"), "hello", 5));
    ok(vfs_name(&v, FUSE_MKDIR, 1, &dir, sizeof(dir), "d"));
    struct fuse_setattr_in in = {.valid = FATTR_UID, .uid = 0};
    int rc = vfs_ask(&v, FUSE_SETATTR, node, &in, sizeof(in), sizeof(struct fuse_attr_out));
    CHECK(rc == -EPERM || rc == -EINVAL);
    ok(vfs_map(&v, node, 0, 0, CHUNK, true));
    ok(vhushmem_region_write(v.region, 0, "J", 1, &error));
    CHECK(host_is(host_path(&v, "f"), "Jello", 5));

    /* A file of the host's root that no other may read or write. */
    host_write(host_path(&v, "theirs"), "private", 7);
    CHECK(chmod(host_path(&v, "theirs"), 0600) == 0);
    uint64_t theirs = vfs_node(&v, 1, "theirs");
    struct fuse_open_in open_in = {.flags = O_RDONLY};
    err(vfs_ask(&v, FUSE_OPEN, theirs, &open_in, sizeof(open_in), sizeof(struct fuse_open_out)), -EACCES);
    err(vfs_map(&v, theirs, 0, 0, CHUNK, false), -EACCES);
    vfs_close(&v);
    return 0;
}
