/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end has the answer to its MAP before ADD_MEM_REG tells it of the same mapping, because it need not look at its main
 * socket before. This holds for many maps at once, where a listener dispatches during a map, and where the answer does not
 * fit into the channel.
 */
#include "shared-region.h"

#include <sys/ioctl.h>

#include <vhushmem/series.h>

#define PAGES 480ull

static rig r;
static int file, kick_fd, told, too_early;
static uint64_t answers_read;

/* Pages are mapped in the order of their offsets. */
static void look(peer *p, const message *m)
{
    uint64_t guest_addr;
    int bytes = 0;
    if (m->header.request != ADD_MEM_REG) {
        return;
    }
    memcpy(&guest_addr, m->payload + 8, sizeof(guest_addr));
    if (guest_addr < AT) {
        return;
    }
    CHECK(ioctl(p->channel, FIONREAD, &bytes) == 0);
    pthread_mutex_lock(&p->lock);
    told++;
    too_early += (uint64_t)bytes / 20 + answers_read < (guest_addr - AT) / PAGE + 1;
    pthread_mutex_unlock(&p->lock);
}

static int told_now(void)
{
    pthread_mutex_lock(&r.peer.lock);
    int count = told;
    pthread_mutex_unlock(&r.peer.lock);
    return count;
}

static void open_rig(void)
{
    vhushmem_guest_memory ram = memory_of(0, 0x10000, file, 0);
    vhushmem_queue queue = queue_of(64, 0, 0x1000, kick_fd);
    vhushmem_device_options device = {.struct_size = sizeof(device), .max_kept_fds = PAGES};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .device = &device, .region = &shared_keeps};
    told = too_early = 0;
    answers_read = 0;
    memset(&r, 0, sizeof(r));
    device_status = 0;
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, PAGES * PAGE);
    r.peer.protocol_features = DEVICE_FEATURES;
    r.peer.answer = device_answer;
    r.peer.before_answer = look;
    rig_connect(&r, &options);
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    ok(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error));
}

static void ask(uint64_t page)
{
    VhostUserMMap m = mmap_of(0, 0, page * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW);
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &file, 1);
}

static void many_at_once(void)
{
    open_rig();
    for (uint64_t page = 0; page < 40; page++) {
        ask(page);
    }
    PUMP_UNTIL(r.frontend, told_now() == 40);
    EQ(too_early, 0);
    rig_close(&r);
}

static void on_section(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    for (int i = 0; i < 4; i++) {
        vhushmem_frontend_dispatch(r.frontend);
    }
}

static void listener_dispatches(void)
{
    MemoryListener listener = {.region_add = on_section, .region_del = on_section};
    open_rig();
    memory_listener_register(&listener, virtio_shmem_memory_region(r.region));
    for (uint64_t page = 0; page < 10; page++) {
        ask(page);
    }
    PUMP_UNTIL(r.frontend, told_now() == 10);
    EQ(too_early, 0);
    memory_listener_unregister(&listener);
    rig_close(&r);
}

/* The back-end reads no answer, until no more fit into the channel. */
static void answer_does_not_fit(void)
{
    open_rig();
    uint64_t page = 0, before = 0;
    while (page < PAGES) {
        for (int i = 0; i < 20; i++) {
            ask(page++);
        }
        pump(r.frontend);
        if (vhushmem_region_mapping_count(r.region) < page) {
            break;
        }
        before = page;
    }
    CHECK(before > 0 && page < PAGES); /* some 280 answers fit */
    EQ(r.events[VHUSHMEM_EVENT_MAP], vhushmem_region_mapping_count(r.region));
    /* It says all that it can say now. */
    ok(vhushmem_frontend_get_device_status(r.frontend, &error));
    pump(r.frontend);
    EQ(too_early, 0);
    uint64_t told_before = (uint64_t)told_now();
    CHECK(told_before <= vhushmem_region_mapping_count(r.region));
    while (answers_read < page) {
        uint8_t bytes[20];
        pump(r.frontend);
        EQ(recv(r.channel, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
        pthread_mutex_lock(&r.peer.lock);
        answers_read++;
        pthread_mutex_unlock(&r.peer.lock);
    }
    PUMP_UNTIL(r.frontend, (uint64_t)told_now() == page);
    rig_close(&r);
}

int main(void)
{
    file = memfd_of(0x10000, 1);
    kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    many_at_once();
    listener_dispatches();
    answer_does_not_fit();
    close(file);
    close(kick_fd);
    return 0;
}
