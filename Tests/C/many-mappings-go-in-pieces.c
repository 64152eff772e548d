/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (it replaces mmap) */
/* asan: no (it replaces mmap) */
/*
 * However many mappings go at once, by unmap_all or with their device, the kernel never undoes more than 256 of them in one
 * call. During such a call no other thread of the process can map anything.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include "harness.h"

#define MANY 3000

static size_t whole, in_pieces, longest;
static int wholes;
static bool looking;

/* The library's calls come here. */
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (real == NULL) {
        real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    }
    if (looking && (flags & MAP_FIXED) != 0 && length == whole) {
        wholes++;
    } else if (looking && (flags & MAP_FIXED) != 0) {
        in_pieces += length;
        longest = length > longest ? length : longest;
    }
    return real(address, length, protection, flags, fd, offset);
}

static vhushmem_region *filled(vhushmem_device *device, int file)
{
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 2 * MANY * PAGE, NULL, &error));
    for (uint64_t i = 0; i < MANY; i++) {
        ok(vhushmem_region_map(region, file, 0, 2 * i * PAGE, PAGE, 0, &error));
    }
    return region;
}

int main(void)
{
    int file = memfd_of(PAGE, 1);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = filled(device, file);
    whole = 2 * MANY * PAGE;
    looking = true;
    EQ(vhushmem_region_unmap_all(region), MANY);
    looking = false;
    /* The last call replaces the whole window, with what is left in it. */
    EQ(wholes, 1);
    CHECK(longest <= 2 * 256 * PAGE);
    CHECK(in_pieces >= 2 * (MANY - 256 - 10) * PAGE); /* the hole after each piece is not in it */
    EQ(vhushmem_region_mapping_count(region), 0);
    for (uint64_t i = 0; i < 2 * MANY; i++) {
        CHECK(!readable((char *)vhushmem_region_window(region) + i * PAGE));
    }
    vhushmem_device_unref(device);
    close(file);
    return 0;
}
