/* SPDX-License-Identifier: BSD-3-Clause */
/* Each protocol feature's bit that the specification names has its name. Other bits have none. */
#include "harness.h"

int main(void)
{
    static const char *const names[] = {
        "MQ",
        "LOG_SHMFD",
        "RARP",
        "REPLY_ACK",
        "NET_MTU",
        "BACKEND_REQ",
        "CROSS_ENDIAN",
        "CRYPTO_SESSION",
        "PAGEFAULT",
        "CONFIG",
        "BACKEND_SEND_FD",
        "HOST_NOTIFIER",
        "INFLIGHT_SHMFD",
        "RESET_DEVICE",
        "INBAND_NOTIFICATIONS",
        "CONFIGURE_MEM_SLOTS",
        "STATUS",
        "XEN_MMAP",
        "SHARED_OBJECT",
        "DEVICE_STATE",
        "GET_VRING_BASE_INFLIGHT",
        "GPA_ADDRESSES",
        "SHMEM",
        "GET_VRING_BASE_SKIP_DRAIN",
    };
    for (unsigned bit = 0; bit < 24; bit++) {
        const char *name = vhushmem_protocol_feature_name(bit);
        CHECK(name != NULL && strcmp(name, names[bit]) == 0);
    }
    CHECK(vhushmem_protocol_feature_name(24) == NULL);
    CHECK(vhushmem_protocol_feature_name(63) == NULL);
    CHECK(vhushmem_protocol_feature_name(64) == NULL);
    CHECK(vhushmem_protocol_feature_name(UINT32_MAX) == NULL);
    return 0;
}
