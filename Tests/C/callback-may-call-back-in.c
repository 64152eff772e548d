/* SPDX-License-Identifier: BSD-3-Clause */
/* A callback may map, unmap, look and reset: no lock is held while it runs. */
#include "rig.h"

static int fd;

static void event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    int *calls = user_data;
    uint64_t page = PAGE;
    if (event->type != VHUSHMEM_EVENT_MAP) {
        return;
    }
    vhushmem_device *device = vhushmem_frontend_device(frontend);
    vhushmem_region *region = some(vhushmem_device_find_region(device, event->shmid));
    EQ(vhushmem_region_mapping_count(region), 1);
    shows(region, event->shm_offset, event->len, 1, 0);
    ok(vhushmem_region_map(region, fd, 0, 8 * page, page, 0, &error));
    ok(vhushmem_region_unmap(region, event->shm_offset, event->len, &error));
    CHECK(vhushmem_frontend_is_ready(frontend));
    ok(vhushmem_frontend_reset(frontend, &error));
    EQ(vhushmem_region_mapping_count(region), 0);
    ++*calls;
}

int main(void)
{
    uint64_t page = PAGE;
    int calls = 0;
    rig r;
    rig_open(&r, 16 * page, NULL);
    ok(vhushmem_frontend_set_callback(r.frontend, event, &calls, NULL));
    fd = memfd_of(page, 1);
    VhostUserMMap m = mmap_of(0, 0, 0, page, 0);
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
    ok(rig_answer(&r, MAP));
    EQ(calls, 1);
    close(fd);
    rig_close(&r);
    return 0;
}
