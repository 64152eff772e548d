/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end that answers nothing, or reads nothing and acknowledges nothing, costs a bounded amount of memory. Requests
 * that do not wait for it are refused at some point, and the connection ends in time.
 */
#include "device-rig.h"

#define MANY 1200

static rig r;
static bool acknowledges;
static int ended_count, destroyed;

static void ended(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    CHECK(reply->result < 0 || !acknowledges); /* without acknowledgements, a request that the socket takes has succeeded */
    ended_count++;
}

static void destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

/* With a limit that no machine is too slow for, the test counts the requests. With a short limit, the connection ends by
   itself. */
static void run(uint64_t protocol_features, bool ends)
{
    ended_count = destroyed = 0;
    acknowledges = (protocol_features & BIT(3)) != 0;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.protocol_features = protocol_features;
    r.peer.deaf_after_second = GET_QUEUE_NUM;
    vhushmem_frontend_options options = {
        .struct_size = sizeof(options), .request_timeout_ms = ends ? 500 : 60000, .max_config_size = 65536};
    rig_connect(&r, &options);
    /* From here on nobody reads. */
    uint64_t number;
    size_t size = sizeof(number);
    ok(vhushmem_frontend_request(r.frontend, GET_QUEUE_NUM, NULL, 0, NULL, 0, VHUSHMEM_REQUEST_HAS_REPLY, &number, &size, NULL,
                                 &error));
    static uint8_t bytes[65536];
    int taken = 0, refused_at = 0;
    int many = ends ? 16 : MANY;
    for (int i = 0; i < many; i++) {
        int result = vhushmem_frontend_set_config_async(r.frontend, 0, bytes, sizeof(bytes), 0, ended, NULL, destroy, &error);
        if (result == 0) {
            taken++;
        } else {
            EQ(result, -ENOBUFS);
            CHECK(strstr(error->message, "1024") != NULL);
            g_clear_error(&error);
            refused_at = refused_at == 0 ? i : refused_at;
        }
    }
    if (ends) {
        PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT]);
        EQ(r.last.result, -ETIMEDOUT);
    } else {
        CHECK(refused_at > 0 && refused_at <= 1030);
    }
    rig_close(&r);
    EQ(destroyed, many);
    EQ(ended_count, taken);
}

int main(void)
{
    for (int ends = 0; ends < 2; ends++) {
        run(PROTOCOL_DEFAULTS | BIT(9), ends);
        run((PROTOCOL_DEFAULTS | BIT(9)) & ~BIT(3), ends);
    }
    return 0;
}
