/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hugetlb file is mapped by its own page size: offsets and lengths that are no multiple of it are refused with EINVAL, and a map
 * for which there is no huge page left, with ENOMEM.
 */
#include "rig.h"

static uint64_t huge;

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(2 * huge)) == 0);
    rig_refuses(r, rig_map(r, fd, 0, page, huge, 0), -EINVAL, hex(page), hex(huge));
    rig_refuses(r, rig_map(r, fd, page, 0, huge, 0), -EINVAL, hex(page), hex(huge));
    rig_refuses(r, rig_map(r, fd, 0, 0, page, 0), -EINVAL, hex(huge));
    rig_refuses(r, rig_map(r, fd, 0, 0, huge + page, 0), -EINVAL, hex(huge + page), hex(huge));
    ok(rig_map(r, fd, huge, huge, huge, VHOST_USER_FLAG_MAP_RW));
    char *window = vhushmem_region_window(r->region);
    EQ((uintptr_t)window % huge, 0);
    *(volatile uint64_t *)(window + 2 * huge - 8) = 42;
    EQ(word_at(r->region, 2 * huge - 8), 42);
    CHECK(!readable(window + huge - 1));
    ok(rig_unmap(r, huge, huge));
    CHECK(!readable(window + huge));
    close(fd);
}

static void too_many(rig *r)
{
    /* More than the pool has: whatever the answer, nothing is lost. */
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(1024 * huge)) == 0);
    rig_refuses(r, rig_map(r, fd, 0, 0, 1024 * huge, VHOST_USER_FLAG_MAP_RW), -ENOMEM);
    close(fd);
}

int main(void)
{
    long free_pages = 0, size_kb = 0;
    char line[200];
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        (void)(sscanf(line, "HugePages_Free: %ld", &free_pages) == 1 || sscanf(line, "Hugepagesize: %ld kB", &size_kb) == 1);
    }
    if (file != NULL) {
        fclose(file);
    }
    huge = (uint64_t)size_kb * 1024;
    if (free_pages < 2 || huge > 64 << 20) {
        skip("there are no free huge pages");
    }
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    if (fd < 0 || ftruncate(fd, (off_t)huge) != 0) {
        skip("memfd_create has no MFD_HUGETLB");
    }
    void *trial = mmap(NULL, huge, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (trial == MAP_FAILED) {
        skip("huge pages can't be mapped");
    }
    munmap(trial, huge);
    through_every_door(facts, 8 * huge, NULL, NULL);
    if (free_pages < 1024) {
        through_every_door(too_many, 1025 * huge, NULL, NULL);
    }
    return 0;
}
