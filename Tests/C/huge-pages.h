/* SPDX-License-Identifier: BSD-3-Clause */
/* Pages of hugetlbfs, where this machine has some. */
#ifndef VHUSHMEM_TESTS_HUGE_PAGES_H
#define VHUSHMEM_TESTS_HUGE_PAGES_H

#include "harness.h"

/*
 * Skips the test unless this many are free and can be mapped. Pages of more than 64 MiB are too
 * large for a test.
 */
static inline uint64_t huge_page_or_skip(long needed, long *free_pages)
{
    long free_now = 0, size_kb = 0;
    char line[200];
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        (void)(sscanf(line, "HugePages_Free: %ld", &free_now) == 1 ||
               sscanf(line, "Hugepagesize: %ld kB", &size_kb) == 1);
    }
    if (file != NULL) {
        fclose(file);
    }
    uint64_t huge = (uint64_t)size_kb * 1024, length = (uint64_t)needed * huge;
    if (free_now < needed || huge > 64 << 20) {
        skip("there are not enough free huge pages");
    }
    /* Pages that count as free may be promised to others, or this process may not use them. */
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    if (fd < 0 || ftruncate(fd, (off_t)length) != 0) {
        skip("memfd_create has no MFD_HUGETLB");
    }
    void *trial = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (trial == MAP_FAILED) {
        skip("huge pages cannot be mapped");
    }
    munmap(trial, length);
    if (free_pages != NULL) {
        *free_pages = free_now;
    }
    return huge;
}

/* The same for tests that map huge pages into a window. That takes a kernel that can move them. */
static inline uint64_t movable_huge_page_or_skip(long needed, long *free_pages)
{
    uint64_t huge = huge_page_or_skip(needed, free_pages);
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)huge) == 0);
    char *room =
        mmap(NULL, 2 * huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *trial = mmap(NULL, huge, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(room != MAP_FAILED && trial != MAP_FAILED);
    char *target = room + (huge - (uintptr_t)room % huge) % huge;
    if (mremap(trial, huge, huge, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED) {
        skip("the kernel cannot move huge pages (Linux 5.16 can)");
    }
    munmap(target, huge);
    munmap(room, 2 * huge);
    close(fd);
    return huge;
}

#endif
