/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A read-only map of the library's back-end is read-only, and a read-write map can be written. The front-ends are one of the
 * library and one that speaks bytes. SHMEM is bit 22, or bit 20 with other flags (1 to read, 2 to write), unless the options
 * say which flags hold.
 */
/* tsan: yes (another thread listens to the back-end) */
#include "backend-rig.h"
#include "pair.h"

static void on_the_wire(uint32_t bit, uint32_t flags, uint64_t read_only, uint64_t read_write)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .shmem_bit = bit, .flags = flags};
    backend_rig r;
    int file = memfd_of(PAGE, 1);
    backend_rig_new(&r, 16 * PAGE, &options);
    backend_rig_shake_hands(&r, (BACKEND_RIG_FEATURES & ~BIT(22)) | BIT(bit));
    for (int i = 0; i < 3; i++) {
        answerer a = {.channel = r.channel};
        VhostUserMMap heard;
        answerer_start(&a);
        if (i < 2) {
            ok(vhushmem_backend_map(r.backend, 0, file, 0, 0, PAGE, i == 1 ? VHOST_USER_FLAG_MAP_RW : 0, &error));
        } else {
            ok(vhushmem_backend_unmap(r.backend, 0, 0, PAGE, &error));
        }
        answerer_end(&a);
        memcpy(&heard, a.heard.payload, sizeof(heard));
        EQ(heard.flags, i == 0 ? read_only : i == 1 ? read_write : 0);
    }
    /* The caller always uses today's flags. */
    err(vhushmem_backend_map(r.backend, 0, file, 0, 0, PAGE, 2, &error), -EINVAL);
    close(file);
    backend_rig_close(&r);
}

typedef struct server {
    vhushmem_backend *backend;
    int file, results[3];
    pthread_t thread;
    bool done;
} server;

static void *serve(void *user_data)
{
    server *s = user_data;
    vhushmem_shmem_request all[3] = {
        {.struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = s->file, .len = PAGE},
        {.struct_size = sizeof(vhushmem_shmem_request),
         .request = MAP,
         .fd = s->file,
         .shm_offset = PAGE,
         .len = PAGE,
         .flags = VHOST_USER_FLAG_MAP_RW},
        {.struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = s->file, .shm_offset = 2 * PAGE, .len = PAGE}};
    PUMP_BACKEND_UNTIL(s->backend, vhushmem_backend_is_negotiated(s->backend));
    EQ(vhushmem_backend_perform(s->backend, all, 3, 0, &error), 0);
    __atomic_store_n(&s->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void with_our_front_end(uint32_t bit, uint32_t back_flags, uint32_t front_flags)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .shmem_bit = bit, .flags = back_flags};
    vhushmem_frontend_options front = {.struct_size = sizeof(front), .shmem_bit = bit, .flags = front_flags};
    server s = {.file = memfd_of(PAGE, 1)};
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    s.backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_add_region(s.backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(s.backend, pair[1], &error));
    CHECK(pthread_create(&s.thread, NULL, serve, &s) == 0);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], &front, &error));
    ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
    PUMP_FRONTEND_UNTIL(frontend, __atomic_load_n(&s.done, __ATOMIC_ACQUIRE));
    pthread_join(s.thread, NULL);
    vhushmem_region *region = some(vhushmem_device_find_region(vhushmem_frontend_device(frontend), 0));
    for (uint64_t i = 0; i < 3; i++) {
        CHECK(vhushmem_region_translate(region, i * PAGE, 1, false) != NULL);
        EQ(vhushmem_region_translate(region, i * PAGE, 1, true) != NULL, i == 1);
    }
    vhushmem_frontend_free(frontend);
    vhushmem_backend_free(s.backend);
    close(s.file);
}

/* If the two sides do not use the same bit, nothing is mapped at all. */
static void disagreeing(uint32_t front_bit, uint32_t back_bit)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .shmem_bit = back_bit};
    vhushmem_frontend_options front = {.struct_size = sizeof(front), .shmem_bit = front_bit};
    int pair[2], file = memfd_of(PAGE, 1);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_backend *backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(backend, pair[1], &error));
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], &front, &error));
    ok(vhushmem_frontend_start(frontend, &error));
    STEP_UNTIL(vhushmem_frontend_is_ready(frontend) || vhushmem_frontend_dispatch(frontend) < 0, pump_backend_once(backend));
    CHECK(!vhushmem_backend_is_negotiated(backend));
    refused(vhushmem_backend_map(backend, 0, file, 0, 0, PAGE, 0, &error), -ENOTCONN, "no front-end");
    vhushmem_frontend_free(frontend);
    vhushmem_backend_free(backend);
    close(file);
}

int main(void)
{
    on_the_wire(22, 0, 0, 1);
    on_the_wire(21, 0, 0, 1);
    on_the_wire(20, 0, 1, 3);
    on_the_wire(20, VHUSHMEM_BACKEND_CURRENT_MAP_FLAGS, 0, 1);
    on_the_wire(20, VHUSHMEM_BACKEND_FIRST_MAP_FLAGS, 1, 3);
    on_the_wire(21, VHUSHMEM_BACKEND_FIRST_MAP_FLAGS, 1, 3);
    with_our_front_end(22, 0, 0);
    with_our_front_end(21, 0, 0);
    with_our_front_end(20, 0, 0);
    with_our_front_end(20, VHUSHMEM_BACKEND_CURRENT_MAP_FLAGS, VHUSHMEM_FRONTEND_CURRENT_MAP_FLAGS);
    with_our_front_end(20, 0, VHUSHMEM_FRONTEND_FIRST_MAP_FLAGS);
    with_our_front_end(22, VHUSHMEM_BACKEND_FIRST_MAP_FLAGS, VHUSHMEM_FRONTEND_FIRST_MAP_FLAGS);
    disagreeing(20, 22);
    disagreeing(22, 20);
    return 0;
}
