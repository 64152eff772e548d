/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM may stand still for a while: its machine is busy, it writes a snapshot, somebody debugs it. The device waits for its answer to a map,
 * and serves other requests meanwhile. When the VMM goes on, the map counts, and so do later ones.
 */
#include "virtiofs-rig.h"

static vfs v;

int main(void)
{
    enum { LONGER_THAN_USUAL_MS = 10500 }; /* answer_timeout_ms is 10,000 by default */
    vfs_open(&v);
    host_write(host_path(&v, "file"), "text", 4);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "file");
    struct fuse_setupmapping_in in = {.fh = UINT64_MAX, .len = CHUNK, .flags = FUSE_SETUPMAPPING_FLAG_READ};
    size_t size = sizeof(struct fuse_in_header) + sizeof(in);
    uint64_t request = REQUEST_AT + 0x10000, answer = ANSWER_AT + 0x10000;
    vfs_header(&v, v.ram + request, FUSE_SETUPMAPPING, node, sizeof(in));
    memcpy(v.ram + request + sizeof(struct fuse_in_header), &in, sizeof(in));
    vfs_chain(&v, 2, 0, request, (uint32_t)size, answer, sizeof(struct fuse_out_header));
    vfs_offer(&v, 2, 0);

    /* It has asked, and nobody answers. */
    struct pollfd asked = {.fd = vhushmem_frontend_get_fd(v.frontend), .events = POLLIN};
    CHECK(poll(&asked, 1, PATIENCE_MS) == 1);
    g_usleep(LONGER_THAN_USUAL_MS * 1000UL);
    CHECK(!vfs_has_answer(&v, 2));

    vfs_take(&v, 2, NULL);
    EQ(((const struct fuse_out_header *)(v.ram + answer))->error, 0);
    CHECK(memcmp(vhushmem_region_window(v.region), "text", 4) == 0);
    ok(vfs_map(&v, node, 0, CHUNK, CHUNK, false));
    vfs_close(&v);
    return 0;
}
