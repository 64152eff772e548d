/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whatever a back-end is doing, a call whose arguments are refused leaves its status, its descriptors, its queues and its
 * chains unchanged. The states: before a front-end comes, with one, while a queue runs, with a broken queue, and after the
 * front-end has gone.
 */
#include "bare-queue.h"

static bare_queue b;
static const char *state;
static int destroyed, results, pipe_end, file;
static char *before, *fds;

static void destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

static void told(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    (void)backend;
    (void)result;
    (void)message;
    (void)user_data;
    results++;
}

static void unchanged(const char *call, int64_t result, int destroys)
{
    if (result >= 0) {
        FAIL("%s: %s is %" PRId64, state, call, result);
    }
    g_clear_error(&error);
    char *after = vhushmem_backend_status_json(b.r.backend), *fds_after = fds_at_once();
    if (strcmp(before, after) != 0) {
        FAIL("%s: %s has changed the status\n%s\nto\n%s", state, call, before, after);
    }
    if (strcmp(fds, fds_after) != 0) {
        FAIL("%s: after %s these descriptors are open:\n%sbefore it were:\n%s", state, call, fds_after, fds);
    }
    free(after);
    free(fds_after);
    EQ(results, 0);
    EQ(destroyed, destroys);
    destroyed = 0;
}

#define NO(call) unchanged(#call, (int64_t)(call), 0)
#define NO_ASYNC(call) unchanged(#call, (int64_t)(call), 1)
#define NONE(call) unchanged(#call, (call) == NULL ? -1 : 0, 0)

static void all(const char *name)
{
    vhushmem_backend *backend = b.r.backend;
    vhushmem_shmem_request odd[2] = {
        {.struct_size = sizeof *odd, .request = 77, .fd = file, .len = PAGE},
        {.struct_size = sizeof *odd, .request = MAP, .fd = file, .len = 0},
    };
    vhushmem_backend_handlers short_struct = {.struct_size = 4};
    vhushmem_chain *chains[1] = {NULL};
    uint32_t written[1] = {0};
    uint64_t reply = 0;
    int reply_fd = -1;
    state = name;
    before = vhushmem_backend_status_json(backend);
    fds = fds_at_once();
    NO(vhushmem_backend_set_handlers(backend, &short_struct, NULL, NULL, &error));
    NO(vhushmem_backend_add_region(backend, 0, PAGE, &error));
    NO(vhushmem_backend_add_region(backend, 5, 0, &error));
    NO(vhushmem_backend_add_region(backend, 5, 5, &error));
    NO(vhushmem_backend_listen(backend, "", &error));
    NO(vhushmem_backend_listen(backend, "/nowhere/at/all", &error));
    NO(vhushmem_backend_listen(backend, NULL, &error));
    NO(vhushmem_backend_listen_fd(backend, 9999, &error));
    NO(vhushmem_backend_listen_fd(backend, pipe_end, &error));
    NO(vhushmem_backend_connect(backend, "/nowhere/at/all", &error));
    NO(vhushmem_backend_attach(backend, 9999, &error));
    NO(vhushmem_backend_attach(backend, pipe_end, &error));
    NO(vhushmem_backend_map(backend, 0, file, 0, 0, 0, 0, &error));
    NO(vhushmem_backend_map(backend, 0, file, 0, 0, PAGE, 8, &error));
    NO(vhushmem_backend_map(backend, 0, file, 0, UINT64_MAX, PAGE, 0, &error));
    NO(vhushmem_backend_map(backend, 0, 9999, 0, 0, PAGE, 0, &error));
    NO(vhushmem_backend_unmap(backend, 0, 0, 0, &error));
    NO(vhushmem_backend_unmap(backend, 0, UINT64_MAX, PAGE, &error));
    NO_ASYNC(vhushmem_backend_map_async(backend, 0, file, 0, 0, 0, 0, told, NULL, destroy, &error));
    NO_ASYNC(vhushmem_backend_map_async(backend, 0, 9999, 0, 0, PAGE, 0, told, NULL, destroy, &error));
    NO_ASYNC(vhushmem_backend_map_async(backend, 0, file, 0, 0, PAGE, 0, NULL, NULL, destroy, &error));
    NO_ASYNC(vhushmem_backend_unmap_async(backend, 0, 0, 0, told, NULL, destroy, &error));
    NO(vhushmem_backend_unmap_all(backend, 256, &error));
    NO(vhushmem_backend_unmap_all(backend, -2, &error));
    NO_ASYNC(vhushmem_backend_unmap_all_async(backend, 256, told, NULL, destroy, &error));
    NO(vhushmem_backend_perform(backend, odd, 1, ~0u, &error));
    NO(vhushmem_backend_perform(backend, NULL, 1, 0, &error));
    NO(vhushmem_backend_request(backend, MAP, NULL, 0, -1, &reply, &reply_fd, &error));
    NO(vhushmem_backend_request(backend, 3, NULL, 8, -1, &reply, &reply_fd, &error));
    NO(vhushmem_backend_request(backend, 3, odd, 100000, -1, &reply, &reply_fd, &error));
    NO(vhushmem_backend_request(backend, 3, NULL, 0, 9999, &reply, &reply_fd, &error));
    NONE(vhushmem_backend_pop(backend, 7, &error));
    NO(vhushmem_backend_pop_many(backend, 7, chains, 1, &error));
    NO(vhushmem_backend_pop_many(backend, 0, NULL, 1, &error));
    NO(vhushmem_backend_push(backend, NULL, 0, &error));
    NO(vhushmem_backend_push_many(backend, 7, chains, written, 1, &error));
    NO(vhushmem_backend_push_many(backend, 0, NULL, written, 1, &error));
    NO(vhushmem_backend_push_many(backend, 0, chains, written, 1, &error));
    NO(vhushmem_backend_put_back(backend, NULL, &error));
    NO(vhushmem_backend_notify(backend, 7, &error));
    NO(vhushmem_backend_set_kicks(backend, 7, true, &error));
    NO(vhushmem_backend_break_queue(backend, 7, &error));
    NONE(vhushmem_backend_guest_memory(backend, RAM - 1, 2));
    NONE(vhushmem_backend_user_memory(backend, USER - 1, 2));
    free(before);
    free(fds);
}

int main(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pipe_end = ends[1];
    file = memfd_of(PAGE, 1);

    b.r.backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_add_region(b.r.backend, 0, PAGE, &error));
    ok(vhushmem_backend_get_fd(b.r.backend));
    all("new");
    vhushmem_backend_free(b.r.backend);

    bare_queue_open(&b, 0);
    all("running");
    offer(&b, 99);
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL);
    g_clear_error(&error);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    all("broken");
    stop_queue(&b);
    all("stopped");
    shutdown(b.r.main, SHUT_RDWR);
    STEP_UNTIL(b.r.events[VHUSHMEM_BACKEND_DISCONNECT] == 1, pump_backend(b.r.backend));
    all("left");
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(ends[0]);
    close(ends[1]);
    close(file);
    return 0;
}
