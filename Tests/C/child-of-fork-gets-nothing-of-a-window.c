/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With VHUSHMEM_REGION_DONTFORK a child of fork has nothing at the window's addresses, whether mapped before or after.
 * Without it the child shares the guest's memory. vhushmem_region_advise can set this later, and take it back.
 */
#include "rig.h"

/* How many pages of a window a child has. */
static int pages_in_a_child(vhushmem_region *region)
{
    char *window = vhushmem_region_window(region);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int count = 0;
        for (uint64_t at = 0; at < vhushmem_region_size(region); at += PAGE) {
            count += perms_at(window + at)[0] != 0;
        }
        _exit(count);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void map_and_cover(rig *r, int file)
{
    ok(vhushmem_region_map(r->region, file, 0, 0, 2 * PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    ok(vhushmem_region_map(r->region, file, 0, 4 * PAGE, 2 * PAGE, 0, &error));
    ok(vhushmem_region_map(r->region, file, 0, 8 * PAGE, 2 * PAGE, 0, &error));
    ok(vhushmem_region_unmap(r->region, 4 * PAGE, 2 * PAGE, &error));
    ok(vhushmem_resolve_guest_fault(r->region, 12 * PAGE, 8, VHUSHMEM_ACCESS_WRITE, NULL)); /* in a hole */
    ok(vhushmem_resolve_guest_fault(r->region, 8 * PAGE, 8, VHUSHMEM_ACCESS_WRITE, NULL));  /* in a read-only mapping */
}

static void facts(uint32_t holes)
{
    rig r;
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes, .flags = VHUSHMEM_REGION_DONTFORK};
    int file = memfd_of(2 * PAGE, 1);
    rig_open_plain(&r, 16 * PAGE, NULL, &options);
    EQ(pages_in_a_child(r.region), 0);
    map_and_cover(&r, file);
    EQ(pages_in_a_child(r.region), 0);
    vhushmem_region_unmap_all(r.region);
    EQ(pages_in_a_child(r.region), 0);
    rig_close(&r);

    options.flags = 0;
    rig_open_plain(&r, 16 * PAGE, NULL, &options);
    map_and_cover(&r, file);
    EQ(pages_in_a_child(r.region), 16);
    ok(vhushmem_region_advise(r.region, MADV_DONTFORK));
    EQ(pages_in_a_child(r.region), 0);
    ok(vhushmem_region_map(r.region, file, 0, 4 * PAGE, 2 * PAGE, 0, &error));
    ok(vhushmem_region_unmap(r.region, 8 * PAGE, 2 * PAGE, &error));
    EQ(pages_in_a_child(r.region), 0);
    ok(vhushmem_region_advise(r.region, MADV_DOFORK));
    EQ(pages_in_a_child(r.region), 16);
    rig_close(&r);
    close(file);
}

int main(void)
{
    facts(VHUSHMEM_HOLES_FAULT);
    facts(VHUSHMEM_HOLES_ZERO);
    return 0;
}
