/* SPDX-License-Identifier: BSD-3-Clause */
/* With --read-only the guest cannot change the directory: neither by a request, nor by a write to the window. */
#include "virtiofs-rig.h"

static vfs v;

int main(void)
{
    static const char *const options[] = {"--read-only", "--window", "16M", NULL};
    vfs_folders(&v);
    v.queues = 2;
    host_write(host_path(&v, "f"), "as it was", 9);
    CHECK(mkdir(host_path(&v, "d"), 0755) == 0);
    vfs_memory(&v);
    vfs_start(&v, options);
    vfs_connect(&v);
    vfs_run(&v, NULL);
    vfs_init(&v);

    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f");
    uint64_t fh = vfs_handle(&v, node, O_RDONLY);
    ok(vfs_read(&v, node, fh, 0, 100));
    CHECK(memcmp(v.body, "as it was", 9) == 0);
    static const uint32_t flags[] = {O_RDWR, O_WRONLY, O_RDONLY | O_TRUNC};
    for (int i = 0; i < 3; i++) {
        struct fuse_open_in in = {.flags = flags[i]};
        err(vfs_ask(&v, FUSE_OPEN, node, &in, sizeof(in), sizeof(struct fuse_open_out)), -EROFS);
    }
    uint8_t zeros[128] = {0};
    char names[] = "f\0g";
    struct fuse_mkdir_in dir = {.mode = 0755};
    struct fuse_rename_in rename_in = {.newdir = 1};
    struct fuse_create_in create = {.flags = O_CREAT | O_RDWR, .mode = 0644};
    struct fuse_setattr_in cut = {.valid = FATTR_SIZE};
    struct fuse_link_in link_in = {.oldnodeid = node};
    err(vfs_name(&v, FUSE_UNLINK, 1, NULL, 0, "f"), -EROFS);
    err(vfs_name(&v, FUSE_RMDIR, 1, NULL, 0, "d"), -EROFS);
    err(vfs_name(&v, FUSE_MKDIR, 1, &dir, sizeof(dir), "e"), -EROFS);
    err(vfs_name(&v, FUSE_CREATE, 1, &create, sizeof(create), "e"), -EROFS);
    err(vfs_name(&v, FUSE_LINK, 1, &link_in, sizeof(link_in), "e"), -EROFS);
    err(vfs_ask2(&v, FUSE_RENAME, 1, &rename_in, sizeof(rename_in), names, sizeof(names), 0), -EROFS);
    err(vfs_ask(&v, FUSE_SYMLINK, 1, names, sizeof(names), 512), -EROFS);
    err(vfs_ask(&v, FUSE_SETATTR, node, &cut, sizeof(cut), 512), -EROFS);
    err(vfs_ask(&v, FUSE_FALLOCATE, node, zeros, sizeof(struct fuse_fallocate_in), 0), -EROFS);
    err(vfs_write(&v, node, fh, 0, "xx", 2, 0), -EROFS);

    err(vfs_map(&v, node, 0, 0, CHUNK, true), -EROFS);
    ok(vfs_map(&v, node, 0, 0, CHUNK, false));
    char seen[9];
    ok(vhushmem_region_read(v.region, 0, seen, 9, &error));
    CHECK(memcmp(seen, "as it was", 9) == 0);
    err(vhushmem_region_write(v.region, 0, "x", 1, &error), -EACCES);
    CHECK(host_is(host_path(&v, "f"), "as it was", 9));
    vfs_close(&v);
    return 0;
}
