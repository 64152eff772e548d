/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nothing in a window can be executed, even in a process with the personality READ_IMPLIES_EXEC: files of each kind of map,
 * holes that show zeros, pages that a guest has written, and zeros for lost pages of a file.
 */
#include "guard-rig.h"

#include <vhushmem/series.h>

#include <sys/personality.h>

static void nothing_is_executable(vhushmem_region *region)
{
    char *window = vhushmem_region_window(region);
    for (uint64_t at = 0; at < vhushmem_region_size(region); at += PAGE) {
        if (strchr(perms_at(window + at), 'x') != NULL) {
            FAIL("page 0x%" PRIx64 " of the window is %s", at, perms_at(window + at));
        }
    }
}

static void facts(uint32_t holes)
{
    rig r;
    vhushmem_region_options options = {.struct_size = sizeof(options),
                                       .holes = holes,
                                       .flags = VHUSHMEM_REGION_REPLACE,
                                       .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END};
    rig_open_plain(&r, 32 * PAGE, NULL, &options);
    nothing_is_executable(r.region);
    int file = memfd_of(2 * PAGE, 1), sealed = memfd_of(2 * PAGE, 2), zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    char *directory = new_directory(), *path = g_strdup_printf("%s/file", directory);
    int named = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(named >= 0 && zero >= 0);
    fill(named, 2 * PAGE, 3);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    ok(vhushmem_region_map(r.region, file, 0, 0, 2 * PAGE, 0, &error));
    ok(vhushmem_region_map(r.region, file, 0, 2 * PAGE, 4 * PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    ok(vhushmem_region_map(r.region, sealed, 0, 7 * PAGE, 2 * PAGE, 0, &error));
    ok(vhushmem_region_map(r.region, named, 0, 10 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    ok(vhushmem_region_map(r.region, zero, 0, 13 * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    nothing_is_executable(r.region);
    ok(vhushmem_region_map(r.region, file, 0, 0, 2 * PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    nothing_is_executable(r.region);
    EQ(word_at(r.region, 5 * PAGE), 0); /* beyond the end: the guard's zeros */
    nothing_is_executable(r.region);
    ok(vhushmem_resolve_guest_fault(r.region, 20 * PAGE, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    ok(vhushmem_resolve_guest_fault(r.region, 7 * PAGE, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    nothing_is_executable(r.region);
    ok(vhushmem_resolve_guest_fault(r.region, 21 * PAGE, 8, VHUSHMEM_ACCESS_READ, NULL));
    nothing_is_executable(r.region);
    ok(vhushmem_region_unmap(r.region, 7 * PAGE, 2 * PAGE, &error));
    nothing_is_executable(r.region);
    vhushmem_region_unmap_all(r.region);
    nothing_is_executable(r.region);
    close(file);
    close(sealed);
    close(named);
    close(zero);
    g_free(path);
    remove_directory(directory);
    rig_close(&r);
}

/* Before a region is made, nothing else has looked at the personality. */
static void ram_is_not_executable(void)
{
    MemoryRegion ram = {0};
    CHECK(memory_region_init_ram_from_fd(&ram, NULL, "ram", PAGE, RAM_SHARED, memfd_of(PAGE, 1), 0, &error));
    CHECK(strchr(perms_at(memory_region_get_ram_ptr(&ram)), 'x') == NULL);
    memory_region_unref(&ram);
}

int main(void)
{
    guard_begin();
    /* READ_IMPLIES_EXEC is set before the first region, in a process that did not start with it. */
    if (personality(READ_IMPLIES_EXEC | (unsigned long)personality(0xffffffff)) == -1) {
        skip("this process may not set its personality");
    }
    void *own = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(own != MAP_FAILED);
    if (strchr(perms_at(own), 'x') == NULL) {
        skip("READ_IMPLIES_EXEC has no effect here");
    }
    ram_is_not_executable();
    facts(VHUSHMEM_HOLES_FAULT);
    facts(VHUSHMEM_HOLES_ZERO);
    return 0;
}
