/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest with hundreds of ranges of one file takes one descriptor, not hundreds. */
#include "device-rig.h"

#define RANGES 260

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return count;
}

int main(void)
{
    static vhushmem_guest_memory ranges[RANGES];
    int first = memfd_of(4 * PAGE, 1), second = memfd_of(4 * PAGE, 1);
    for (int i = 0; i < RANGES; i++) {
        ranges[i] = memory_of(0x100000 + (uint64_t)i * 0x10000, PAGE, i % 2 == 0 ? first : second, 0);
    }
    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/nowhere", NULL, &error));
    int before = open_descriptors();
    ok(vhushmem_frontend_set_memory(frontend, ranges, RANGES, &error));
    EQ(open_descriptors(), before + 2);
    ranges[5].fd = -1;
    refused(vhushmem_frontend_set_memory(frontend, ranges, RANGES, &error), -EBADF, "descriptor");
    EQ(open_descriptors(), before + 2);
    vhushmem_frontend_free(frontend);
    EQ(open_descriptors(), before);
    close(first);
    close(second);
    return 0;
}
