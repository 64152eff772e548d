/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With HANDLE_KILLPRIV_V2 the guest's kernel leaves set-user-id bits to the device, but the device hears of no write by DAX.
 * So the device offers it if there is no DAX, or if --killpriv-v2 asks for it. Without it the guest's kernel clears the bits
 * itself, except when an open truncates. Then the device clears them, unless root opens.
 */
#include "virtiofs-rig.h"

static vfs v;

static bool is_offered(void) { return (v.init.flags & FUSE_HANDLE_KILLPRIV_V2) != 0; }

/* The mode of a set-user-id program after a user has opened it in this way. */
static mode_t mode_after_open(uint32_t uid, uint32_t flags, uint32_t more)
{
    struct fuse_open_in in = {.flags = flags, .open_flags = more};
    struct stat st;
    uint8_t *at = v.ram + REQUEST_AT;
    host_write(host_path(&v, "program"), "x", 1);
    CHECK(chmod(host_path(&v, "program"), 06777) == 0);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "program"), unique = vfs_header(&v, at, FUSE_OPEN, node, sizeof(in));
    ((struct fuse_in_header *)at)->uid = uid;
    memcpy(at + sizeof(struct fuse_in_header), &in, sizeof(in));
    vfs_chain(&v, 1, 0, REQUEST_AT, sizeof(struct fuse_in_header) + sizeof(in), ANSWER_AT, 1024);
    vfs_offer(&v, 1, 0);
    EQ(vfs_take(&v, 1, &v.written), 0);
    ok(vfs_answer(&v, unique));
    vfs_release(&v, node, BODY(&v, struct fuse_open_out)->fh);
    CHECK(stat(host_path(&v, "program"), &st) == 0);
    return st.st_mode & 07777;
}

static void open_with(const char *one, const char *two)
{
    const char *const options[] = {one, two, NULL};
    vfs_open_with(&v, 2, options);
}

int main(void)
{
    if (geteuid() != 0) {
        skip("it takes root to leave the bits");
    }
    open_with("--window", "16M");
    CHECK(!is_offered());
    EQ(mode_after_open(1234, O_RDWR | O_TRUNC, 0), 0777);
    EQ(mode_after_open(0, O_RDWR | O_TRUNC, 0), 06777);
    EQ(mode_after_open(1234, O_RDWR, FUSE_OPEN_KILL_SUIDGID), 06777);
    vfs_close(&v);

    open_with("--window", "0");
    CHECK(is_offered());
    EQ(mode_after_open(1234, O_RDWR | O_TRUNC, 0), 06777);
    EQ(mode_after_open(1234, O_RDWR | O_TRUNC, FUSE_OPEN_KILL_SUIDGID), 0777);
    vfs_close(&v);

    open_with("--window=16M", "--killpriv-v2");
    CHECK(is_offered());
    vfs_close(&v);
    return 0;
}
