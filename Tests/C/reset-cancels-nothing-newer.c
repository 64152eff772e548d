/* SPDX-License-Identifier: BSD-3-Clause */
/* Whatever the back-end sent before it answered RESET_DEVICE, even requests other than MAP, the first MAP after the reset is
   served. */
#include "rig.h"

static int fd;
static uint32_t late;

static void ask_late(peer *p, const message *m)
{
    if (m->header.request == RESET_DEVICE && late != 0) {
        VhostUserMMap payload = mmap_of(0, 0, 4 * PAGE, PAGE, 0);
        for (int i = 0; i < 3; i++) {
            send_message(p->channel, late, 0x9, &payload, sizeof(payload), NULL, 0);
        }
    }
}

static void facts(uint32_t request)
{
    uint64_t page = PAGE;
    rig r;
    late = request;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.before_answer = ask_late;
    peer_add_region(&r.peer, 0, 16 * page);
    rig_connect(&r, NULL);
    for (int round = 1; round <= 3; round++) {
        ok(wire_map(&r, 0, fd, 0, 0, page, 0));
        ok(vhushmem_frontend_reset(r.frontend, &error));
        PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == round);
        for (int i = 0; i < (request != 0 ? 3 : 0); i++) {
            message answer;
            pump(r.frontend);
            EQ(receive(r.channel, &answer, PATIENCE_MS), 1);
            EQ(answer.header.request, request);
            CHECK((int64_t)u64_of(&answer) < 0);
        }
        ok(wire_map(&r, 0, fd, 0, page, page, 0));
        shows(r.region, page, page, 1, 0);
        ok(wire_unmap(&r, 0, page, page));
    }
    rig_close(&r);
}

int main(void)
{
    fd = memfd_of(PAGE, 1);
    facts(0);
    facts(UNMAP);
    facts(2); /* CONFIG_CHANGE_MSG */
    facts(77);
    close(fd);
    return 0;
}
