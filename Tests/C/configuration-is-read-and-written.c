/* SPDX-License-Identifier: BSD-3-Clause */
/* GET_CONFIG and SET_CONFIG carry the requested bytes. The library refuses a range outside the configuration space. */
#include "device-rig.h"

static bool wrong_answer(peer *p, const message *m)
{
    static const uint32_t other[4] = {1, 4, 0, 0}; /* another offset than the request below has */
    if (m->header.request != GET_CONFIG) {
        return device_answer(p, m);
    }
    if (m->payload[0] == 0xff) {
        reply_with(p, m, NULL, 0, -1);
    } else {
        reply_with(p, m, other, sizeof(other), -1);
    }
    return true;
}

int main(void)
{
    rig r;
    uint8_t bytes[256], seen[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    device_rig_open(&r, 1, DEVICE_FEATURES);
    ok(vhushmem_frontend_set_config(r.frontend, 0, bytes, 256, VHUSHMEM_CONFIG_MIGRATION, &error));
    EQ(peer_heard(&r.peer, SET_CONFIG, 0)->payload[8], 1);
    ok(vhushmem_frontend_get_config(r.frontend, 0, seen, 256, &error));
    CHECK(memcmp(seen, bytes, 256) == 0);
    ok(vhushmem_frontend_set_config(r.frontend, 16, "abc", 3, 0, &error));
    ok(vhushmem_frontend_get_config(r.frontend, 15, seen, 5, &error));
    CHECK(seen[0] == bytes[15] && memcmp(seen + 1, "abc", 3) == 0 && seen[4] == bytes[19]);
    device_rig_heard(&r);
    refused(vhushmem_frontend_get_config(r.frontend, 250, seen, 7, &error), -EINVAL, "256");
    refused(vhushmem_frontend_get_config(r.frontend, UINT32_MAX, seen, 2, &error), -EINVAL);
    refused(vhushmem_frontend_get_config(r.frontend, 0, seen, 0, &error), -EINVAL);
    refused(vhushmem_frontend_set_config(r.frontend, 256, seen, 1, 0, &error), -EINVAL);
    refused(vhushmem_frontend_set_config(r.frontend, 0, seen, 1, 2, &error), -EINVAL);
    HEARD(&r, "");

    /* A back-end that fails sends no payload. One that answers something else breaks the protocol. */
    r.peer.answer = wrong_answer;
    refused(vhushmem_frontend_get_config(r.frontend, 0xff, seen, 1, &error), -EIO, "0xff");
    refused(vhushmem_frontend_get_config(r.frontend, 0, seen, 4, &error), -EPROTO);
    CHECK(vhushmem_frontend_is_ready(r.frontend));
    refused(vhushmem_frontend_get_config(r.frontend, 0, seen, 3, &error), -EPROTO, "16");
    CHECK(!vhushmem_frontend_is_ready(r.frontend));
    err(vhushmem_frontend_get_config(r.frontend, 0, seen, 3, &error), -ENOTCONN);
    rig_close(&r);

    /* A larger space, where the options allow it. */
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.answer = device_answer;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .max_config_size = 65536};
    rig_connect(&r, &options);
    ok(vhushmem_frontend_get_config(r.frontend, 0, seen, 200, &error));
    rig_close(&r);
    options.max_config_size = 65537;
    CHECK(vhushmem_frontend_new("/nowhere", &options, &error) == NULL);
    refused(errno_of_null(NULL), -EINVAL, "65536");
    return 0;
}
