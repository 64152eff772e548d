/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end in a thread starts, stops and resets a device, writes its status and configuration, kicks, and leaves, without
 * end. Each handler and callback of the back-end does what a device may do: it maps and waits, maps without waiting, undoes
 * all, turns the loop, dispatches, takes and gives back chains, tells of changes, breaks its queue, takes its callback away,
 * frees the back-end. Callbacks nest in one case only: while the device waits, the library answers the front-end's requests.
 * None comes after the back-end was freed, and each outcome is told once.
 */
/* tsan: yes (front-end and back-end in two threads) */
#include "random.h"
#include "rig.h"

#include <stdatomic.h>
#include <sys/eventfd.h>

static vhushmem_backend *backend;
static GMainContext *context;
static uint64_t random_state;
static bool is_freed;
static int events_inside, requests_inside, deepest, file;
static int asked, told, destroyed, refused_count;
static long actions, frees;
static atomic_bool stop;

static uint64_t below(uint64_t limit) { return random_below(&random_state, limit); }

static void act(void);

static void on_result(vhushmem_backend *b, int result, const char *message, void *user_data)
{
    (void)user_data;
    CHECK(b == backend);
    CHECK((message != NULL) == (result < 0));
    told++;
    CHECK(events_inside == 0);
    events_inside++;
    if (!is_freed && below(3) == 0) {
        act();
    }
    events_inside--;
}

static void on_destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

static void ask(void)
{
    int result;
    asked++;
    switch (below(3)) {
    case 0:
        result =
            vhushmem_backend_map_async(backend, 0, file, 0, below(16) * PAGE, PAGE, 0, on_result, NULL, on_destroy, &error);
        break;
    case 1:
        result = vhushmem_backend_unmap_async(backend, 0, below(16) * PAGE, PAGE, on_result, NULL, on_destroy, &error);
        break;
    default:
        result = vhushmem_backend_unmap_all_async(backend, VHUSHMEM_ALL_REGIONS, on_result, NULL, on_destroy, &error);
    }
    refused_count += result < 0;
}

static void on_event(vhushmem_backend *b, const vhushmem_backend_event *event, void *user_data)
{
    (void)event;
    (void)user_data;
    CHECK(b == backend && !is_freed);
    CHECK(events_inside == 0);
    events_inside++;
    act();
    events_inside--;
}

static void on_queue(vhushmem_backend *b, unsigned queue, vhushmem_queue_event event, const char *message, void *user_data)
{
    (void)queue;
    (void)event;
    (void)message;
    (void)user_data;
    CHECK(b == backend && !is_freed);
    act();
}

/* No handler is called while another one runs. */
static int act_inside_request(vhushmem_backend *b)
{
    CHECK(b == backend && !is_freed && requests_inside == 0);
    requests_inside++;
    act();
    requests_inside--;
    return 0;
}

static int on_status(vhushmem_backend *b, uint8_t status, void *user_data)
{
    (void)status;
    (void)user_data;
    return act_inside_request(b);
}

static int on_config(vhushmem_backend *b, uint32_t offset, const void *bytes, uint32_t len, unsigned flags, void *user_data)
{
    (void)offset;
    (void)bytes;
    (void)len;
    (void)flags;
    (void)user_data;
    return act_inside_request(b);
}

static int on_get_config(vhushmem_backend *b, uint32_t offset, void *bytes, uint32_t len, void *user_data)
{
    memset(bytes, 0, len);
    return on_config(b, offset, bytes, len, 0, user_data);
}

static void act(void)
{
    static int depth;
    vhushmem_chain *chain;
    if (is_freed) {
        return;
    }
    actions++;
    depth++;
    deepest = MAX(deepest, depth);
    CHECK(depth < 40);
    switch (below(16)) {
    case 0:
    case 1:
        (void)vhushmem_backend_map(backend, 0, file, 0, below(16) * PAGE, PAGE, 0, &error);
        break;
    case 2:
        (void)vhushmem_backend_unmap_all(backend, VHUSHMEM_ALL_REGIONS, &error);
        break;
    case 3:
    case 4:
        for (uint64_t turns = below(5); turns > 0; turns--) {
            g_main_context_iteration(context, FALSE);
        }
        break;
    case 5:
        (void)vhushmem_backend_dispatch(backend);
        break;
    case 6:
        (void)vhushmem_backend_config_changed(backend, &error);
        break;
    case 7:
        chain = vhushmem_backend_pop(backend, 0, &error);
        g_clear_error(&error);
        if (chain != NULL && !is_freed && vhushmem_backend_push(backend, chain, 0, &error) < 0) {
            vhushmem_chain_free(chain);
        }
        break;
    case 8:
        if (below(4) == 0) {
            (void)vhushmem_backend_break_queue(backend, 0, &error);
        }
        break;
    case 9:
        (void)vhushmem_backend_set_callback(backend, below(2) == 0 ? NULL : on_event, NULL, NULL);
        break;
    case 10:
        if (below(30) == 0) {
            is_freed = true;
            frees++;
            vhushmem_backend_free(backend);
        }
        break;
    default:
        ask();
    }
    g_clear_error(&error);
    depth--;
}

