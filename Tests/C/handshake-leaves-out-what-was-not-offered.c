/* SPDX-License-Identifier: BSD-3-Clause */
/* A front-end asks less of a back-end with fewer features: no GET_QUEUE_NUM without MQ, no channel without BACKEND_REQ, and
   so on. */
#include "rig.h"

static void hears(uint64_t features, uint64_t protocol_features, const uint32_t *requests, int count)
{
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.features = features;
    r.peer.protocol_features = protocol_features;
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_connect(&r, NULL);
    bool shmem = (protocol_features & BIT(VHOST_USER_PROTOCOL_F_SHMEM)) != 0;
    EQ(vhushmem_device_region_ids(r.device, NULL, 0), shmem ? 1 : 0);
    EQ(vhushmem_frontend_protocol_features(r.frontend), protocol_features);
    EQ(vhushmem_frontend_max_queues(r.frontend), protocol_features & BIT(VHOST_USER_PROTOCOL_F_MQ) ? 2 : 1);
    vhushmem_frontend_free(r.frontend);
    pthread_join(r.peer.thread, NULL); /* the peer has heard everything now */
    EQ(r.peer.heard_count, count);
    for (int i = 0; i < count; i++) {
        EQ(r.peer.heard[i].header.request, requests[i]);
        EQ(r.peer.heard[i].header.flags & ~(protocol_features & BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) ? 0x8u : 0u), 0x1);
    }
    close(r.peer.main);
    if (r.peer.channel >= 0) {
        close(r.peer.channel);
    }
}

#define HEARS(features, protocol_features, ...)                                                                                \
    hears(features, protocol_features, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

int main(void)
{
    HEARS(VIRTIO_DEFAULTS, 0, GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_OWNER, GET_FEATURES,
          SET_VRING_CALL, SET_VRING_ERR);
    HEARS(BIT(32), 0, GET_FEATURES, SET_OWNER, GET_FEATURES, SET_VRING_CALL, SET_VRING_ERR);
    HEARS(VIRTIO_DEFAULTS, BIT(VHOST_USER_PROTOCOL_F_MQ), GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES,
          GET_QUEUE_NUM, SET_OWNER, GET_FEATURES, SET_VRING_CALL, SET_VRING_ERR);
    HEARS(VIRTIO_DEFAULTS, BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS), GET_FEATURES, GET_PROTOCOL_FEATURES,
          SET_PROTOCOL_FEATURES, GET_MAX_MEM_SLOTS, SET_OWNER, GET_FEATURES, SET_VRING_CALL, SET_VRING_ERR);
    HEARS(VIRTIO_DEFAULTS, BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ), GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES,
          SET_BACKEND_REQ_FD, SET_OWNER, GET_FEATURES, SET_VRING_CALL, SET_VRING_ERR);
    HEARS(VIRTIO_DEFAULTS, BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_SHMEM), GET_FEATURES,
          GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_BACKEND_REQ_FD, SET_OWNER, GET_FEATURES, SET_VRING_CALL,
          SET_VRING_ERR, GET_SHMEM_CONFIG);
    HEARS(VIRTIO_DEFAULTS, BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK), GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES,
          SET_OWNER, GET_FEATURES, SET_VRING_CALL, SET_VRING_ERR);
    return 0;
}
