/* SPDX-License-Identifier: BSD-3-Clause */
/* A single decoded message and its descriptor are carried out or refused as on a channel. Listeners hear the commit when the
   VMM has answered. */
#include "rig.h"

#include <vhushmem/series.h>

static char heard[32];

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    strcat(heard, "a");
}

static void commit(MemoryListener *listener)
{
    (void)listener;
    strcat(heard, "c");
}

int main(void)
{
    rig r;
    int fd = memfd_of(2 * PAGE, 1);
    rig_open_plain(&r, 16 * PAGE, NULL, NULL);
    MemoryListener listener = {.region_add = region_add, .commit = commit, .name = "test"};
    memory_listener_register(&listener, some(virtio_shmem_memory_region(r.region)));
    VhostUserMMap m = mmap_of(0, 0, PAGE, 2 * PAGE, 0);
    ok(vhushmem_handle_map(r.device, &m, fd, &error));
    shows(r.region, PAGE, 2 * PAGE, 1, 0);
    CHECK(strcmp(heard, "a") == 0);
    ok(vhushmem_device_commit(r.device));
    ok(vhushmem_device_commit(r.device));
    CHECK(strcmp(heard, "ac") == 0);

    refused(vhushmem_handle_map(r.device, &m, fd, &error), -EEXIST, hex(PAGE));
    VhostUserMMap wrong = mmap_of(9, 0, 8 * PAGE, PAGE, 0);
    refused(vhushmem_handle_map(r.device, &wrong, fd, &error), -ENOENT, "region 9");
    refused(vhushmem_handle_unmap(r.device, &wrong, &error), -ENOENT, "region 9");
    wrong = mmap_of(0, 0, 8 * PAGE, PAGE, 2);
    refused(vhushmem_handle_map(r.device, &wrong, fd, &error), -EINVAL, "0x2");
    wrong = mmap_of(0, 0, 8 * PAGE, 0, 0);
    refused(vhushmem_handle_map(r.device, &wrong, fd, &error), -EINVAL);
    wrong = mmap_of(0, PAGE, 8 * PAGE, 2 * PAGE, 0);
    refused(vhushmem_handle_map(r.device, &wrong, fd, &error), -EOVERFLOW);
    wrong = mmap_of(0, 0, UINT64_MAX - PAGE + 1, 2 * PAGE, 0);
    refused(vhushmem_handle_map(r.device, &wrong, fd, &error), -EINVAL);
    wrong = mmap_of(0, 0, 8 * PAGE, PAGE, 0);
    refused(vhushmem_handle_map(r.device, &wrong, -1, &error), -EINVAL, "0 file descriptors");
    refused(vhushmem_handle_map(r.device, &wrong, 9999, &error), -EBADF);
    wrong = mmap_of(0, 0, PAGE, PAGE, 0);
    refused(vhushmem_handle_unmap(r.device, &wrong, &error), -EINVAL, hex(2 * PAGE));
    refused(vhushmem_handle_map(NULL, &m, fd, &error), -EFAULT);
    refused(vhushmem_handle_map(r.device, NULL, fd, &error), -EFAULT);
    refused(vhushmem_handle_unmap(r.device, NULL, &error), -EFAULT);
    err(vhushmem_device_commit(NULL), -EFAULT);

    ok(vhushmem_handle_unmap(r.device, &m, &error));
    EQ(vhushmem_region_mapping_count(r.region), 0);
    memory_listener_unregister(&listener);
    close(fd);
    rig_close(&r);
    return 0;
}
