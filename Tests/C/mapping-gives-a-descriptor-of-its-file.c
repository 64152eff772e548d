/* SPDX-License-Identifier: BSD-3-Clause */
/* vhushmem_mapping_dup_fd gives a new descriptor of a mapping's file if the region keeps descriptors. Otherwise it fails
   with ENOENT. */
#include "rig.h"

static const vhushmem_region_options keeping = {.struct_size = sizeof(keeping), .flags = VHUSHMEM_REGION_KEEP_FDS};

static void is_same_file(int fd, int file)
{
    struct stat one, other;
    CHECK(fd >= 0 && fd != file);
    CHECK(fstat(fd, &one) == 0 && fstat(file, &other) == 0);
    EQ(one.st_ino, other.st_ino);
    EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void with_descriptors(rig *r)
{
    int file = memfd_of(3 * PAGE, 1);
    char *fds = fds_now();
    ok(rig_map(r, file, PAGE, 4 * PAGE, 2 * PAGE, 0));
    vhushmem_mapping *mapping = some(vhushmem_region_find_mapping(r->region, 4 * PAGE, 2 * PAGE));
    int first = (int)ok(vhushmem_mapping_dup_fd(mapping, &error)), second = (int)ok(vhushmem_mapping_dup_fd(mapping, &error));
    CHECK(first != second);
    is_same_file(first, file);
    is_same_file(second, file);
    close(first);

    /* It outlives the mapping, and can be mapped again in the same way. */
    ok(rig_unmap(r, 4 * PAGE, 2 * PAGE));
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    EQ(vhushmem_mapping_get_info(mapping, &info), 0);
    ok(rig_map(r, second, info.fd_offset, info.shm_offset, info.len, info.flags));
    shows(r->region, 4 * PAGE, 2 * PAGE, 1, PAGE);
    ok(rig_unmap(r, 4 * PAGE, 2 * PAGE));
    close(second);
    vhushmem_mapping_unref(mapping);
    same(fds, fds_now());
    close(file);
}

static void without(rig *r)
{
    int file = memfd_of(3 * PAGE, 1);
    ok(rig_map(r, file, 0, 4 * PAGE, 2 * PAGE, 0));
    vhushmem_mapping *mapping = some(vhushmem_region_find_mapping(r->region, 4 * PAGE, 2 * PAGE));
    refused(vhushmem_mapping_dup_fd(mapping, &error), -ENOENT, hex(4 * PAGE));
    vhushmem_mapping_unref(mapping);
    /* A described mapping has its file until it is added. */
    mapping = some(vhushmem_mapping_new(0, file, 0, 8 * PAGE, PAGE, 0, &error));
    int fd = (int)ok(vhushmem_mapping_dup_fd(mapping, &error));
    is_same_file(fd, file);
    close(fd);
    vhushmem_mapping_ref(mapping);
    ok(vhushmem_region_add_mapping(r->region, mapping, &error));
    refused(vhushmem_mapping_dup_fd(mapping, &error), -ENOENT);
    vhushmem_mapping_unref(mapping);
    vhushmem_region_unmap_all(r->region);
    close(file);
}

int main(void)
{
    through_every_door(with_descriptors, 16 * PAGE, NULL, &keeping);
    through_every_door(without, 16 * PAGE, NULL, NULL);
    refused(vhushmem_mapping_dup_fd(NULL, &error), -EFAULT);
    return 0;
}
