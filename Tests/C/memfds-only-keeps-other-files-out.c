/* SPDX-License-Identifier: BSD-3-Clause */
/* With VHUSHMEM_FD_MEMFD_ONLY a region takes memfds, sealed ones and those of huge pages too, and refuses every other file
   with EACCES. */
#include "rig.h"

#include <sched.h>
#include <sys/mount.h>

static const vhushmem_region_options options = {.struct_size = sizeof(options), .fd_policy = VHUSHMEM_FD_MEMFD_ONLY};

static void keeps_out(rig *r, int fd)
{
    CHECK(fd >= 0);
    rig_refuses(r, rig_map(r, fd, 0, 0, PAGE, 0), -EACCES);
    close(fd);
}

static int new_file(const char *directory, bool deleted)
{
    char *path = g_strdup_printf("%s/file", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    fill(fd, 2 * PAGE, 5);
    if (deleted) {
        unlink(path);
    }
    g_free(path);
    return fd;
}

static void facts(rig *r)
{
    int file = memfd_of(2 * PAGE, 1), sealed = memfd_of(2 * PAGE, 2), reader = read_only(file);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK) == 0);
    ok(rig_map(r, file, 0, 0, 2 * PAGE, VHOST_USER_FLAG_MAP_RW));
    ok(rig_map(r, sealed, 0, 2 * PAGE, 2 * PAGE, 0));
    ok(rig_map(r, reader, 0, 4 * PAGE, 2 * PAGE, 0));
    shows(r->region, 0, 2 * PAGE, 1, 0);
    shows(r->region, 2 * PAGE, 2 * PAGE, 2, 0);
    shows(r->region, 4 * PAGE, 2 * PAGE, 1, 0);
    EQ(vhushmem_region_unmap_all(r->region), 3);
    close(file);
    close(sealed);
    close(reader);

    char *directory = new_directory();
    for (int deleted = 0; deleted < 2; deleted++) {
        keeps_out(r, new_file(directory, deleted));
        keeps_out(r, new_file("/dev/shm", true)); /* in memory, but no memfd */
    }
    int temporary = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (temporary >= 0) {
        fill(temporary, 2 * PAGE, 5);
        keeps_out(r, temporary);
    }
    temporary = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (temporary >= 0) {
        fill(temporary, 2 * PAGE, 5);
        keeps_out(r, temporary);
    }
    keeps_out(r, open("/dev/zero", O_RDWR | O_CLOEXEC));
    keeps_out(r, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    remove_directory(directory);
}

/* For a process that may mount. */
static void in_a_tmpfs(rig *r, const char *directory)
{
    if (mount("none", directory, "tmpfs", 0, "size=64k") != 0) {
        return;
    }
    keeps_out(r, new_file(directory, true));
    keeps_out(r, new_file(directory, false));
    CHECK(umount(directory) == 0);
}

static void huge(rig *r)
{
    uint64_t size = (uint64_t)2 << 20;
    int file = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    if (file < 0 || ftruncate(file, (off_t)size) != 0) {
        return;
    }
    int64_t result = rig_map(r, file, 0, 0, size, VHOST_USER_FLAG_MAP_RW);
    /* None is free, or the kernel cannot put it into a window. */
    CHECK(result == 0 || result == -ENOMEM || result == -EOPNOTSUPP || result == -EINVAL);
    g_clear_error(&error);
    if (result == 0) {
        EQ(word_at(r->region, 0), 0);
        ok(rig_unmap(r, 0, size));
    }
    close(file);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, &options);
    rig r;
    rig_open_plain(&r, (uint64_t)8 << 20, NULL, &options);
    huge(&r);
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0) {
        char *directory = new_directory();
        in_a_tmpfs(&r, directory);
        remove_directory(directory);
    }
    rig_close(&r);
    return 0;
}
