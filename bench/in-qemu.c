/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: in-qemu SOCKET SIZE. A device of a QEMU. It obeys lines: `fill N` makes mappings of SIZE bytes until N are live. `time
 * N` undoes N of them and asks for them again. It prints for each request the nanoseconds from before it is sent until its
 * answer has come.
 */
#include "measure.h"

#include <inttypes.h>
#include <poll.h>

#include <vhushmem/vhushmem.h>

#define REGION_SIZE (UINT64_C(256) << 20)
#define MOST 16384u

static vhushmem_backend *backend;
static uint64_t size, live;
static bool runs;
static int file;

static void on_queue(vhushmem_backend *from, unsigned queue, vhushmem_queue_event event, const char *message, void *user_data)
{
    (void)from;
    (void)message;
    (void)user_data;
    if (event == VHUSHMEM_QUEUE_STARTED && queue == 0 && !runs) {
        runs = true;
        puts("started");
    }
}

static uint32_t timed(bool map, uint64_t slot)
{
    GError *error = NULL;
    uint64_t began = now_ns();
    int rc = map ? vhushmem_backend_map(backend, 0, file, 0, slot * size, size, VHOST_USER_FLAG_MAP_RW, &error)
                 : vhushmem_backend_unmap(backend, 0, slot * size, size, &error);

    if (rc < 0) {
        fprintf(stderr, "in-qemu: %s\n", error->message);
        exit(1);
    }
    return (uint32_t)(now_ns() - began);
}

static void obey(const char *line)
{
    uint32_t maps[1024], unmaps[1024];
    unsigned number = 0;

    if (sscanf(line, "fill %u", &number) == 1 && number <= MOST && number <= REGION_SIZE / size) {
        for (; live < number; live++) {
            timed(true, live);
        }
        printf("filled %" PRIu64 "\n", live);
    } else if (sscanf(line, "time %u", &number) == 1 && number > 0 && number <= 1024 && live > 0) {
        uint64_t random = 1;

        for (unsigned i = 0; i < number; i++) {
            uint64_t slot = next_random(&random, live);

            unmaps[i] = timed(false, slot);
            maps[i] = timed(true, slot);
        }
        printf("live %" PRIu64 " map %u unmap %u\n", live, median_of(maps, number), median_of(unmaps, number));
    } else {
        exit(0);
    }
}

int main(int argc, char **argv)
{
    const vhushmem_backend_options options = {
        .struct_size = sizeof(options), .num_queues = 2, .flags = VHUSHMEM_BACKEND_FOR_QEMU};
    const vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = on_queue};
    char line[128];

    MUST(argc == 3);
    size = strtoull(argv[2], NULL, 0);
    MUST(size > 0 && size <= REGION_SIZE);
    file = file_of(size);
    backend = vhushmem_backend_new(&options, NULL);
    MUST(backend != NULL && vhushmem_backend_set_handlers(backend, &handlers, NULL, NULL, NULL) == 0);
    MUST(vhushmem_backend_add_region(backend, 0, REGION_SIZE, NULL) == 0);
    MUST(vhushmem_backend_listen(backend, argv[1], NULL) == 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        struct pollfd ready[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                  {.fd = vhushmem_backend_get_fd(backend), .events = POLLIN}};

        MUST(poll(ready, 2, -1) > 0);
        vhushmem_backend_dispatch(backend);
        if (ready[0].revents != 0 && fgets(line, sizeof(line), stdin) != NULL) {
            obey(line);
        } else if (ready[0].revents != 0) {
            return 0;
        }
    }
}
