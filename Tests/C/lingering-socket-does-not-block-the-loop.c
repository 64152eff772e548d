/* SPDX-License-Identifier: BSD-3-Clause */
/* A socket that would linger when it is closed, sent in place of a file: it is refused, and closing it waits for nobody. */
#include "rig.h"

#include <netinet/in.h>

int main(void)
{
    rig r;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 1) != 0) {
        skip("there is no loopback network");
    }
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    CHECK(connect(sender, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(fcntl(sender, F_SETFL, O_NONBLOCK) == 0);
    static const char bytes[65536];
    while (write(sender, bytes, sizeof(bytes)) > 0) {}
    struct linger linger = {.l_onoff = 1, .l_linger = 3600};
    CHECK(setsockopt(sender, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);

    rig_open(&r, 16 * PAGE, NULL);
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &sender, 1);
    close(sender);             /* the last one is the library's */
    alarm(PATIENCE_MS / 1000); /* ends a test that lingers */
    EQ(rig_answer(&r, MAP), -ENODEV);
    rig_close(&r);
    close(listener);
    return 0;
}
