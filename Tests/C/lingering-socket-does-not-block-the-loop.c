/* SPDX-License-Identifier: BSD-3-Clause */
/* A socket whose close lingers is sent in place of a file. The library refuses it, and its close does not wait. */
/* valgrind: no (it stops all threads for a call that waits) */
#include "linger.h"

#include "rig.h"

int main(void)
{
    rig r;
    int sender = lingering_socket();
    rig_open(&r, 16 * PAGE, NULL);
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &sender, 1);
    close(sender); /* the library has the last one */
    linger_begin();
    EQ(rig_answer(&r, MAP), -ENODEV);
    rig_close(&r);
    return 0;
}
