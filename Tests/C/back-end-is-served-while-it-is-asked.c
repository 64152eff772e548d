/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A call that waits for a back-end's answer also serves the maps that the back-end sends first. Inside a listener the
 * back-end itself waits, so the call asks nothing there.
 */
#include "device-rig.h"

#include <vhushmem/series.h>

static rig r;
static int asked_in_listener;

static bool map_first(peer *p, const message *m)
{
    if (m->header.request == GET_CONFIG) {
        int fd = memfd_of(PAGE, 1);
        VhostUserMMap map = mmap_of(0, 0, PAGE, PAGE, 0);
        message answer;
        send_message(p->channel, MAP, 0x9, &map, sizeof(map), &fd, 1);
        EQ(receive(p->channel, &answer, PATIENCE_MS), 1);
        EQ(u64_of(&answer), 0);
        close(fd);
    }
    return device_answer(p, m);
}

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    uint8_t byte;
    (void)listener;
    (void)section;
    err(vhushmem_frontend_get_config(r.frontend, 0, &byte, 1, &error), -EDEADLK);
    asked_in_listener++;
}

int main(void)
{
    uint8_t byte;
    device_rig_open(&r, 1, DEVICE_FEATURES);
    MemoryListener listener = {.region_add = region_add, .name = "test"};
    memory_listener_register(&listener, some(virtio_shmem_memory_region(r.region)));
    r.peer.answer = map_first;
    ok(vhushmem_frontend_get_config(r.frontend, 0, &byte, 1, &error));
    EQ(asked_in_listener, 1);
    EQ(vhushmem_region_mapping_count(r.region), 1);
    shows(r.region, PAGE, PAGE, 1, 0);
    memory_listener_unregister(&listener);
    rig_close(&r);
    return 0;
}
