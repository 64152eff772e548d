/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end looks up another's object, and has sent more behind that. The answer comes in a turn of the other front-end. Then
 * the rest is served at once, and half a message has its time limit. The back-end sends nothing more meanwhile.
 */
/* tsan: yes (several peers use one table of objects) */
#include "device-rig.h"

enum { ADD = 6, LOOKUP = 8 };

static const uint8_t name[16] = "of a back-end..";

static void open_rig(rig *r, vhushmem_shared_objects *objects)
{
    memset(r, 0, sizeof(*r));
    peer_init(&r->peer);
    peer_add_region(&r->peer, 0, 16 * PAGE);
    r->peer.protocol_features = DEVICE_FEATURES | BIT(18);
    r->peer.answer = device_answer;
    r->peer.mute = GET_SHARED_OBJECT; /* the test answers */
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .shared_objects = objects, .message_timeout_ms = 300};
    rig_connect(r, &options);
}

/* So many bytes of an UNMAP come behind the look-up. `with_another`: a whole UNMAP stands between. */
static void waits(size_t sent, bool with_another)
{
    rig owner, asker;
    message m;
    const size_t whole = 52;
    uint8_t bytes[28 + 2 * 52] = {0};
    const VhostUserHeader look_up = {LOOKUP, 0x1, 16}, unmap = {UNMAP, 0x9, 40};
    const VhostUserMMap first = mmap_of(0, 0, 0, PAGE, 0), second = mmap_of(0, 0, PAGE, PAGE, 0);
    int file = memfd_of(PAGE, 1);
    vhushmem_shared_objects *objects = some(vhushmem_shared_objects_new());
    open_rig(&owner, objects);
    open_rig(&asker, objects);
    int fd = (int)ok(vhushmem_frontend_get_fd(asker.frontend));
    ok(wire_map(&asker, 0, file, 0, 0, PAGE, 0));
    ok(wire_map(&asker, 0, file, 0, PAGE, PAGE, 0));
    send_message(owner.channel, ADD, 0x1, name, 16, NULL, 0);
    pump(owner.frontend);
    EQ(vhushmem_shared_objects_count(objects), 1);

    memcpy(bytes, &look_up, 12);
    memcpy(bytes + 12, name, 16);
    memcpy(bytes + 28, &unmap, 12);
    memcpy(bytes + 40, with_another ? &second : &first, 40);
    memcpy(bytes + 80, &unmap, 12);
    memcpy(bytes + 92, &first, 40);
    send_bytes(asker.channel, bytes, 28 + (with_another ? whole : 0) + sent, NULL, 0);
    PUMP_UNTIL(asker.frontend, peer_heard(&owner.peer, GET_SHARED_OBJECT, 0) != NULL);
    pump(asker.frontend);
    CHECK(!has_work(fd)); /* nothing can be done before the answer */
    CHECK(!wait_readable(asker.channel, 0));

    try_send_message(owner.peer.main, GET_SHARED_OBJECT, 0x5, name, 16, &file, 1);
    PUMP_UNTIL(owner.frontend, wait_readable(asker.channel, 0));
    EQ(receive(asker.channel, &m, PATIENCE_MS), 1);
    EQ(m.header.request, LOOKUP);
    EQ(m.fd_count, 1);
    close(m.fds[0]);
    for (int left = (with_another ? 1 : 0) + (sent == whole ? 1 : 0); left > 0; left--) {
        /* The descriptor of the front-end alone says that there is something to do. */
        PUMP_UNTIL(asker.frontend, wait_readable(asker.channel, 0));
        EQ(receive(asker.channel, &m, PATIENCE_MS), 1);
        EQ(m.header.request, UNMAP);
        EQ(u64_of(&m), 0);
    }
    if (sent == whole) {
        EQ(vhushmem_region_mapping_count(asker.region), with_another ? 0 : 1);
        CHECK(!has_work(fd));
        rig_still_works(&asker);
    } else {
        PUMP_UNTIL(asker.frontend, asker.events[VHUSHMEM_EVENT_CHANNEL_LOST] > 0);
        EQ(asker.last.result, -ETIMEDOUT);
    }
    rig_close(&asker);
    rig_close(&owner);
    vhushmem_shared_objects_unref(objects);
    close(file);
}

int main(void)
{
    char *fds = fds_now();
    waits(52, false);
    waits(52, true);
    waits(1, false);
    waits(20, false);
    waits(20, true);
    same(fds, fds_now());
    return 0;
}
