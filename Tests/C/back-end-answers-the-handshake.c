/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's back-end answers each request of the handshake with one message of the right size, and tells its regions. */
#include "backend-rig.h"

#include <sys/eventfd.h>

int main(void)
{
    uint64_t page = PAGE;
    backend_rig r;
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = 3, .features = BIT(5)};
    backend_rig_new(&r, 16 * page, &options);
    CHECK(!vhushmem_backend_is_negotiated(r.backend));
    EQ(vhushmem_backend_features(r.backend), 0);
    refused(vhushmem_backend_add_region(r.backend, 9, page, &error), -EBUSY); /* the regions are constant for a connection */

    EQ(backend_rig_get(&r, GET_FEATURES), VIRTIO_DEFAULTS | BIT(5) | BIT(26));
    uint64_t offered = backend_rig_get(&r, GET_PROTOCOL_FEATURES);
    uint64_t needed = BACKEND_RIG_FEATURES | BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE);
    EQ(offered & needed, needed);
    EQ(offered & (BIT(20) | BIT(21)), 0);
    backend_rig_set(&r, SET_PROTOCOL_FEATURES, &needed, 8, NULL, 0);
    EQ(vhushmem_backend_protocol_features(r.backend), needed);
    EQ(r.events[VHUSHMEM_BACKEND_CONNECTED], 1);
    r.need_reply = true;
    EQ(backend_rig_get(&r, GET_QUEUE_NUM), 3);

    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    r.channel = pair[0];
    backend_rig_set(&r, SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
    close(pair[1]);
    backend_rig_set(&r, SET_OWNER, NULL, 0, NULL, 0);

    message m = backend_rig_ask(&r, GET_SHMEM_CONFIG, NULL, 0, NULL, 0);
    EQ(m.header.size, sizeof(VhostUserShMemConfig));
    VhostUserShMemConfig config;
    memcpy(&config, m.payload, sizeof(config));
    EQ(config.nregions, 1);
    EQ(config.padding, 0);
    for (int i = 0; i < 256; i++) {
        EQ(config.memory_sizes[i], i == 0 ? 16 * page : 0);
    }
    uint64_t features = VIRTIO_DEFAULTS;
    backend_rig_set(&r, SET_FEATURES, &features, 8, NULL, 0);
    EQ(vhushmem_backend_features(r.backend), features);
    for (uint64_t queue = 0; queue < 3; queue++) {
        int fd = eventfd(0, EFD_CLOEXEC);
        backend_rig_set(&r, SET_VRING_CALL, &queue, 8, &fd, 1);
        backend_rig_set(&r, SET_VRING_ERR, &queue, 8, &fd, 1);
        close(fd);
    }
    EQ(r.events[VHUSHMEM_BACKEND_NEGOTIATED], 1);
    CHECK(vhushmem_backend_is_negotiated(r.backend));
    backend_rig_set(&r, RESET_DEVICE, NULL, 0, NULL, 0);
    EQ(r.events[VHUSHMEM_BACKEND_RESET], 1);
    CHECK(vhushmem_backend_is_negotiated(r.backend));
    backend_rig_close(&r);
    return 0;
}
