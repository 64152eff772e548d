/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest has at most 16,384 mappings. One more is ENOSPC, and after a removal there is room again. */
#include "virtiofs-rig.h"

int main(void)
{
    enum { MOST = 16384 };
    static const char *const options[] = {"--window", "128M", NULL};
    static vfs v;
    uint64_t page = PAGE;
    vfs_open_with(&v, 2, options);
    host_write(host_path(&v, "f"), "x", 1);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f"), at = 0;

    for (int i = 0; i < MOST; i++, at += page) {
        ok(vfs_map(&v, node, 0, at, page, false));
    }
    err(vfs_map(&v, node, 0, at, page, false), -ENOSPC);
    EQ(vhushmem_region_mapping_count(v.region), MOST);
    ok(vfs_map(&v, node, page, 0, page, false)); /* in the place of another */
    ok(vfs_unmap(&v, page, page));
    ok(vfs_map(&v, node, 0, at, page, false));
    ok(vfs_unmap(&v, 0, UINT64_MAX));
    EQ(vhushmem_region_mapping_count(v.region), 0);
    vfs_close(&v);
    return 0;
}
