/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file cannot provide a page in the middle of a mapping, because the file system is full. The page becomes memory of its
 * own, and the pages around it stay the file's. Needs its own file system, and so the right to mount one.
 */
#include "guard-rig.h"

#include <sched.h>
#include <sys/mount.h>

int main(void)
{
    rig r;
    uint64_t page = PAGE;
    char *directory = new_directory(), *path = g_strdup_printf("%s/file", directory);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", directory, "tmpfs", 0, "nr_blocks=16") != 0) {
        remove_directory(directory);
        skip("no file system can be mounted here");
    }
    rig_open(&r, 64 * page, NULL);
    guard_begin();
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(ftruncate(fd, (off_t)(32 * page)) == 0);
    ok(rig_map(&r, fd, 0, 0, 32 * page, VHOST_USER_FLAG_MAP_RW));
    volatile uint64_t *window = vhushmem_region_window(r.region);
    for (uint64_t i = 0; i < 32; i++) {
        window[i * page / 8] = i + 1;
    }
    CHECK(sigbus_count > 0);
    uint64_t kept = 0;
    for (uint64_t i = 0; i < 32; i++) {
        uint64_t word = 0;
        EQ(window[i * page / 8], i + 1);
        CHECK(pread(fd, &word, 8, (off_t)(i * page)) == 8);
        kept += word == i + 1;
    }
    CHECK(kept >= 8 && kept < 32);
    CHECK(is_broken(r.region, 0));
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_BROKEN] == 1);
    ok(rig_unmap(&r, 0, 32 * page));
    rig_still_works(&r);
    rig_close(&r);
    close(fd);
    CHECK(umount(directory) == 0);
    remove_directory(directory);
    g_free(path);
    return 0;
}
