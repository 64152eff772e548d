/* SPDX-License-Identifier: BSD-3-Clause */
/* A start or a stop that is refused because a listener called it leaves the device unchanged. It can be stopped and started
   afterwards. */
#include "device-rig.h"

#include <vhushmem/series.h>

static rig r;
static vhushmem_queue queue;
static int stopped, started;

static void on_section(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    stopped = vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error);
    g_clear_error(&error);
    started = vhushmem_frontend_start_device(r.frontend, BIT(32), &queue, 1, &error);
    g_clear_error(&error);
}

int main(void)
{
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fd = memfd_of(PAGE, 1);
    MemoryListener listener = {.region_add = on_section};
    queue = queue_of(64, 0, 0x10000, kick);
    device_rig_open(&r, 1, DEVICE_FEATURES);
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), &queue, 1, &error));
    memory_listener_register(&listener, virtio_shmem_memory_region(r.region));
    EQ(wire_map(&r, 0, fd, 0, 0, PAGE, 0), 0);
    EQ(stopped, -EDEADLK);
    EQ(started, -EDEADLK);
    CHECK(vhushmem_frontend_is_started(r.frontend));
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 1);
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), &queue, 1, &error));
    memory_listener_unregister(&listener);
    rig_close(&r);
    close(kick);
    close(fd);
    return 0;
}
