/* SPDX-License-Identifier: BSD-3-Clause */
/* With VHUSHMEM_HOLES_ZERO a hole reads as zeros that take no memory, cannot be written, and is no mapping. */
#include "rig.h"

static const vhushmem_region_options options = {.struct_size = sizeof(options), .holes = VHUSHMEM_HOLES_ZERO};

static void facts(rig *r)
{
    uint64_t page = PAGE, size = vhushmem_region_size(r->region);
    char *window = vhushmem_region_window(r->region);
    int fd = memfd_of(4 * page, 1);
    for (uint64_t at = 0; at < size; at += page) {
        EQ(word_at(r->region, at), 0);
    }
    char *anonymous = smaps_line(window, "Anonymous:");
    long kilobytes = -1;
    CHECK(sscanf(anonymous, "Anonymous: %ld", &kilobytes) == 1);
    EQ(kilobytes, 0);
    g_free(anonymous);
    CHECK(!writable(window));
    EQ(vhushmem_region_mapping_count(r->region), 0);
    CHECK(vhushmem_region_translate(r->region, 0, 8, false) == NULL);

    ok(rig_map(r, fd, 0, 4 * page, 4 * page, VHOST_USER_FLAG_MAP_RW));
    shows(r->region, 4 * page, 4 * page, 1, 0);
    EQ(word_at(r->region, 3 * page), 0);
    EQ(word_at(r->region, 8 * page), 0);
    err(rig_map(r, fd, 0, 5 * page, page, 0), -EEXIST);
    ok(rig_unmap(r, 4 * page, 4 * page));
    for (uint64_t at = 0; at < 16 * page; at += page) {
        EQ(word_at(r->region, at), 0);
    }
    CHECK(!writable(window + 4 * page));
    rig_refuses(r, rig_map(r, fd, 0, size, page, 0), -EINVAL);
    EQ(word_at(r->region, size - page), 0);
    close(fd);
}

int main(void)
{
    through_every_door(facts, 1024 * PAGE, NULL, &options);
    return 0;
}
