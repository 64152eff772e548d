/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A refusal names the request or protocol feature of the newest specification that the library does not support, and has a
 * reason.
 */
#include "backend-rig.h"

static char why[300];

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    if (event->type == VHUSHMEM_BACKEND_DISCONNECT) {
        snprintf(why, sizeof(why), "%s", event->message);
    }
}

/* A connection that sends only this ends. */
static void ends(uint32_t request, uint64_t value, const char *name, const char *reason)
{
    backend_rig r;
    backend_rig_new(&r, 16 * PAGE, NULL);
    ok(vhushmem_backend_set_callback(r.backend, on_event, NULL, NULL));
    why[0] = '\0';
    send_message(r.main, request, 0x1, &value, sizeof(value), NULL, 0);
    pump_backend(r.backend);
    CHECK(strstr(why, name) != NULL && strstr(why, reason) != NULL);
    backend_rig_close(&r);
}

int main(void)
{
    ends(19, 0, "SEND_RARP", "not support");
    ends(20, 0, "NET_SET_MTU", "not support");
    ends(22, 0, "IOTLB_MSG", "not support");
    ends(33, 0, "GPU_SET_SOCKET", "not support");
    ends(45, 0, "GET_VRING_BASE_SKIP_DRAIN", "not support");
    ends(4711, 0, "request 4711", "not support");
    ends(SET_PROTOCOL_FEATURES, BIT(20), "SET_PROTOCOL_FEATURES", "GET_VRING_BASE_INFLIGHT (0x100000)");
    ends(SET_PROTOCOL_FEATURES, BIT(21) | BIT(22), "SET_PROTOCOL_FEATURES", "GPA_ADDRESSES (0x200000)");
    ends(SET_PROTOCOL_FEATURES, BIT(23) | BIT(63), "SET_PROTOCOL_FEATURES", "GET_VRING_BASE_SKIP_DRAIN (0x8000000000800000)");
    ends(SET_FEATURES, BIT(34), "SET_FEATURES", "0x400000000");
    ends(SET_VRING_NUM, 3ull << 32, "SET_VRING_NUM", "power of two");
    ends(SET_VRING_BASE, 7, "SET_VRING_BASE", "no queue 7");
    ends(SET_VRING_ENABLE, 2ull << 32, "SET_VRING_ENABLE", "neither 0 nor 1");
    ends(SET_STATUS, 1, "SET_STATUS", "agreed on");
    return 0;
}
