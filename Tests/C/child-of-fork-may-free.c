/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child of fork has the descriptors of its parent: sockets, epolls, socket files. It may free what the parent made, as a
 * destructor at its end does. The parent goes on: its connections work, its descriptors become readable, its sockets can be
 * found.
 */
#include "rig.h"

#include "bare-queue.h"

/* What the child does not free must stay in memory that valgrind looks at, or it is a leak of the child. So pointers to it are volatile: the
 * child does not use them, and a compiler may drop them there. */
static void in_a_child(void (*free_it)(void *), void *it)
{
    int status = -1;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        free_it(it);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    EQ(status, 0);
}

static void free_frontend(void *frontend) { vhushmem_frontend_free(frontend); }
static void free_backend(void *backend) { vhushmem_backend_free(backend); }
static void free_channel(void *channel) { vhushmem_channel_free(channel); }

static void front_end(void)
{
    rig r;
    int file = memfd_of(4 * PAGE, 7);
    VhostUserMMap map = mmap_of(0, 0, PAGE, PAGE, 0);
    rig_open(&r, 16 * PAGE, NULL);
    EQ(wire_map(&r, 0, file, 0, 0, PAGE, 0), 0);
    in_a_child(free_frontend, r.frontend);
    shows(r.region, 0, PAGE, 7, 0);
    send_message(r.channel, MAP, 0x9, &map, sizeof(map), &file, 1);
    CHECK(wait_readable((int)ok(vhushmem_frontend_get_fd(r.frontend)), PATIENCE_MS));
    EQ(rig_answer(&r, MAP), 0);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1);
    rig_close(&r);
    close(file);
}

static void channel(void)
{
    int pair[2], file = memfd_of(PAGE, 7);
    VhostUserMMap map = mmap_of(0, 0, 0, PAGE, 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_device *volatile device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 16 * PAGE, NULL, &error));
    vhushmem_channel *it = some(vhushmem_channel_new(pair[0], device, NULL, &error));
    int fd = (int)ok(vhushmem_channel_get_fd(it));
    in_a_child(free_channel, it);
    send_message(pair[1], MAP, 0x1, &map, sizeof(map), &file, 1);
    CHECK(wait_readable(fd, PATIENCE_MS));
    EQ(vhushmem_channel_dispatch(it), 1);
    EQ(vhushmem_region_mapping_count(region), 1);
    vhushmem_channel_free(it);
    vhushmem_device_unref(device);
    close(pair[1]);
    close(file);
}

/* With a queue that runs, so that the back-end waits for its kick. */
static void back_end(void)
{
    bare_queue b;
    bare_queue_open(&b, 0);
    int fd = (int)ok(vhushmem_backend_get_fd(b.r.backend)), kicked = b.seen[VHUSHMEM_QUEUE_KICKED];
    pump_backend(b.r.backend);
    in_a_child(free_backend, b.r.backend);
    CHECK(write(b.kick, &(uint64_t){1}, 8) == 8);
    CHECK(wait_readable(fd, PATIENCE_MS));
    STEP_UNTIL(b.seen[VHUSHMEM_QUEUE_KICKED] > kicked, pump_backend(b.r.backend));
    CHECK((backend_rig_get(&b.r, GET_FEATURES) & BIT(32)) != 0);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

static void finds(const char *path, int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(socket_fd >= 0 && connect(socket_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(wait_readable(fd, PATIENCE_MS));
    close(socket_fd);
}

static void listeners(void)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_FRONTEND_SERVER};
    char *volatile directory = new_directory(), *volatile path = g_strdup_printf("%s/socket", directory);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_listen(backend, path, &error));
    int fd = (int)ok(vhushmem_backend_get_fd(backend));
    in_a_child(free_backend, backend);
    finds(path, fd);
    vhushmem_backend_free(backend);
    CHECK(access(path, F_OK) != 0);

    vhushmem_frontend *frontend = some(vhushmem_frontend_new(path, &options, &error));
    ok(vhushmem_frontend_start(frontend, &error));
    fd = (int)ok(vhushmem_frontend_get_fd(frontend));
    in_a_child(free_frontend, frontend);
    finds(path, fd);
    vhushmem_frontend_free(frontend);
    CHECK(access(path, F_OK) != 0);
    g_free(path);
    remove_directory(directory);
}

int main(void)
{
    front_end();
    channel();
    back_end();
    listeners();
    return 0;
}
