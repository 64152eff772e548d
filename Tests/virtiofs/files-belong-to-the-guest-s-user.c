/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file that a guest's user makes belongs to that user. A directory's group cannot give the user a set-group-id program of
 * a group that the user is not in.
 */
#include "virtiofs-rig.h"

static vfs v;

/* Asks as another user. */
static int ask_as(uint32_t uid, uint32_t gid, uint32_t opcode, uint64_t node, const void *in, size_t size, const char *name)
{
    uint8_t *at = v.ram + REQUEST_AT;
    size_t length = strlen(name) + 1;
    uint64_t unique = vfs_header(&v, at, opcode, node, size + length);
    struct fuse_in_header *head = (struct fuse_in_header *)at;
    head->uid = uid;
    head->gid = gid;
    memcpy(at + sizeof(*head), in, size);
    memcpy(at + sizeof(*head) + size, name, length);
    vfs_chain(&v, 1, 0, REQUEST_AT, (uint32_t)(sizeof(*head) + size + length), ANSWER_AT, 1024);
    vfs_offer(&v, 1, 0);
    EQ(vfs_take(&v, 1, &v.written), 0);
    return vfs_answer(&v, unique);
}

static struct stat stat_of(const char *name)
{
    struct stat st;
    CHECK(lstat(host_path(&v, name), &st) == 0);
    return st;
}

int main(void)
{
    if (geteuid() != 0) {
        skip("it takes root to act for others");
    }
    vfs_open(&v);
    struct fuse_create_in create = {.flags = O_CREAT | O_RDWR, .mode = S_IFREG | 0600};
    struct fuse_mkdir_in dir = {.mode = 0700};
    ok(ask_as(1234, 567, FUSE_CREATE, 1, &create, sizeof(create), "f"));
    uint64_t node = BODY(&v, struct fuse_entry_out)->nodeid;
    EQ(stat_of("f").st_uid, 1234);
    EQ(stat_of("f").st_gid, 567);
    ok(ask_as(1234, 567, FUSE_MKDIR, 1, &dir, sizeof(dir), "d"));
    EQ(stat_of("d").st_uid, 1234);
    /* Nobody: the kernel has no such user. */
    err(ask_as(UINT32_MAX, 567, FUSE_MKDIR, 1, &dir, sizeof(dir), "e"), -EPERM);
    ok(ask_as(0, 0, FUSE_MKDIR, 1, &dir, sizeof(dir), "root"));
    EQ(stat_of("root").st_uid, 0);

    /* A directory of group 999 whose files are of that group. The user is not in it. */
    CHECK(mkdir(host_path(&v, "g"), 0777) == 0 && chown(host_path(&v, "g"), 0, 999) == 0 &&
          chmod(host_path(&v, "g"), 02777) == 0);
    create.mode = S_IFREG | 02755;
    ok(ask_as(1234, 567, FUSE_CREATE, vfs_node(&v, 1, "g"), &create, sizeof(create), "program"));
    EQ(stat_of("g/program").st_gid, 999);
    EQ(stat_of("g/program").st_mode & 07777, 0755);

    /* A write clears set-user-id if the guest's kernel says so, and leaves it otherwise. */
    CHECK(chmod(host_path(&v, "f"), 04755) == 0);
    uint64_t fh = vfs_handle(&v, node, O_RDWR);
    struct fuse_write_in in = {.fh = fh, .size = 1};
    ok(vfs_ask2(&v, FUSE_WRITE, node, &in, sizeof(in), "x", 1, sizeof(struct fuse_write_out)));
    EQ(stat_of("f").st_mode & 07777, 04755);
    in.write_flags = FUSE_WRITE_KILL_SUIDGID;
    ok(vfs_ask2(&v, FUSE_WRITE, node, &in, sizeof(in), "x", 1, sizeof(struct fuse_write_out)));
    EQ(stat_of("f").st_mode & 07777, 0755);
    vfs_close(&v);
    return 0;
}
