/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_FILES_H
#define VHUSHMEM_TESTS_FILES_H

/* Files with a known content, and how a region shows them. */

#include "checks.h"

/* The word at an offset (a multiple of 8) of a file that `memfd_of` made. */
static inline uint64_t pattern(uint64_t seed, uint64_t offset) { return (seed + 1) << 40 | offset; }

static inline void fill(int fd, uint64_t bytes, uint64_t seed)
{
    CHECK(ftruncate(fd, (off_t)bytes) == 0);
    uint64_t words[512];
    for (uint64_t at = 0; at < bytes; at += sizeof(words)) {
        size_t n = bytes - at < sizeof(words) ? (size_t)(bytes - at) : sizeof(words);
        for (size_t i = 0; i < 512; i++) {
            words[i] = pattern(seed, at + i * 8);
        }
        CHECK(pwrite(fd, words, n, (off_t)at) == (ssize_t)n);
    }
}

/* A memfd of this many bytes, filled with the pattern of the seed. It may be sealed. */
static inline int memfd_of(uint64_t bytes, uint64_t seed)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    fill(fd, bytes, seed);
    return fd;
}

/* The same file, open for reading only. */
static inline int read_only(int fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(again >= 0);
    return again;
}

/* The word at an offset of a region, read through its window as the guest would. */
static inline uint64_t word_at(vhushmem_region *region, uint64_t offset)
{
    return *(volatile uint64_t *)((char *)vhushmem_region_window(region) + offset);
}

/*
 * The first and the last word of each page of a range show the file's pattern. `len` is in whole
 * pages.
 */
#define shows(region, offset, len, seed, fd_offset)                                                \
    shows_at(__FILE__, __LINE__, region, offset, len, seed, fd_offset)

static inline void shows_at(const char *file, int line, vhushmem_region *region, uint64_t offset,
                            uint64_t len, uint64_t seed, uint64_t fd_offset)
{
    uint64_t page = PAGE;
    for (uint64_t at = 0; at < len; at += page) {
        uint64_t ends[2] = {at, at + page - 8};
        for (int i = 0; i < 2; i++) {
            uint64_t seen = word_at(region, offset + ends[i]);
            if (seen != pattern(seed, fd_offset + ends[i])) {
                fail_at(file, line,
                        "at 0x%" PRIx64 " of the region is 0x%" PRIx64 ", not 0x%" PRIx64,
                        offset + ends[i], seen, pattern(seed, fd_offset + ends[i]));
            }
        }
    }
}

/* A directory of the test's own. remove_directory removes it with what it contains. */
static inline char *new_directory(void)
{
    const char *base = getenv("TMPDIR");
    char *path = g_strdup_printf("%s/vhushmem-XXXXXX", base != NULL ? base : "/tmp");
    CHECK(mkdtemp(path) != NULL);
    return path;
}

static inline void remove_directory(char *path)
{
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
    rmdir(path);
    g_free(path);
}

#endif
