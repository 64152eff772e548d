/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end whose handshake fails after GET_SHMEM_CONFIG leaves no window and takes nothing of the process's budget,
 * however often it comes, even if the program keeps the front-end and its device.
 */
#include "reconnect-rig.h"

#define TIMES 200
#define SIZE (UINT64_C(64) << 20)

static uint64_t budget_used(vhushmem_device *device)
{
    char *json = some(vhushmem_device_status_json(device, 0)), *process = some(strstr(json, "\"process\""));
    char *used = some(strstr(process, "\"used\":"));
    uint64_t count = strtoull(used + 7, NULL, 10);
    g_free(json);
    return count;
}

/* Bytes of the address space. */
static uint64_t address_space(void)
{
    char *text = NULL;
    CHECK(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    uint64_t pages = strtoull(text, NULL, 10);
    g_free(text);
    return pages * PAGE;
}

/* Region 1 can be made; no address space holds region 2. */
static vhushmem_frontend *fails_once(vhushmem_frontend_options *options)
{
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 1, SIZE);
    peer_add_region(&r.peer, 2, UINT64_C(1) << 62);
    rig_new(&r, options);
    refused(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error), -EPROTO, "GET_SHMEM_CONFIG");
    EQ(r.events[VHUSHMEM_EVENT_READY], 0);
    EQ(vhushmem_device_region_ids(r.device, NULL, 0), 0);
    ok(vhushmem_frontend_set_callback(r.frontend, NULL, NULL, NULL));
    peer_end(&r.peer);
    return r.frontend;
}

/* Each with its own front-end. */
static void first_handshakes(void)
{
    vhushmem_frontend *frontends[TIMES] = {NULL};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .request_timeout_ms = PATIENCE_MS};
    int times = steps(TIMES);
    uint64_t used = 0, space = 0;
    for (int i = 0; i < times; i++) {
        frontends[i] = fails_once(&options);
        if (i == 0) {
            used = budget_used(vhushmem_frontend_device(frontends[0]));
            space = address_space();
        }
    }
    EQ(used, 0);
    EQ(budget_used(vhushmem_frontend_device(frontends[0])), 0);
    CHECK(address_space() < space + SIZE * (uint64_t)times / 2);
    for (int i = 0; i < times; i++) {
        vhushmem_frontend_free(frontends[i]);
    }
}

/* One front-end looks for its back-end again, and finds some with other regions. */
static void later_handshakes(void)
{
    coming_rig c;
    coming_open(&c, false, 0);
    coming_ready(&c);
    coming_leave(&c);
    uint64_t used = budget_used(c.r.device), space = address_space();
    int times = steps(TIMES) / 4 + 1;
    for (int i = 0; i < times; i++) {
        int before = c.r.events[VHUSHMEM_EVENT_DISCONNECT];
        coming_prepare(&c);
        peer_add_region(&c.r.peer, 1, SIZE);
        coming_arrive(&c);
        PUMP_UNTIL(c.r.frontend, c.r.events[VHUSHMEM_EVENT_DISCONNECT] == before + 1);
        EQ(c.r.last.result, -EPROTO);
        peer_end(&c.r.peer);
    }
    EQ(vhushmem_device_region_ids(c.r.device, NULL, 0), 1);
    EQ(budget_used(c.r.device), used);
    CHECK(address_space() < space + SIZE * (uint64_t)times / 2);
    coming_ready(&c); /* the front-end takes the right one */
    coming_leave(&c);
    coming_close(&c);
}

int main(void)
{
    first_handshakes();
    later_handshakes();
    return 0;
}
