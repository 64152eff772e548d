/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All regions together leave a part of vm.max_map_count to the process. A map beyond that is refused with ENOSPC, the
 * program's own mmap still works, and everything is given back.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "memory-rig.h"

int main(void)
{
    long limit = max_map_count_or_skip();
    uint64_t page = PAGE;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 4 * (uint64_t)limit * page, NULL, &error));
    int fd = memfd_of(page, 1);
    for (int round = 0; round < 2; round++) {
        int64_t done = 0;
        uint64_t count = 0;
        while (done == 0) {
            CHECK(count < (uint64_t)limit);
            done = vhushmem_region_map(region, fd, 0, 2 * count * page, page, 0, &error);
            count += done == 0;
        }
        refused(done, -ENOSPC, "max_map_count");
        EQ(vhushmem_region_mapping_count(region), count);
        CHECK(count > (uint64_t)limit / 4);
        shows(region, 2 * (count - 1) * page, page, 1, 0);

        /* The rest of the program has room. */
        char *own[100];
        for (int i = 0; i < 100; i++) {
            own[i] = mmap(NULL, 2 * page, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            CHECK(own[i] != MAP_FAILED);
        }
        for (int i = 0; i < 100; i++) {
            munmap(own[i], 2 * page);
        }

        /* One less, one more. */
        ok(vhushmem_region_unmap(region, 2 * (count / 2) * page, page, &error));
        ok(vhushmem_region_map(region, fd, 0, 2 * (count / 2) * page, page, 0, &error));
        EQ(vhushmem_device_unmap_all(device), count);
    }
    close(fd);
    vhushmem_device_unref(device);
    return 0;
}
