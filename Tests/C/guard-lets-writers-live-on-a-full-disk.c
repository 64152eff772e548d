/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A full disk has no room for the pages that a thread writes, although it can read them. The thread goes on, its bytes are
 * there, and the mapping is broken. Needs a small file system that it may fill, in the folder VHUSHMEM_TEST_DISK.
 */
#include "guard-rig.h"

#define PAGES 100 /* more than the library distinguishes one by one */

static void fill_disk(const char *path)
{
    static char piece[65536];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    while (write(fd, piece, sizeof(piece)) > 0 || write(fd, piece, 512) > 0) {}
    EQ(errno, ENOSPC);
    CHECK(fsync(fd) == 0);
    close(fd);
}

int main(void)
{
    rig r;
    uint64_t page = PAGE;
    const char *disk = getenv("VHUSHMEM_TEST_DISK");
    if (disk == NULL) {
        skip("VHUSHMEM_TEST_DISK names no small file system");
    }
    alarm((unsigned)(PATIENCE_MS / 1000)); /* a handler that repairs nothing would run for ever */
    char *file = g_strdup_printf("%s/file", disk), *rest = g_strdup_printf("%s/rest", disk);
    rig_open(&r, 128 * page, NULL);
    guard_begin();
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(PAGES * page)) == 0);
    ok(rig_map(&r, fd, 0, 0, PAGES * page, VHOST_USER_FLAG_MAP_RW));
    fill_disk(rest);
    volatile uint64_t *window = vhushmem_region_window(r.region);
    for (uint64_t i = 0; i < PAGES; i++) {
        EQ(window[i * page / 8], 0);
        window[i * page / 8] = i + 1;
    }
    CHECK(sigbus_count > 0);
    for (uint64_t i = 0; i < PAGES; i++) {
        EQ(window[i * page / 8], i + 1);
    }
    CHECK(is_broken(r.region, 0));
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_BROKEN] == 1);
    printf("note: %d signals\n", sigbus_count);
    ok(rig_unmap(&r, 0, PAGES * page));
    rig_still_works(&r);
    rig_close(&r);
    close(fd);
    CHECK(unlink(file) == 0 && unlink(rest) == 0);
    g_free(file);
    g_free(rest);
    return 0;
}
