/* SPDX-License-Identifier: BSD-3-Clause */
/* The last descriptor of a large memfd comes with a request that is refused. The thread that dispatches does not free the
   file. */
/* valgrind: no (it counts processor time of its own) */
#include "rig.h"

#include <sys/resource.h>

static int64_t kernel_us(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return (int64_t)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
}

static int large_memfd(void)
{
    int fd = memfd_create("large", MFD_CLOEXEC);
    if (fallocate(fd, 0, 0, 384 << 20) != 0) {
        skip("there is no memory for a large file");
    }
    return fd;
}

int main(void)
{
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    int fd = large_memfd();
    int64_t began = kernel_us();
    close(fd);
    int64_t by_itself = kernel_us() - began;
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    fd = large_memfd();
    send_message(r.channel, UNMAP, 0x1, &m, sizeof(m), &fd, 1);
    close(fd);
    began = kernel_us();
    pump(r.frontend);
    CHECK(kernel_us() - began < by_itself / 2);
    rig_close(&r);
    return 0;
}
