/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With VHUSHMEM_BACKEND_FOR_QEMU the back-end sends no map while no queue runs, does not offer CONFIGURE_MEM_SLOTS, and
 * refuses a file that is open for reading only. Each refusal has a sentence.
 */
#include "bare-queue.h"

static bare_queue b;
static int file, only_read, outcomes[2], started_result, stopped_result;

static int map(int fd) { return vhushmem_backend_map(b.r.backend, 0, fd, 0, 0, PAGE, 0, &error); }

static void on_result(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    (void)backend;
    (void)message;
    *(int *)user_data = result;
}

static int begin(int fd, int *outcome)
{
    *outcome = 1;
    return vhushmem_backend_map_async(b.r.backend, 0, fd, 0, 0, PAGE, 0, on_result, outcome, NULL, NULL);
}

static void from_a_handler(bare_queue *q, vhushmem_queue_event event)
{
    if (event == VHUSHMEM_QUEUE_STARTED) {
        started_result = begin(file, &outcomes[0]);
    } else if (event == VHUSHMEM_QUEUE_STOPPED) {
        stopped_result = vhushmem_backend_unmap(q->r.backend, 0, 0, PAGE, NULL);
    }
}

static void nothing_was_sent(void) { CHECK(!wait_readable(b.r.channel, 0)); }

static void while_no_queue_runs(void)
{
    vhushmem_shmem_request two[2] = {{.struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = file, .len = PAGE},
                                     {.struct_size = sizeof(vhushmem_shmem_request), .request = UNMAP, .len = PAGE}};
    CHECK(vhushmem_backend_is_negotiated(b.r.backend));
    refused(map(file), -EAGAIN, "no queue runs");
    refused(vhushmem_backend_unmap(b.r.backend, 0, 0, PAGE, &error), -EAGAIN, "no queue runs");
    EQ(begin(file, &outcomes[1]), -EAGAIN);
    EQ(vhushmem_backend_perform(b.r.backend, two, 2, 0, &error), 2);
    EQ(two[0].result, -EAGAIN);
    EQ(two[1].result, -EAGAIN);
    err(vhushmem_backend_perform(b.r.backend, two, 2, VHUSHMEM_PERFORM_ONE_ANSWER, &error), -EAGAIN);
    refused(vhushmem_backend_map(b.r.backend, 0, file, 0, 0, 0, 0, &error), -EINVAL, "0x0 bytes");
    nothing_was_sent();
}

static void takes_answer(int64_t value)
{
    message m;
    EQ(receive(b.r.channel, &m, PATIENCE_MS), 1);
    for (int i = 0; i < m.fd_count; i++) {
        close(m.fds[i]);
    }
    send_message(b.r.channel, m.header.request, 0x5, &value, 8, NULL, 0);
    pump_backend(b.r.backend);
}

int main(void)
{
    struct {
        uint32_t count, padding;
        uint64_t region[4];
    } table = {1, 0, {RAM, RAM_SIZE, USER, 0}};
    char path[64];
    file = memfd_of(PAGE, 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    only_read = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(only_read >= 0);
    on_queue = from_a_handler;
    bare_queue_flags = VHUSHMEM_BACKEND_FOR_QEMU;
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES & ~BIT(15));
    CHECK((backend_rig_get(&b.r, GET_PROTOCOL_FEATURES) & BIT(15)) == 0);
    while_no_queue_runs();

    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS, -1), 0);
    EQ(tell(&b, SET_MEM_TABLE, &table, sizeof(table), b.ram_fd), 0);
    nothing_was_sent();
    started_result = stopped_result = 1;
    start_queue(&b, 0);
    EQ(started_result, 0);
    takes_answer(0);
    EQ(outcomes[0], 0);
    refused(map(only_read), -EACCES, "reading alone");
    EQ(begin(only_read, &outcomes[1]), -EACCES);
    err(map(-1), -EBADF);
    nothing_was_sent();

    /* Requests that wait to be sent when the queue stops are no longer sent. */
    for (int i = 0; i < 32; i++) {
        EQ(begin(file, &outcomes[0]), 0);
    }
    EQ(begin(file, &outcomes[1]), 0);
    stop_queue(&b);
    EQ(stopped_result, -EAGAIN);
    for (int i = 0; i < 32; i++) {
        takes_answer(0);
    }
    nothing_was_sent();
    EQ(outcomes[1], -EAGAIN);
    while_no_queue_runs();
    backend_rig_close(&b.r);

    /* Without the flag, all are as before. */
    bare_queue_flags = 0;
    on_queue = NULL;
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(begin(only_read, &outcomes[0]), 0);
    takes_answer(0);
    EQ(outcomes[0], 0);
    backend_rig_close(&b.r);
    vhushmem_backend_options options = {.struct_size = sizeof(options), .flags = 2};
    CHECK(vhushmem_backend_new(&options, &error) == NULL);
    refused(-error->code, -EINVAL, "0x2");
    close(file);
    close(only_read);
    bare_queue_close(&b);
    return 0;
}
