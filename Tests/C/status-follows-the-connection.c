/* SPDX-License-Identifier: BSD-3-Clause */
/* The status shows the state of the connection, and the reason: before the connection, during it, without its channel, and
   after it. */
#include "reconnect-rig.h"
#include "status-rig.h"

static void new_listening_and_ready(void)
{
    coming_rig c;
    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/nowhere/at all", NULL, &error));
    says(vhushmem_status_json(frontend), "{\"state\":\"new\",\"reason\":null,\"waiting_for\":null,",
         "\"socket_path\":\"/nowhere/at all\"", "\"server\":false", "\"reconnect_ms\":null", "\"connections\":0",
         "\"protocol_features\":0,\"protocol_feature_names\":[],", "\"channel\":{\"state\":\"none\"");
    vhushmem_frontend_free(frontend);

    coming_open(&c, true, 0);
    says(vhushmem_status_json(c.r.frontend), "\"state\":\"listening\",\"reason\":null,\"waiting_for\":\"no back-end",
         "\"server\":true", "\"reconnect_ms\":20,", "\"connections\":0", c.path);
    coming_ready(&c);
    says(vhushmem_status_json(c.r.frontend), "\"state\":\"ready\",\"reason\":null,\"waiting_for\":null,", "\"connections\":1",
         "\"started\":false", "\"channel\":{\"state\":\"open\",\"reason\":null");
    coming_leave(&c);
    says(vhushmem_status_json(c.r.frontend), "\"state\":\"", "\"reason\":\"the back-end closed the connection\"",
         "\"channel\":{\"state\":\"none\"", "\"connections\":1");
    coming_ready(&c);
    says(vhushmem_status_json(c.r.frontend), "\"state\":\"ready\",\"reason\":\"the back-end closed", "\"connections\":2",
         "\"channel\":{\"state\":\"open\"");
    coming_leave(&c);
    coming_close(&c);
}

static void away(void)
{
    coming_rig c;
    coming_open(&c, false, 0);
    says(vhushmem_status_json(c.r.frontend), "\"state\":\"handshake\"", "\"waiting_for\":\"the back-end has not answered");
    coming_ready(&c);
    coming_leave(&c);
    says(vhushmem_status_json(c.r.frontend), "\"state\":\"away\",\"reason\":\"the back-end closed", "\"waiting_for\":null");
    coming_close(&c);
}

static void losses(void)
{
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    close(r.channel);
    r.peer.channel = -1;
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
    says(vhushmem_status_json(r.frontend), "\"state\":\"ready\"", "\"socket_path\":null",
         "\"channel\":{\"state\":\"lost\",\"reason\":\"the back-end closed its channel\"");
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    says(vhushmem_status_json(r.frontend), "\"state\":\"disconnected\",\"reason\":\"the back-end closed the connection");
    rig_close(&r);
}

int main(void)
{
    new_listening_and_ready();
    away();
    losses();
    return 0;
}
