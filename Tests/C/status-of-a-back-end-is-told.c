/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end reports its state as JSON: its connection, what was negotiated, memory, regions and queues. */
#include "bare-queue.h"

static vhushmem_chain *held;

static void hold(bare_queue *b, vhushmem_queue_event event)
{
    if (event == VHUSHMEM_QUEUE_KICKED && held == NULL) {
        held = vhushmem_backend_pop(b->r.backend, 0, NULL);
    }
}

static void has(vhushmem_backend *backend, const char *piece)
{
    char *json = vhushmem_backend_status_json(backend);
    CHECK(json != NULL);
    CHECK(json[0] == '{' && json[strlen(json) - 1] == '}');
    if (strstr(json, piece) == NULL) {
        FAIL("the status lacks %s: %s", piece, json);
    }
    g_free(json);
}

int main(void)
{
    bare_queue b;
    vhushmem_backend *lonely = some(vhushmem_backend_new(NULL, &error));
    has(lonely, "{\"state\":\"new\",\"reason\":null,\"negotiated\":false,\"features\":0,\"protocol_features\":0,");
    ok(vhushmem_backend_add_region(lonely, 7, 1 << 20, &error));
    has(lonely, "\"regions\":[{\"shmid\":7,\"size\":1048576,\"mappings\":0}],\"started_queues\":[]}");
    ok(vhushmem_backend_listen(lonely, "@vhushmem-status-of-a-back-end", &error));
    has(lonely, "{\"state\":\"listening\",");
    vhushmem_backend_free(lonely);

    on_queue = hold;
    bare_queue_init(&b);
    b.size = 4;
    bare_queue_connect(&b, BARE_FEATURES);
    has(b.r.backend, "{\"state\":\"connected\",\"reason\":null,\"negotiated\":true,");
    has(b.r.backend, "\"SHMEM\"");
    has(b.r.backend, "\"memory\":{\"ranges\":0,\"bytes\":0},\"logging\":false,\"tracks_inflight\":false,");
    has(b.r.backend, "\"channel\":{\"state\":\"open\",\"requests_waiting\":0}");
    tell_ram(&b);
    char *memory = g_strdup_printf("\"memory\":{\"ranges\":1,\"bytes\":%" PRIu64 "}", RAM_SIZE);
    has(b.r.backend, memory);
    g_free(memory);
    start_queue(&b, 0);
    set_descriptor(&b, 1, BUFFERS, 8, WRITE, 0);
    offer(&b, 1);
    kick(&b);
    CHECK(held != NULL);
    has(b.r.backend,
        "\"started_queues\":[{\"queue\":0,\"state\":\"running\",\"size\":4,\"next_avail\":1,\"next_used\":0,\"held\":1,"
        "\"in_guest_memory\":true,\"fault\":null}]");
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    has(b.r.backend, "\"state\":\"paused\"");
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    EQ(vhushmem_backend_push(b.r.backend, held, 8, NULL), 0);
    EQ(tell_region(&b, REM_MEM_REG, RAM, RAM_SIZE, USER, 0, -1), 0);
    has(b.r.backend, "\"next_avail\":1,\"next_used\":1,\"held\":0,\"in_guest_memory\":false");
    tell_ram(&b);
    vhushmem_backend_break_queue(b.r.backend, 0, NULL);
    has(b.r.backend, "\"state\":\"broken\"");
    has(b.r.backend, "\"fault\":\"the device does not understand what the driver wants\"");
    has(b.r.backend, "\"device_status\":64");
    shutdown(b.r.main, SHUT_RDWR);
    pump_backend(b.r.backend);
    has(b.r.backend, "{\"state\":\"disconnected\",\"reason\":\"");
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    CHECK(vhushmem_backend_status_json(NULL) == NULL);
    return 0;
}
