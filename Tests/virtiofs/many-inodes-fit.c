/* SPDX-License-Identifier: BSD-3-Clause */
/* The limit of descriptors bounds how many inodes a guest has at once: one more is an error and ends nothing. With file
   handles there is no such bound. */
#include "virtiofs-rig.h"

static vfs v;

enum { FILES = 1500 };

/* How many of the files could be looked up at once. */
static int look_up_all(void)
{
    char name[32];
    int found = 0;
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        int rc = vfs_lookup(&v, FUSE_ROOT_ID, name);
        CHECK(rc == 0 || rc == -ENFILE);
        found += rc == 0;
    }
    return found;
}

int main(void)
{
    static const char *const few[] = {"--rlimit-nofile", "2300", "--window", "16M", NULL};
    static const char *const handles[] = {"--rlimit-nofile", "2300", "--inode-file-handles", "prefer", "--window", "16M", NULL};
    char name[32];
    vfs_open_with(&v, 2, few);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        host_write(host_path(&v, name), name, strlen(name));
    }
    int found = look_up_all();
    CHECK(found > 1000 && found < FILES);
    uint64_t first = vfs_node(&v, FUSE_ROOT_ID, "f0");
    vfs_forget(&v, first, 2);
    err(vfs_lookup(&v, first, "x"), -ESTALE);
    CHECK(vfs_node(&v, FUSE_ROOT_ID, "f0") > first);
    vfs_close(&v);

    if (geteuid() == 0) {
        vfs_open_with(&v, 2, handles);
        for (int i = 0; i < FILES; i++) {
            snprintf(name, sizeof(name), "f%d", i);
            host_write(host_path(&v, name), name, strlen(name));
        }
        if (look_up_all() < FILES) {
            printf("note: the file system has no handles\n");
        } else {
            uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f77");
            uint64_t fh = vfs_handle(&v, node, O_RDWR);
            ok(vfs_read(&v, node, fh, 0, 10));
            CHECK(memcmp(v.body, "f77", 3) == 0);
            ok(vfs_map(&v, node, 0, 0, CHUNK, true));
            ok(vfs_release(&v, node, fh));
            /* A file that the host removes is gone. Another one that gets its number is a different file. */
            CHECK(unlink(host_path(&v, "f77")) == 0);
            struct fuse_open_in in = {.flags = O_RDONLY};
            ok(vfs_unmap(&v, 0, CHUNK));
            STEP_UNTIL(vfs_ask(&v, FUSE_OPEN, node, &in, sizeof(in), sizeof(struct fuse_open_out)) == -ESTALE, usleep(1000));
        }
        vfs_close(&v);
    }
    return 0;
}
