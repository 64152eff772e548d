/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device answers GET_QUEUE_NUM with pairs of queues and has more queues than that: num_rings. The option
 * min_queue_num tells a front-end the least answer that it accepts.
 */
/* tsan: yes (the back-end runs in a thread of its own) */
#include "backend-rig.h"

#define PAIRS 2
#define RINGS 5

/* Checks only which numbers of queues are possible. */
static void numbers(void)
{
    const struct {
        uint32_t queues, rings;
        bool is_good;
    } all[] = {{0, 0, true}, {256, 0, true}, {257, 0, false},   {1, 256, true},   {1, 257, false},       {2, 1, false},
               {2, 2, true}, {0, 1, true},   {256, 255, false}, {256, 256, true}, {0, UINT32_MAX, false}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        vhushmem_backend_options options = {
            .struct_size = sizeof(options), .num_queues = all[i].queues, .num_rings = all[i].rings};
        vhushmem_backend *backend = vhushmem_backend_new(&options, &error);
        EQ(backend != NULL, all[i].is_good);
        CHECK(all[i].is_good || error->code == EINVAL);
        g_clear_error(&error);
        vhushmem_backend_free(backend);
    }
}

static uint64_t say(backend_rig *r, uint32_t request, uint32_t queue, uint32_t number)
{
    uint32_t state[2] = {queue, number};
    message m = backend_rig_ask(r, request, state, sizeof(state), NULL, 0);
    return u64_of(&m);
}

static void back_end(void)
{
    backend_rig r;
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = PAIRS, .num_rings = RINGS};
    backend_rig_new(&r, 16 * PAGE, &options);
    backend_rig_shake_hands(&r, BACKEND_RIG_FEATURES | BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(12));
    EQ(backend_rig_get(&r, GET_QUEUE_NUM), PAIRS);
    for (uint32_t queue = 0; queue < RINGS; queue++) {
        EQ(say(&r, SET_VRING_NUM, queue, 8), 0);
        EQ(say(&r, SET_VRING_ENABLE, queue, 0), 0);
        CHECK(!vhushmem_backend_queue_is_running(r.backend, queue));
    }
    EQ(say(&r, SET_VRING_NUM, RINGS, 8), (uint64_t)-EINVAL);
    EQ(say(&r, SET_VRING_ENABLE, RINGS, 0), (uint64_t)-EINVAL);
    /* The area for requests in flight has a part for each ring. */
    for (uint16_t queues = RINGS; queues <= RINGS + 1; queues++) {
        struct {
            uint64_t size, offset;
            uint16_t queues, queue_size;
            uint32_t padding;
        } area = {0, 0, queues, 8, 0};
        message m;
        send_message(r.main, GET_INFLIGHT_FD, 0x9, &area, sizeof(area), NULL, 0);
        pump_backend(r.backend);
        EQ(receive(r.main, &m, PATIENCE_MS), 1);
        memcpy(&area, m.payload, sizeof(area));
        EQ(area.size > 0, queues == RINGS);
        EQ(m.fd_count, queues == RINGS ? 1 : 0);
        for (int i = 0; i < m.fd_count; i++) {
            close(m.fds[i]);
        }
    }
    backend_rig_close(&r);
}

static void *run(void *backend)
{
    while (vhushmem_backend_dispatch(backend) != -ENOTCONN) {
        wait_readable((int)vhushmem_backend_get_fd(backend), 5);
    }
    return NULL;
}

/* A front-end of the library and a back-end that counts pairs. Returns what connect returns. */
static int connect_with(uint32_t queues, uint32_t least)
{
    int pair[2];
    pthread_t thread;
    vhushmem_backend_options back = {.struct_size = sizeof(back), .num_queues = PAIRS, .num_rings = RINGS};
    vhushmem_frontend_options front = {.struct_size = sizeof(front), .num_queues = queues, .min_queue_num = least};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_backend *backend = some(vhushmem_backend_new(&back, &error));
    ok(vhushmem_backend_attach(backend, pair[1], &error));
    CHECK(pthread_create(&thread, NULL, run, backend) == 0);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], &front, &error));
    int result = vhushmem_frontend_connect(frontend, PATIENCE_MS, &error);
    g_clear_error(&error);
    vhushmem_frontend_free(frontend);
    pthread_join(thread, NULL);
    vhushmem_backend_free(backend);
    return result;
}

int main(void)
{
    numbers();
    back_end();
    EQ(connect_with(RINGS, 0), -EPROTO);
    EQ(connect_with(RINGS, PAIRS + 1), -EPROTO);
    EQ(connect_with(RINGS, PAIRS), 0);
    EQ(connect_with(PAIRS, 0), 0);
    return 0;
}
