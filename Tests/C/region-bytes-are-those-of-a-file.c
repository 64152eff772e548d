/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * If vhushmem_region_read returns 0, its bytes are of files that were mapped. If vhushmem_region_write returns 0, it has
 * written to one of them. This holds whatever happens to the mapping meanwhile: unmapped, undone with all others, replaced in
 * place, truncated.
 */
/* tsan: yes (several threads use one region) */
/* asan: scale 3 (without a tool, the race runs for its full time) */
#include "memory-rig.h"

#define PAGES 16
#define FIRST 0xaa
#define SECOND 0xbb

enum { BY_UNMAP, BY_UNMAP_ALL, BY_REPLACE, BY_TRUNCATE, WAYS };

static vhushmem_region *region;
static int files[2], way;
static uint64_t rounds, good_reads, good_writes;

static void *mapper(void *user_data)
{
    (void)user_data;
    for (int i = 0; race_goes_on(); i = !i) {
        int result = vhushmem_region_map(region, files[i], 0, 0, PAGES * PAGE, VHOST_USER_FLAG_MAP_RW, &error);
        ok(result);
        switch (way) {
        case BY_UNMAP:
            ok(vhushmem_region_unmap(region, 0, PAGES * PAGE, &error));
            break;
        case BY_UNMAP_ALL:
            EQ(vhushmem_region_unmap_all(region), 1);
            break;
        case BY_TRUNCATE: /* no thread reads this page; its loss and its repair come and go */
            CHECK(ftruncate(files[i], 4 * (off_t)PAGE) == 0);
            ok(vhushmem_resolve_guest_fault(region, 5 * PAGE, 8, VHUSHMEM_ACCESS_READ, NULL));
            ok(vhushmem_region_unmap(region, 0, PAGES * PAGE, &error));
            CHECK(ftruncate(files[i], PAGES * (off_t)PAGE) == 0);
            break;
        default:
            break;
        }
        count_up(&rounds);
    }
    return NULL;
}

static void *reader(void *user_data)
{
    (void)user_data;
    char *bytes = g_malloc(PAGE);
    while (race_goes_on()) {
        memset(bytes, 0x55, PAGE);
        int result = vhushmem_region_read(region, 3 * PAGE, bytes, PAGE, NULL);
        CHECK(result == 0 || result == -ENOENT || result == -EAGAIN || (result == -EIO && way == BY_TRUNCATE));
        if (result == 0) {
            if (!page_is(bytes, FIRST) && !page_is(bytes, SECOND)) {
                FAIL("read returned 0 with a byte that no file had: 0x%02x", bytes[0] & 0xff);
            }
            count_up(&good_reads);
        }
        if (way == BY_TRUNCATE) {
            /* The page that the files lose. Zeros there may be the file's, once it is as long again. */
            result = vhushmem_region_read(region, 5 * PAGE, bytes, 8, NULL);
            CHECK(result == 0 || result == -ENOENT || result == -EAGAIN || result == -EIO);
        }
    }
    g_free(bytes);
    return NULL;
}

static void *writer(void *user_data)
{
    (void)user_data;
    for (uint64_t token = 1; race_goes_on(); token++) {
        int result = vhushmem_region_write(region, 2 * PAGE, &token, 8, NULL);
        CHECK(result == 0 || result == -ENOENT || result == -EAGAIN || (result == -EIO && way == BY_TRUNCATE));
        if (result == 0) {
            uint64_t seen[2] = {0, 0};
            for (int i = 0; i < 2; i++) {
                CHECK(pread(files[i], &seen[i], 8, 2 * (off_t)PAGE) == 8);
            }
            if (seen[0] != token && seen[1] != token) {
                FAIL("write returned 0, but no file has the byte");
            }
            count_up(&good_writes);
        }
    }
    return NULL;
}

static void facts(uint32_t holes)
{
    rig r;
    pthread_t threads[3];
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes};
    options.flags = way == BY_REPLACE ? VHUSHMEM_REGION_REPLACE : 0;
    rig_open_plain(&r, 2 * PAGES * PAGE, NULL, &options);
    region = r.region;
    rounds = good_reads = good_writes = 0;
    files[0] = memfd_of_bytes(PAGES, FIRST);
    files[1] = memfd_of_bytes(PAGES, SECOND);
    CHECK(pthread_create(&threads[0], NULL, mapper, NULL) == 0);
    CHECK(pthread_create(&threads[1], NULL, reader, NULL) == 0);
    CHECK(pthread_create(&threads[2], NULL, writer, NULL) == 0);
    /* Valgrind runs one thread at a time, and not in turn, so it may never find something mapped. */
    RACE(threads, 3, counted(&rounds) > 20 && (under_valgrind() || (counted(&good_reads) > 20 && counted(&good_writes) > 20)));
    close(files[0]);
    close(files[1]);
    rig_close(&r);
}

int main(void)
{
    races = 4;
    for (way = 0; way < WAYS; way++) {
        facts(VHUSHMEM_HOLES_ZERO);
        facts(VHUSHMEM_HOLES_FAULT);
    }
    return 0;
}
