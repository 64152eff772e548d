/* SPDX-License-Identifier: BSD-3-Clause */
/* Advice for a window also holds for the pages that the library puts there, and for pages that their files lack for the
   moment. */
/* valgrind: no (its mremap makes no second mapping of a page) */
#include "rig.h"

static bool is_left_out_of_forks(vhushmem_region *region, uint64_t offset)
{
    char *flags = vm_flags_at((char *)vhushmem_region_window(region) + offset);
    bool is_so = strstr(flags, " dc ") != NULL;
    g_free(flags);
    return is_so;
}

int main(void)
{
    uint64_t page = PAGE;
    vhushmem_region_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_REGION_DONTFORK};
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 64 * page, &options, &error));
    int fd = memfd_of(8 * page, 1);
    ok(vhushmem_region_map(region, fd, 0, 16 * page, 8 * page, 0, &error));
    ok(vhushmem_resolve_guest_fault(region, 4 * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    ok(vhushmem_resolve_guest_fault(region, 17 * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    CHECK(ftruncate(fd, (off_t)(4 * page)) == 0);
    ok(vhushmem_resolve_guest_fault(region, 22 * page, 8, VHUSHMEM_ACCESS_READ, NULL));
    for (uint64_t i = 0; i < 64; i++) {
        CHECK(is_left_out_of_forks(region, i * page));
    }

    ok(vhushmem_region_advise(region, MADV_DOFORK));
    fill(fd, 8 * page, 1);
    EQ(vhushmem_region_heal(region), 0);
    for (uint64_t i = 0; i < 64; i++) {
        CHECK(!is_left_out_of_forks(region, i * page));
    }
    vhushmem_device_unref(device);
    return 0;
}
