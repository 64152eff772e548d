/* SPDX-License-Identifier: BSD-3-Clause */
/* The generic request: payload and descriptors go as they are, and the reply comes back with its descriptor. */
#include "device-rig.h"

enum { UNKNOWN = 77 };

static int file;

static bool echo(peer *p, const message *m)
{
    if (m->header.request != UNKNOWN) {
        return device_answer(p, m);
    }
    reply_with(p, m, m->payload, m->header.size, m->fd_count == 2 ? file : -1);
    return true;
}

int main(void)
{
    rig r;
    uint64_t mtu = 1500, word;
    uint8_t reply[16];
    size_t size;
    int fd, fds[9] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    file = memfd_of(PAGE, 9);
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.answer = echo;
    char *before = fds_now();

    ok(vhushmem_frontend_request(r.frontend, NET_SET_MTU, &mtu, sizeof(mtu), NULL, 0, 0, NULL, NULL, NULL, &error));
    EQ(u64_of(peer_heard(&r.peer, NET_SET_MTU, 0)), 1500);
    r.peer.refuses = NET_SET_MTU;
    refused(vhushmem_frontend_request(r.frontend, NET_SET_MTU, &mtu, sizeof(mtu), NULL, 0, 0, NULL, NULL, NULL, &error), -EIO,
            "NET_SET_MTU", "0x1");

    size = sizeof(reply);
    ok(vhushmem_frontend_request(r.frontend, UNKNOWN, "hello", 5, NULL, 0, VHUSHMEM_REQUEST_HAS_REPLY, reply, &size, NULL,
                                 &error));
    CHECK(size == 5 && memcmp(reply, "hello", 5) == 0);
    size = sizeof(reply);
    ok(vhushmem_frontend_request(r.frontend, UNKNOWN, "hello", 5, fds, 2,
                                 VHUSHMEM_REQUEST_HAS_REPLY | VHUSHMEM_REQUEST_REPLY_FD, reply, &size, &fd, &error));
    EQ(pread(fd, &word, 8, 8), 8);
    EQ(word, pattern(9, 8));
    close(fd);
    size = sizeof(reply);
    ok(vhushmem_frontend_request(r.frontend, UNKNOWN, NULL, 0, NULL, 0, VHUSHMEM_REQUEST_HAS_REPLY | VHUSHMEM_REQUEST_REPLY_FD,
                                 reply, &size, &fd, &error));
    EQ(size, 0);
    EQ(fd, -1);

    device_rig_heard(&r);
    static const uint32_t own[] = {1,
                                   15,
                                   17,
                                   36,
                                   44,
                                   SET_FEATURES,
                                   SET_OWNER,
                                   SET_MEM_TABLE,
                                   SET_VRING_NUM,
                                   GET_VRING_BASE,
                                   SET_PROTOCOL_FEATURES,
                                   SET_VRING_ENABLE,
                                   SET_BACKEND_REQ_FD,
                                   RESET_DEVICE,
                                   ADD_MEM_REG};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        refused(vhushmem_frontend_request(r.frontend, own[i], NULL, 0, NULL, 0, 0, NULL, NULL, NULL, &error), -EINVAL);
    }
    /* An unexpected reply would end the connection. */
    static const uint32_t replied[] = {1, 15, 17, 24, 31, 36, 40, 41, 42, 43, 44};
    for (size_t i = 0; i < sizeof(replied) / sizeof(replied[0]); i++) {
        refused(vhushmem_frontend_request(r.frontend, replied[i], NULL, 0, NULL, 0, 0, NULL, NULL, NULL, &error), -EINVAL,
                "reply of its own");
    }
    refused(vhushmem_frontend_request(r.frontend, UNKNOWN, NULL, 0, fds, 9, 0, NULL, NULL, NULL, &error), -EINVAL, "8");
    refused(vhushmem_frontend_request(r.frontend, UNKNOWN, reply, 4097, NULL, 0, 0, NULL, NULL, NULL, &error), -EINVAL, "4096");
    refused(vhushmem_frontend_request(r.frontend, UNKNOWN, NULL, 1, NULL, 0, 0, NULL, NULL, NULL, &error), -EFAULT);
    refused(vhushmem_frontend_request(r.frontend, UNKNOWN, NULL, 0, NULL, 0, 4, NULL, NULL, NULL, &error), -EINVAL, "0x4");
    refused(
        vhushmem_frontend_request(r.frontend, UNKNOWN, NULL, 0, NULL, 0, VHUSHMEM_REQUEST_REPLY_FD, NULL, NULL, &fd, &error),
        -EINVAL);
    fds[0] = -1;
    refused(vhushmem_frontend_request(r.frontend, UNKNOWN, NULL, 0, fds, 1, 0, NULL, NULL, NULL, &error), -EBADF);
    HEARD(&r, "");

    /* An unexpected descriptor breaks the protocol, and so does a reply that is too long. */
    same(before, fds_now());
    fds[0] = 0;
    size = sizeof(reply);
    refused(
        vhushmem_frontend_request(r.frontend, UNKNOWN, NULL, 0, fds, 2, VHUSHMEM_REQUEST_HAS_REPLY, reply, &size, NULL, &error),
        -EPROTO, "descriptor");
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    rig_close(&r);
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.answer = echo;
    size = 4;
    refused(vhushmem_frontend_request(r.frontend, UNKNOWN, "hello", 5, NULL, 0, VHUSHMEM_REQUEST_HAS_REPLY, reply, &size, NULL,
                                      &error),
            -EPROTO, "5 bytes");
    rig_close(&r);
    close(file);
    return 0;
}
