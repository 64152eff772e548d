/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_DAX_RIG_H
#define VHUSHMEM_TESTS_DAX_RIG_H

/* For the tests of chunks that reach beyond their file's end. */

#include "guard-rig.h"

static const vhushmem_region_options dax_options = {.struct_size = sizeof(dax_options),
                                                    .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END,
                                                    .flags = VHUSHMEM_REGION_REPLACE};

/* What touches a page that its file lacks. */
enum { BY_THREAD, BY_GUEST_READ, BY_GUEST_WRITE, TOUCHERS };

static inline void touch_missing(rig *r, uint64_t at, int by)
{
    switch (by) {
    case BY_THREAD:
        EQ(word_at(r->region, at), 0); /* the guard covers it, or somebody touched it just before */
        break;
    case BY_GUEST_READ:
        ok(vhushmem_resolve_guest_fault(r->region, at, 8, VHUSHMEM_ACCESS_READ, NULL));
        break;
    default:
        ok(vhushmem_resolve_guest_fault(r->region, at, 8, VHUSHMEM_ACCESS_WRITE, NULL));
        break;
    }
}

/* How a covered page becomes the file's again: something happens after its time. */
enum { AFTER_DISPATCH, AFTER_HEAL, AFTER_FAULT, AFTERS };

static inline bool pages_show(rig *r, uint64_t first, uint64_t end, uint64_t seed)
{
    for (uint64_t page = first; page < end; page++) {
        if (word_at(r->region, page * PAGE) != pattern(seed, page * PAGE)) {
            return false;
        }
    }
    return true;
}

/*
 * The file, which is mapped at 0, has all these pages now. This waits until they show. Only a
 * dispatch and a fault wait for the end of the pages' time; vhushmem_region_heal acts at once.
 * `elsewhere`: a page of the region that may be touched.
 */
static inline void let_them_come_back(rig *r, uint64_t first, uint64_t end, uint64_t seed,
                                      int after, uint64_t elsewhere)
{
    switch (after) {
    case AFTER_DISPATCH:
        PUMP_UNTIL(r->frontend, pages_show(r, first, end, seed));
        break;
    case AFTER_HEAL:
        ok(vhushmem_region_heal(r->region));
        break;
    default:
        usleep(11000); /* its time is 10 ms */
        ok(vhushmem_resolve_guest_fault(r->region, elsewhere, 8, VHUSHMEM_ACCESS_READ, NULL));
        break;
    }
    shows(r->region, first * PAGE, (end - first) * PAGE, seed, first * PAGE);
}

/* Writes through the window reach the file: the page is no copy. */
static inline void writes_reach(rig *r, int file, uint64_t at, uint64_t fd_offset)
{
    uint64_t seen = 0;
    *(volatile uint64_t *)((char *)vhushmem_region_window(r->region) + at) = 4711;
    CHECK(pread(file, &seen, 8, (off_t)fd_offset) == 8);
    EQ(seen, 4711);
}

/* A file in the test's own directory, on a disk or in memory, as TMPDIR says. */
static inline int dax_file(bool named, uint64_t bytes, uint64_t seed)
{
    if (!named) {
        return memfd_of(bytes, seed);
    }
    char *directory = new_directory(), *path = g_strdup_printf("%s/file", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    fill(fd, bytes, seed);
    remove_directory(directory);
    g_free(path);
    return fd;
}

#endif
