/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that comes back with other regions is turned away with a sentence that says how they differ. The right one is
   accepted. */
#include "reconnect-rig.h"

static bool __attribute__((format(printf, 2, 3))) has_said(const rig *r, const char *format, ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return strstr(r->said, text) != NULL;
}

int main(void)
{
    char *fds = fds_now();
    coming_rig c;
    rig *r = &c.r;
    int file = memfd_of(PAGE, 1);
    coming_open(&c, false, VHUSHMEM_FRONTEND_KEEP_MAPPINGS);
    coming_prepare(&c);
    peer_add_region(&r->peer, 7, 2 * PAGE);
    coming_arrive(&c);
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_READY] == 1);
    rig_connected(r);
    EQ(wire_map(r, 0, file, 0, PAGE, PAGE, 0), 0);
    coming_leave(&c);

    coming_prepare(&c);
    r->peer.config.memory_sizes[0] = 32 * PAGE;
    peer_add_region(&r->peer, 9, 4 * PAGE);
    coming_arrive(&c);
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_DISCONNECT] == 2);
    EQ(r->last.result, -EPROTO);
    CHECK(has_said(r, "region 0 has 0x%" PRIx64 " bytes and had 0x%" PRIx64, 32 * PAGE, 16 * PAGE));
    CHECK(has_said(r, "region 7 of 0x%" PRIx64 " bytes is missing", 2 * PAGE));
    CHECK(has_said(r, "region 9 of 0x%" PRIx64 " bytes is new", 4 * PAGE));
    EQ(vhushmem_device_region_ids(r->device, NULL, 0), 2);
    EQ(vhushmem_region_size(r->region), 16 * PAGE);
    EQ(vhushmem_region_mapping_count(r->region), 1); /* as the caller's flag says */
    peer_end(&r->peer);

    /* A back-end that cannot map at all has other regions, too. */
    coming_prepare(&c);
    r->peer.protocol_features &= ~BIT(22);
    coming_arrive(&c);
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_DISCONNECT] == 3);
    CHECK(has_said(r, "region 7 of 0x%" PRIx64 " bytes is missing", 2 * PAGE));
    peer_end(&r->peer);

    coming_prepare(&c);
    peer_add_region(&r->peer, 7, 2 * PAGE);
    coming_arrive(&c);
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_READY] == 2);
    rig_connected(r);
    EQ(wire_unmap(r, 0, PAGE, PAGE), 0);

    /* A back-end must have the features that are in use. */
    ok(vhushmem_frontend_start_device(r->frontend, BIT(32), &c.queue, 1, &error));
    coming_leave(&c);
    coming_prepare(&c);
    peer_add_region(&r->peer, 7, 2 * PAGE);
    r->peer.features &= ~BIT(32);
    coming_arrive(&c);
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_DISCONNECT] == 5);
    CHECK(strstr(r->said, "0x100000000") != NULL);
    peer_end(&r->peer);
    coming_close(&c);
    close(file);
    same(fds, fds_now());
    return 0;
}
