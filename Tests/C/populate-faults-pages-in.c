/* SPDX-License-Identifier: BSD-3-Clause */
/* With VHUSHMEM_REGION_POPULATE the pages of a mapping are there when the map returns. Without it they come when they are
   touched. */
#include "rig.h"

static long resident(uint32_t flags)
{
    uint64_t page = PAGE;
    vhushmem_region_options options = {.struct_size = sizeof(options), .flags = flags};
    rig r;
    rig_open_plain(&r, 64 * page, NULL, &options);
    int fd = memfd_of(32 * page, 1);
    ok(vhushmem_region_map(r.region, fd, 0, 0, 32 * page, 0, &error));
    char *line = smaps_line(vhushmem_region_window(r.region), "Rss:");
    long kilobytes = -1;
    CHECK(sscanf(line, "Rss: %ld", &kilobytes) == 1);
    g_free(line);
    shows(r.region, 0, 32 * page, 1, 0);
    close(fd);
    rig_still_works(&r);
    rig_close(&r);
    return kilobytes;
}

int main(void)
{
    long all = (long)(32 * PAGE / 1024);
    EQ(resident(VHUSHMEM_REGION_POPULATE), all);
    CHECK(resident(0) < all);
    EQ(resident(VHUSHMEM_REGION_POPULATE | VHUSHMEM_REGION_HUGEPAGE), all);
    resident(VHUSHMEM_REGION_HUGEPAGE); /* it works even if there are no huge pages */
    return 0;
}
