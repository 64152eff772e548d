/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * While the back-end is away, and until the next one has told its features, the functions and the status report the last
 * one's. Nothing is left of its channel.
 */
#include "reconnect-rig.h"
#include "status-rig.h"

static void knows(coming_rig *c, uint64_t features, uint64_t protocol_features)
{
    EQ(vhushmem_frontend_features(c->r.frontend), features);
    EQ(vhushmem_frontend_protocol_features(c->r.frontend), protocol_features);
    char *json = some(vhushmem_status_json(c->r.frontend));
    EQ(number_of(json, "features"), features);
    EQ(number_of(json, "protocol_features"), protocol_features);
    g_free(json);
}

int main(void)
{
    coming_rig c;
    coming_open(&c, true, 0);
    knows(&c, 0, 0);
    coming_ready(&c);
    uint64_t features = vhushmem_frontend_features(c.r.frontend);
    uint64_t protocol_features = vhushmem_frontend_protocol_features(c.r.frontend);
    CHECK(features != 0 && protocol_features != 0);

    /* The channel is lost before the connection is. */
    shutdown(c.r.peer.channel, SHUT_RDWR);
    PUMP_UNTIL(c.r.frontend, c.r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
    says(vhushmem_status_json(c.r.frontend), "\"channel\":{\"state\":\"lost\"");
    coming_leave(&c);
    knows(&c, features, protocol_features);
    says(vhushmem_status_json(c.r.frontend), "\"channel\":{\"state\":\"none\",\"reason\":null");

    /* A back-end comes and tells nothing. */
    coming_prepare(&c);
    c.r.peer.mute = GET_FEATURES;
    coming_arrive(&c);
    PUMP_UNTIL(c.r.frontend, peer_heard(&c.r.peer, GET_FEATURES, 0) != NULL);
    knows(&c, features, protocol_features);
    coming_leave(&c);
    knows(&c, features, protocol_features);
    coming_close(&c);
    return 0;
}
