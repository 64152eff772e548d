/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A refused map that would replace a live mapping leaves that mapping unchanged: its bytes, its protection, its object, the
 * counters. A quota that is used up to the last mapping and byte does not prevent a replacement.
 */
#include "rig.h"

static const vhushmem_region_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_REGION_REPLACE};

static void is_as_it_was(rig *r, vhushmem_mapping *mapping, int file, uint64_t flags)
{
    char *window = (char *)vhushmem_region_window(r->region) + 4 * PAGE;
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    EQ(vhushmem_mapping_get_info(mapping, &info), 1);
    CHECK(info.host == window);
    EQ(info.flags, flags);
    EQ(writable(window), flags != 0);
    CHECK(vhushmem_region_translate(r->region, 4 * PAGE, 2 * PAGE, true) == (flags ? window : NULL));
    CHECK(vhushmem_region_translate(r->region, 4 * PAGE, 2 * PAGE, false) == window);
    shows(r->region, 4 * PAGE, 2 * PAGE, 1, 0);
    /* It is still the file, and no copy. */
    uint64_t word = pattern(1, PAGE), other = 5;
    CHECK(pwrite(file, &other, 8, (off_t)PAGE) == 8);
    EQ(word_at(r->region, 5 * PAGE), 5);
    CHECK(pwrite(file, &word, 8, (off_t)PAGE) == 8);
}

static void facts(rig *r)
{
    int file = memfd_of(2 * PAGE, 1), reader = read_only(file), sealed = memfd_of(2 * PAGE, 2), shorter = memfd_of(PAGE, 3);
    int pipes[2], other = memfd_of(2 * PAGE, 4);
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    for (int i = 0; i < 2; i++) {
        uint64_t flags = i == 0 ? 0 : VHOST_USER_FLAG_MAP_RW;
        ok(rig_map(r, file, 0, 4 * PAGE, 2 * PAGE, flags));
        vhushmem_mapping *mapping = some(vhushmem_region_find_mapping(r->region, 4 * PAGE, 2 * PAGE));
        rig_refuses(r, rig_map(r, reader, 0, 4 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW), -EACCES);
        is_as_it_was(r, mapping, file, flags);
        rig_refuses(r, rig_map(r, sealed, 0, 4 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW), -EPERM);
        is_as_it_was(r, mapping, file, flags);
        rig_refuses(r, rig_map(r, shorter, 0, 4 * PAGE, 2 * PAGE, 0), -EOVERFLOW);
        rig_refuses(r, rig_map(r, pipes[0], 0, 4 * PAGE, 2 * PAGE, 0), -ENODEV);
        rig_refuses(r, rig_map(r, other, 100, 4 * PAGE, 2 * PAGE, 0), -EINVAL);
        is_as_it_was(r, mapping, file, flags);
        ok(rig_unmap(r, 4 * PAGE, 2 * PAGE));
        vhushmem_mapping_unref(mapping);
    }
    close(file);
    close(reader);
    close(sealed);
    close(shorter);
    close(other);
    close(pipes[0]);
    close(pipes[1]);
}

static void at_the_quota(void)
{
    rig r;
    vhushmem_device_options device = {.struct_size = sizeof(device), .max_mappings = 1, .max_bytes = 2 * PAGE};
    rig_open_plain(&r, 16 * PAGE, &device, &options);
    int file = memfd_of(2 * PAGE, 1);
    ok(vhushmem_region_map(r.region, file, 0, 4 * PAGE, 2 * PAGE, 0, &error));
    err(vhushmem_region_map(r.region, file, 0, 0, PAGE, 0, &error), -ENOSPC);
    for (int i = 0; i < 10; i++) {
        ok(vhushmem_region_map(r.region, file, 0, 4 * PAGE, 2 * PAGE, i % 2 ? 0 : VHOST_USER_FLAG_MAP_RW, &error));
    }
    EQ(vhushmem_device_mapping_count(r.device), 1);
    EQ(vhushmem_device_mapped_bytes(r.device), 2 * PAGE);
    ok(vhushmem_region_unmap(r.region, 4 * PAGE, 2 * PAGE, &error));
    ok(vhushmem_region_map(r.region, file, 0, 0, PAGE, 0, &error));
    close(file);
    rig_close(&r);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, &options);
    at_the_quota();
    return 0;
}
