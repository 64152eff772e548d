/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer sends sockets whose close waits for an hour, in every way in which a descriptor can come. No call of the library
 * waits for a close. A thread of the library closes them, and that thread takes no signals.
 */
/* valgrind: no (it stops all threads for a call that waits) */
#include "linger.h"

#include "bare-queue.h"
#include "rig.h"

static void send_with(rig *r, uint32_t request, const int *others, int count)
{
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    int fds[16];
    for (int i = 0; i < count; i++) {
        fds[i] = others[0];
    }
    fds[count] = lingering_socket();
    send_message(r->channel, request, 0x1, &m, sizeof(m), fds, count + 1);
    close(fds[count]);
}

/* In a message that may have one; as the tenth of ten; and as the last of sixteen in a message that may have none. */
static void in_a_message(void)
{
    int memfd = memfd_of(PAGE, 1);
    for (int others = 0; others < 16; others += others == 0 ? 9 : 6) {
        rig r;
        rig_open(&r, 16 * PAGE, NULL);
        send_with(&r, MAP, &memfd, others);
        pump(r.frontend);
        CHECK(is_closing());
        rig_close(&r);
    }
    close(memfd);
}

/* Unread when the channel ends, or when the front-end is freed. */
static void unread(bool violation)
{
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    if (violation) {
        VhostUserHeader odd = {MAP, 0x2, 40};
        char rest[4096] = {0};
        send_bytes(r.channel, &odd, sizeof(odd), NULL, 0);
        send_bytes(r.channel, rest, sizeof(rest), NULL, 0);
    }
    send_with(&r, MAP, NULL, 0);
    if (violation) {
        pump(r.frontend);
        EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
    }
    rig_close(&r);
}

/* In the queue of a socket that is itself sent. */
static void inside_a_socket(void)
{
    rig r;
    int pair[2], inside = lingering_socket();
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    rig_open(&r, 16 * PAGE, NULL);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    send_bytes(pair[0], "x", 1, &inside, 1);
    close(inside);
    close(pair[0]);
    send_message(r.channel, MAP, 0x1, &m, sizeof(m), &pair[1], 1);
    close(pair[1]);
    pump(r.frontend);
    rig_close(&r);
}

/* With a byte that is sent out of band, which is no message. */
static void out_of_band(void)
{
    rig r;
    int fd = lingering_socket();
    char byte = 0;
    struct iovec iov = {&byte, 1};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    rig_open(&r, 16 * PAGE, NULL);
    bool is_known = sendmsg(r.channel, &message, MSG_OOB) == 1; /* Linux 5.15 and later */
    close(fd);
    if (is_known) {
        pump(r.frontend);
    }
    rig_close(&r);
}

static bool lingering_area(peer *p, const message *m)
{
    struct {
        uint64_t size, offset;
        uint16_t queues, entries;
        uint32_t padding;
    } area = {4096, 0, 1, 7, 0}; /* 7: not the queue count that was asked for */
    if (m->header.request != GET_INFLIGHT_FD) {
        return false;
    }
    int fd = lingering_socket();
    send_message(p->main, GET_INFLIGHT_FD, 0x5, &area, sizeof(area), &fd, 1);
    pthread_detach(linger_close_in_a_thread(fd));
    return true;
}

/* With a wrong reply. */
static void in_a_reply(void)
{
    rig r;
    vhushmem_inflight area = {.struct_size = sizeof(area)};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.protocol_features |= BIT(12);
    r.peer.answer = lingering_area;
    rig_connect(&r, NULL);
    err(vhushmem_frontend_get_inflight(r.frontend, 1, 128, &area, &error), -EPROTO);
    rig_close(&r);
}

/* To a listener that has a back-end, and takes no other. */
static void to_a_listener(void)
{
    char *path = g_strdup_printf("%s/vhushmem-%d.sock", g_get_tmp_dir(), (int)getpid());
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_FRONTEND_SERVER};
    vhushmem_frontend *frontend = some(vhushmem_frontend_new(path, &options, &error));
    ok(vhushmem_frontend_start(frontend, &error));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int sockets[2];
    for (int i = 0; i < 2; i++) {
        sockets[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(connect(sockets[i], (struct sockaddr *)&address, sizeof(address)) == 0);
    }
    int fd = lingering_socket();
    send_bytes(sockets[1], "x", 1, &fd, 1);
    close(fd);
    close(sockets[1]);
    pump(frontend);
    vhushmem_frontend_free(frontend);
    close(sockets[0]);
    g_free(path);
}

/* To a back-end: in the place of a kick, and unread at its end. */
static void to_a_back_end(void)
{
    bare_queue b;
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    uint64_t queue = 0;
    int fd = lingering_socket();
    EQ(tell(&b, SET_VRING_KICK, &queue, sizeof(queue), fd), -EINVAL);
    send_message(b.r.main, SET_VRING_KICK, 0x1, &queue, sizeof(queue), &fd, 1);
    close(fd);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* A child of fork goes on, and does its own closes. */
static void in_a_child(void)
{
    rig r;
    int status;
    rig_open(&r, 16 * PAGE, NULL);
    send_with(&r, MAP, NULL, 0);
    pump(r.frontend);
    STEP_UNTIL(is_closing(), usleep(1000));
    pid_t child = fork();
    if (child == 0) {
        linger_begin();
        CHECK(!is_closing());
        send_with(&r, MAP, NULL, 0);
        pump(r.frontend);
        STEP_UNTIL(is_closing(), usleep(1000)); /* the thread gets its name when it runs */
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    EQ(status, 0);
    rig_close(&r);
}

int main(void)
{
    linger_begin();
    in_a_child();
    in_a_message();
    unread(false);
    unread(true);
    inside_a_socket();
    out_of_band();
    in_a_reply();
    to_a_listener();
    to_a_back_end();
    return 0; /* threads are still closing */
}
