/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host moves a folder out of the shared directory. A guest that knows it, or a folder below it, can no longer find, list, make,
 * remove or rename anything there, whatever the host puts there. When the folder is back, it works as before.
 */
#include "virtiofs-rig.h"

static vfs v;

static uint64_t open_directory(uint64_t node, int wanted)
{
    struct fuse_open_in in = {.flags = O_RDONLY | O_DIRECTORY};
    EQ(vfs_ask(&v, FUSE_OPENDIR, node, &in, sizeof(in), sizeof(struct fuse_open_out)), wanted);
    return wanted == 0 ? BODY(&v, struct fuse_open_out)->fh : 0;
}

static int list(uint64_t node, uint64_t handle, uint32_t opcode)
{
    struct fuse_read_in in = {.fh = handle, .size = 4096};
    return vfs_ask(&v, opcode, node, &in, sizeof(in), 4096);
}

/* Each request that looks at an entry of the folder, or changes one, gets this answer. */
static void all_are(uint64_t node, uint64_t handle, int wanted)
{
    struct fuse_create_in create = {.flags = O_CREAT | O_RDWR, .mode = 0644};
    struct fuse_mkdir_in directory = {.mode = 0755};
    struct fuse_mknod_in fifo = {.mode = S_IFIFO | 0644};
    struct fuse_link_in link = {.oldnodeid = vfs_node(&v, FUSE_ROOT_ID, "other")};
    struct fuse_rename_in in_there = {.newdir = node}, out_of_there = {.newdir = FUSE_ROOT_ID};
    struct fuse_rename2_in in_there2 = {.newdir = node};
    char symlink[] = "symlink\0target", in[] = "other\0renamed", out[] = "renamed\0other";
    EQ(vfs_lookup(&v, node, "file"), wanted);
    EQ(list(node, handle, FUSE_READDIR), wanted);
    EQ(list(node, handle, FUSE_READDIRPLUS), wanted);
    uint64_t again = open_directory(node, wanted);
    if (wanted == 0) {
        struct fuse_release_in release = {.fh = again};
        ok(vfs_ask(&v, FUSE_RELEASEDIR, node, &release, sizeof(release), 0));
    }
    EQ(vfs_name(&v, FUSE_CREATE, node, &create, sizeof(create), "created"), wanted);
    EQ(vfs_name(&v, FUSE_MKDIR, node, &directory, sizeof(directory), "directory"), wanted);
    EQ(vfs_name(&v, FUSE_MKNOD, node, &fifo, sizeof(fifo), "fifo"), wanted);
    EQ(vfs_ask2(&v, FUSE_SYMLINK, node, NULL, 0, symlink, sizeof(symlink), sizeof(struct fuse_entry_out)), wanted);
    EQ(vfs_name(&v, FUSE_LINK, node, &link, sizeof(link), "link"), wanted);
    EQ(vfs_ask2(&v, FUSE_RENAME, FUSE_ROOT_ID, &in_there, sizeof(in_there), in, sizeof(in), 0), wanted);
    EQ(vfs_ask2(&v, FUSE_RENAME, node, &out_of_there, sizeof(out_of_there), out, sizeof(out), 0), wanted);
    EQ(vfs_ask2(&v, FUSE_RENAME2, FUSE_ROOT_ID, &in_there2, sizeof(in_there2), in, sizeof(in), 0), wanted);
    EQ(vfs_name(&v, FUSE_UNLINK, node, NULL, 0, "renamed"), wanted);
    EQ(vfs_name(&v, FUSE_RMDIR, node, NULL, 0, "directory"), wanted);
    host_write(host_path(&v, "other"), "other", 5);
}

static void with(const char *const *options)
{
    vfs_open_with(&v, 4, options);
    CHECK(mkdir(host_path(&v, "folder"), 0755) == 0 && mkdir(host_path(&v, "folder/below"), 0755) == 0);
    host_write(host_path(&v, "folder/file"), "file", 4);
    host_write(host_path(&v, "folder/below/file"), "file", 4);
    host_write(host_path(&v, "other"), "other", 5);
    uint64_t folder = vfs_node(&v, FUSE_ROOT_ID, "folder"), below = vfs_node(&v, folder, "below");
    uint64_t handle = open_directory(folder, 0), handle_below = open_directory(below, 0);

    char *outside = g_strdup_printf("%s/outside", v.base), *kept = g_strdup_printf("%s/renamed", outside);
    CHECK(rename(host_path(&v, "folder"), outside) == 0);
    host_write(kept, "the host's", 10);
    all_are(folder, handle, -ESTALE);
    all_are(below, handle_below, -ESTALE);
    CHECK(host_is(kept, "the host's", 10));
    CHECK(unlink(kept) == 0);

    CHECK(rename(outside, host_path(&v, "folder")) == 0);
    all_are(folder, handle, 0);
    all_are(below, handle_below, 0);
    g_free(kept);
    g_free(outside);
    vfs_close(&v);
}

int main(void)
{
    static const char *const by_descriptors[] = {"--sandbox", "required", "--num-request-queues", "3", NULL};
    static const char *const by_handles[] = {"--sandbox", "required", "--num-request-queues", "3", "--inode-file-handles",
                                             "prefer",    NULL};
    if (geteuid() != 0) {
        skip("it takes root to have namespaces for sure");
    }
    if (!root_is_a_mount_point()) {
        skip("the root is no mount point, as in a chroot: no namespace can have another");
    }
    with(by_descriptors);
    with(by_handles);
    return 0;
}