/* ---- the front-end's thread ---- */

static void *vmm(void *user_data)
{
    uint64_t state = *(uint64_t *)user_data;
    static uint8_t bytes[8];
    int ram = memfd_of(16 * PAGE, 0), kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    char *at = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
    while (!atomic_load(&stop)) {
        vhushmem_frontend_options options = {.struct_size = sizeof(options), .call_timeout_ms = 2000};
        vhushmem_frontend *f = vhushmem_frontend_new("flood.sock", &options, NULL);
        vhushmem_guest_memory memory = {.size = 16 * PAGE, .host = at, .fd = ram};
        vhushmem_queue queue = {.struct_size = sizeof(queue),
                                .size = 16,
                                .desc = at,
                                .avail = at + 0x1000,
                                .used = at + 0x2000,
                                .kick_fd = kick,
                                .call_fd = -1};
        CHECK(f != NULL);
        if (vhushmem_frontend_connect(f, 200, NULL) == 0) {
            (void)vhushmem_frontend_set_memory(f, &memory, 1, NULL);
            for (uint64_t n = 20 + random_below(&state, 100); n > 0 && vhushmem_frontend_is_ready(f); n--) {
                switch (random_below(&state, 8)) {
                case 0:
                    (void)vhushmem_frontend_start_device(f, BIT(32), &queue, 1, NULL);
                    break;
                case 1:
                    (void)vhushmem_frontend_stop_device(f, NULL, 0, NULL);
                    break;
                case 2:
                    (void)vhushmem_frontend_reset(f, NULL);
                    break;
                case 3:
                    (void)vhushmem_frontend_set_device_status(f, (uint8_t)random_below(&state, 16), NULL);
                    break;
                case 4:
                    (void)vhushmem_frontend_set_config(f, 0, bytes, sizeof(bytes), 0, NULL);
                    break;
                default:
                    eventfd_write(kick, 1);
                    vhushmem_frontend_dispatch(f);
                }
            }
        }
        vhushmem_frontend_free(f);
    }
    munmap(at, 16 * PAGE);
    close(ram);
    close(kick);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    random_state = random_seed();
    uint64_t seed = random_state + 1;
    int rounds = many_steps(15);
    context = g_main_context_new();
    file = memfd_of(PAGE, 1);
    CHECK(pthread_create(&thread, NULL, vmm, &seed) == 0);
    for (int round = 0; round < rounds; round++) {
        vhushmem_backend_options options = {.struct_size = sizeof(options), .answer_timeout_ms = 1000, .config_size = 8};
        vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers),
                                              .queue = on_queue,
                                              .set_status = on_status,
                                              .get_config = on_get_config,
                                              .set_config = on_config};
        is_freed = false;
        backend = some(vhushmem_backend_new(&options, &error));
        ok(vhushmem_backend_set_callback(backend, on_event, NULL, NULL));
        ok(vhushmem_backend_set_handlers(backend, &handlers, NULL, NULL, &error));
        ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
        ok(vhushmem_backend_listen(backend, "flood.sock", &error));
        GSource *source = some(vhushmem_backend_source_new(backend));
        g_source_attach(source, context);
        for (long end = actions + 300; actions < end && !is_freed;) {
            g_main_context_iteration(context, FALSE);
        }
        if (!is_freed) {
            is_freed = true;
            vhushmem_backend_free(backend);
        }
        g_source_destroy(source);
        g_source_unref(source);
        EQ(destroyed, asked);
        EQ(told, asked - refused_count);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    printf("note: %ld actions, %ld frees inside, at most %d deep\n", actions, frees, deepest);
    g_main_context_unref(context);
    close(file);
    return 0;
}
