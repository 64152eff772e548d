/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end names an object. Another one looks it up and gets the first one's file. The VMM has objects of its own. */
/* tsan: yes (several peers use one table of objects) */
#include "device-rig.h"

enum { ADD = 6, REMOVE = 7, LOOKUP = 8 };

static vhushmem_shared_objects *objects;
static const uint8_t mine[16] = "of the VMM.....", theirs[16] = "of a back-end..", none[16] = "of nobody......";
static int object_file;
static bool gives_none;

static bool give(peer *p, const message *m)
{
    if (m->header.request != GET_SHARED_OBJECT) {
        return device_answer(p, m);
    }
    EQ(m->header.size, 16);
    reply_with(p, m, m->payload, 16, gives_none ? -1 : object_file);
    return true;
}

static void open_rig(rig *r)
{
    memset(r, 0, sizeof(*r));
    peer_init(&r->peer);
    peer_add_region(&r->peer, 0, 16 * PAGE);
    r->peer.protocol_features = DEVICE_FEATURES | BIT(18);
    r->peer.answer = give;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .shared_objects = objects};
    rig_connect(r, &options);
}

/* Asks on one channel, with both front-ends running. Returns the answer, or the file's second word. */
static int64_t ask(rig *asker, rig *other, uint32_t request, const uint8_t *uuid, uint32_t size, bool wants_reply)
{
    message m;
    uint64_t word = 0;
    send_message(asker->channel, request, wants_reply ? 0x9 : 0x1, uuid, size, NULL, 0);
    for (int64_t end = now_ms() + PATIENCE_MS; !wait_readable(asker->channel, 1);) {
        CHECK(now_ms() < end);
        pump(asker->frontend);
        pump(other->frontend);
    }
    EQ(receive(asker->channel, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    EQ(m.header.flags, 0x5);
    EQ(m.header.size, 8);
    if (m.fd_count > 0) {
        EQ(u64_of(&m), 0);
        EQ(m.fd_count, 1);
        EQ(pread(m.fds[0], &word, 8, 8), 8);
        close(m.fds[0]);
        return (int64_t)word;
    }
    return (int64_t)u64_of(&m);
}

int main(void)
{
    rig a, b;
    int own_file = memfd_of(PAGE, 1);
    object_file = memfd_of(PAGE, 2);
    objects = some(vhushmem_shared_objects_new());
    char *fds = fds_now();
    open_rig(&a);
    open_rig(&b);
    ok(vhushmem_shared_objects_add(objects, mine, own_file, &error));
    err(vhushmem_shared_objects_add(objects, mine, own_file, &error), -EEXIST);
    EQ(ask(&a, &b, ADD, theirs, 16, true), 0);
    EQ(vhushmem_shared_objects_count(objects), 2);
    err(vhushmem_shared_objects_remove(objects, theirs, &error), -EPERM);
    err(vhushmem_shared_objects_remove(objects, none, &error), -ENOENT);

    /* A look-up is answered even without need_reply: the descriptor is an answer. */
    EQ(ask(&b, &a, LOOKUP, mine, 16, true), pattern(1, 8));
    EQ(ask(&b, &a, LOOKUP, mine, 16, false), pattern(1, 8));
    EQ(ask(&b, &a, LOOKUP, theirs, 16, false), pattern(2, 8));
    EQ(ask(&a, &b, LOOKUP, theirs, 16, false), -EDEADLK);
    EQ(ask(&b, &a, LOOKUP, none, 16, false), -ENOENT);
    EQ(ask(&b, &a, LOOKUP, none, 15, false), -EINVAL);
    gives_none = true;
    EQ(ask(&b, &a, LOOKUP, theirs, 16, false), -ENOENT);
    gives_none = false;

    /* Only the owner may remove it. */
    EQ(ask(&b, &a, ADD, theirs, 16, true), -EEXIST);
    EQ(ask(&b, &a, REMOVE, theirs, 16, true), -EPERM);
    EQ(ask(&b, &a, REMOVE, none, 16, true), -ENOENT);
    EQ(ask(&a, &b, REMOVE, theirs, 16, true), 0);
    EQ(ask(&b, &a, LOOKUP, theirs, 16, false), -ENOENT);

    /* The owner goes while it is asked. Its objects go with it. */
    EQ(ask(&a, &b, ADD, theirs, 16, true), 0);
    EQ(ask(&b, &a, ADD, none, 16, true), 0);
    a.peer.mute = GET_SHARED_OBJECT;
    send_message(b.channel, LOOKUP, 0x1, theirs, 16, NULL, 0);
    pump(b.frontend);
    CHECK(!wait_readable(b.channel, 20));
    EQ(ask(&a, &b, LOOKUP, none, 16, false), -EDEADLK); /* a back-end that waits itself is not asked */
    peer_hang_up(&a.peer);
    PUMP_UNTIL(a.frontend, wait_readable(b.channel, 0));
    message m;
    EQ(receive(b.channel, &m, PATIENCE_MS), 1);
    EQ((int64_t)u64_of(&m), -ECONNRESET);
    EQ(vhushmem_shared_objects_count(objects), 2);
    EQ(ask(&b, &a, LOOKUP, theirs, 16, false), -ENOENT);

    /* A back-end may name a bounded number. */
    for (uint32_t i = 1; i <= 1024; i++) {
        uint8_t uuid[16] = {0};
        memcpy(uuid, &i, sizeof(i));
        EQ(ask(&b, &b, ADD, uuid, 16, true), i < 1024 ? 0 : -ENOSPC);
    }
    ok(vhushmem_shared_objects_remove(objects, mine, &error));
    rig_close(&a);
    rig_close(&b);
    EQ(vhushmem_shared_objects_count(objects), 0);
    vhushmem_shared_objects_unref(objects);
    same(fds, fds_now());
    close(own_file);
    close(object_file);
    return 0;
}
