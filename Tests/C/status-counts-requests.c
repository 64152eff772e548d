/* SPDX-License-Identifier: BSD-3-Clause */
/* The status counts the back-end's requests by kind, served and refused ones separately, with a front-end and with a channel
   alone, and beyond the channel's loss. */
#include "channel-rig.h"
#include "status-rig.h"

enum { VRING_CALL = 4 };

static void on_a_front_end(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1);
    EQ(wire_map(&r, 0, fd, 0, 0, page, 0), 0);
    EQ(wire_map(&r, 0, fd, 0, page, page, 0), 0);
    err(wire_map(&r, 0, fd, 0, 0, page, 0), -EEXIST);
    EQ(wire_unmap(&r, 0, 0, page), 0);
    err(wire_unmap(&r, 0, 0, page), -ENOENT);
    err(wire_unmap(&r, 1, 0, page), -ENOENT);
    err(rig_request(&r, VRING_CALL, "", 0, NULL, 0), -EOPNOTSUPP);
    const char *requests = "\"requests\":{\"map\":{\"served\":2,\"refused\":1},\"unmap\":{\"served\":1,\"refused\":2},"
                           "\"other\":{\"served\":0,\"refused\":1}}";
    says(vhushmem_status_json(r.frontend), requests, "\"resets\":0", "\"counters\":{\"maps\":2,\"unmaps\":1,");
    ok(vhushmem_frontend_reset(r.frontend, &error));
    says(vhushmem_status_json(r.frontend), "\"resetting\":true", "\"resets\":0", "\"requests_waiting\":1");
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1);
    says(vhushmem_status_json(r.frontend), "\"resetting\":false", "\"resets\":1", "\"requests_waiting\":0",
         "\"counters\":{\"maps\":2,\"unmaps\":2,");
    close(r.channel);
    r.peer.channel = -1;
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
    says(vhushmem_status_json(r.frontend), requests);
    close(fd);
    rig_close(&r);
}

static int accept_it(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)request, (void)user_data;
    /* Its callbacks may ask for the status. The request is not done yet. */
    says(vhushmem_channel_status_json(channel, 0), "\"other\":{\"served\":0,\"refused\":0}");
    return 0;
}

static void on_a_channel_alone(void)
{
    channel_rig r;
    channel_rig_open(&r, NULL);
    int fd = memfd_of(PAGE, 1);
    EQ(channel_rig_map(&r, fd, 0, PAGE), 0);
    ok(vhushmem_channel_set_request_callback(r.channel, accept_it, NULL, NULL));
    EQ(channel_rig_ask(&r, VRING_CALL, "", 0, NULL, 0), 0);
    ok(vhushmem_channel_begin_reset(r.channel));
    EQ(channel_rig_map(&r, fd, 0, PAGE), -ECANCELED);
    says(vhushmem_channel_status_json(r.channel, 1), "{\"resetting\":true,\"channel\":{\"state\":\"open\",\"reason\":null,",
         "\"map\":{\"served\":1,\"refused\":1}", "\"other\":{\"served\":1,\"refused\":0}", "\"resets\":0", "\"shmid\":0");
    ok(vhushmem_channel_end_reset(r.channel));
    close(r.peer);
    r.peer = -1;
    pump_channel(r.channel);
    says(vhushmem_channel_status_json(r.channel, 1),
         "{\"resetting\":false,\"channel\":{\"state\":\"lost\",\"reason\":\"the back", "\"map\":{\"served\":1,\"refused\":1}",
         "\"resets\":1");
    close(fd);
    channel_rig_close(&r);
}

int main(void)
{
    on_a_front_end();
    on_a_channel_alone();
    return 0;
}
