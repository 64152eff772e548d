/* SPDX-License-Identifier: BSD-3-Clause */
/* A device file may be mapped, unless the region takes files only (EACCES). */
#include "rig.h"

static void devices_are_mapped(rig *r)
{
    uint64_t page = PAGE;
    int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    ok(rig_map(r, fd, 0, 0, 2 * page, VHOST_USER_FLAG_MAP_RW));
    EQ(word_at(r->region, page), 0);
    CHECK(writable(vhushmem_region_window(r->region)));
    ok(rig_unmap(r, 0, 2 * page));
    close(fd);
}

static void devices_are_refused(rig *r)
{
    int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    rig_refuses(r, rig_map(r, fd, 0, 0, PAGE, 0), -EACCES);
    rig_refuses(r, rig_map(r, fd, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW), -EACCES);
    close(fd);

    FILE *file = tmpfile();
    CHECK(file != NULL);
    fill(fileno(file), PAGE, 1);
    ok(rig_map(r, fileno(file), 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW));
    shows(r->region, 0, PAGE, 1, 0);
    fclose(file);
}

int main(void)
{
    vhushmem_region_options files_only = {.struct_size = sizeof(files_only), .fd_policy = VHUSHMEM_FD_FILES_ONLY};
    through_every_door(devices_are_mapped, 16 * PAGE, NULL, NULL);
    through_every_door(devices_are_refused, 16 * PAGE, NULL, &files_only);
    return 0;
}
