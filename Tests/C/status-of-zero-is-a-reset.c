/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver resets its device by writing 0 to its status: mappings go, the device does not run, and RESET comes when the
 * back-end has answered. A stop resets nothing.
 */
#include "device-rig.h"

static rig r;
static int ended_with = 99, resets_when_ended;

static void ended(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    ended_with = reply->result;
    resets_when_ended = r.events[VHUSHMEM_EVENT_RESET];
}

static void map_one(void)
{
    int fd = memfd_of(PAGE, 1);
    EQ(wire_map(&r, 0, fd, 0, 0, PAGE, 0), 0);
    close(fd);
}

int main(void)
{
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vhushmem_queue queue = queue_of(64, 0, 0x10000, kick);
    device_rig_open(&r, 1, DEVICE_FEATURES);
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), &queue, 1, &error));
    map_one();
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 1);
    EQ(device_status, 15);
    EQ(vhushmem_region_mapping_count(r.region), 1);
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), &queue, 1, &error));

    ok(vhushmem_frontend_set_device_status(r.frontend, 0, &error));
    EQ(device_status, 0);
    EQ(vhushmem_region_mapping_count(r.region), 0);
    CHECK(!vhushmem_frontend_is_started(r.frontend));
    EQ(r.events[VHUSHMEM_EVENT_RESET], 1);

    /* A request that the back-end makes before its answer was made before it knew of the reset. */
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), &queue, 1, &error));
    map_one();
    ok(vhushmem_frontend_set_device_status_async(r.frontend, 0, ended, NULL, NULL, &error));
    EQ(vhushmem_region_mapping_count(r.region), 0);
    refused(vhushmem_frontend_set_device_status(r.frontend, 0, &error), -EALREADY, "reset");
    PUMP_UNTIL(r.frontend, ended_with != 99);
    EQ(ended_with, 0);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 2);
    map_one();

    /* Another status is no reset. */
    ok(vhushmem_frontend_set_device_status(r.frontend, 1, &error));
    EQ(vhushmem_region_mapping_count(r.region), 1);
    EQ(r.events[VHUSHMEM_EVENT_RESET], 2);
    rig_close(&r);
    close(kick);
    return 0;
}
