/* SPDX-License-Identifier: BSD-3-Clause */
/* A request without need_reply is served or refused without an answer. With need_reply an answer comes, whatever was
   negotiated. */
#include "rig.h"

static void facts(uint64_t protocol_features)
{
    uint64_t page = PAGE;
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.protocol_features = protocol_features;
    peer_add_region(&r.peer, 0, 16 * page);
    rig_connect(&r, NULL);
    int fd = memfd_of(page, 1);
    VhostUserMMap m = mmap_of(0, 0, page, page, 0);
    send_message(r.channel, MAP, 0x1, &m, sizeof(m), &fd, 1);
    rig_no_answer(&r);
    EQ(r.last.result, 0);
    shows(r.region, page, page, 1, 0);
    send_message(r.channel, MAP, 0x1, &m, sizeof(m), &fd, 1);
    rig_no_answer(&r);
    EQ(r.events[VHUSHMEM_EVENT_MAP], 2);
    EQ(r.last.result, -EEXIST);
    err(rig_request(&r, MAP, &m, sizeof(m), &fd, 1), -EEXIST);
    send_message(r.channel, UNMAP, 0x1, &m, sizeof(m), NULL, 0);
    rig_no_answer(&r);
    EQ(vhushmem_region_mapping_count(r.region), 0);
    ok(rig_request(&r, MAP, &m, sizeof(m), &fd, 1));
    close(fd);
    rig_close(&r);
}

int main(void)
{
    facts(PROTOCOL_DEFAULTS);
    facts(PROTOCOL_DEFAULTS & ~BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
    return 0;
}
