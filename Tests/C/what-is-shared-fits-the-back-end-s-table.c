/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two regions and a mapping of another device are shared with a back-end that keeps a table of what it is told. The back-end
 * and the program map, unmap and replace. RAM, starts, stops and resets change the rest, in random order. Nothing is told twice
 * or taken away unknown, nothing overlaps, and no slot too many is used. When all is quiet, the table agrees with the mappings.
 */
#include "device-rig.h"
#include "random.h"

#define REGIONS 2
#define REGION_PAGES 16
#define OTHER_AT 0xc0000000ull

typedef struct range {
    uint64_t guest_addr, size, user_addr, offset;
} range;

static rig r;
static uint64_t state;
static int file, kick_fd;

/* The back-end's data. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static range table[512];
static size_t told, slots;
static uint64_t refuses, peer_state;
static char fault[200];

/* The front-end's data. */
static vhushmem_region *regions[REGIONS];
static const uint64_t at[REGIONS] = {0x40000000, 0x80000000};
static bool is_shared[REGIONS], other_is_shared;
static vhushmem_mapping *other;
static size_t ram_count;
static int asked, replies;

static uint64_t below(uint64_t limit) { return random_below(&state, limit); }

static void add(const range *new, int fds)
{
    for (size_t i = 0; i < told; i++) {
        if (new->guest_addr < table[i].guest_addr + table[i].size && table[i].guest_addr < new->guest_addr + new->size) {
            snprintf(fault, sizeof(fault), "0x%" PRIx64 " was added over 0x%" PRIx64, new->guest_addr, table[i].guest_addr);
        }
    }
    if (told >= slots || fds != 1) {
        snprintf(fault, sizeof(fault), "0x%" PRIx64 " was added with %d descriptors as number %zu", new->guest_addr, fds, told);
    } else {
        table[told++] = *new;
    }
}

static bool take_away(const range *old)
{
    for (size_t i = 0; i < told; i++) {
        if (memcmp(&table[i], old, offsetof(range, offset)) == 0) {
            table[i] = table[--told];
            return true;
        }
    }
    if (refuses == 0) {
        snprintf(fault, sizeof(fault), "0x%" PRIx64 " was taken away, but was not there", old->guest_addr);
    }
    return false;
}

static bool answer(peer *p, const message *m)
{
    uint64_t no = 1;
    range said;
    bool is_taken = true;
    if (m->header.request != ADD_MEM_REG && m->header.request != REM_MEM_REG) {
        return device_answer(p, m);
    }
    memcpy(&said, m->payload + 8, sizeof(said));
    pthread_mutex_lock(&lock);
    if (m->header.request == REM_MEM_REG) {
        is_taken = take_away(&said);
    } else if (refuses != 0 && random_below(&peer_state, refuses) == 0) {
        is_taken = false;
    } else {
        add(&said, m->fd_count);
    }
    pthread_mutex_unlock(&lock);
    if (!is_taken) {
        reply_with(p, m, &no, sizeof(no), -1);
    }
    return !is_taken;
}

static void on_reply(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)reply;
    (void)user_data;
    replies++;
}

static void no_log(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer user_data)
{
    (void)domain;
    (void)level;
    (void)text;
    (void)user_data;
}

static void no_fault(void)
{
    pthread_mutex_lock(&lock);
    if (fault[0] != 0) {
        FAIL("%s", fault);
    }
    pthread_mutex_unlock(&lock);
    if (!vhushmem_frontend_is_ready(r.frontend)) {
        FAIL("the connection is lost: %s", r.said);
    }
}

/* Everything that was told has been answered. */
static void come_to_rest(void)
{
    for (int i = 0; i < 40; i++) {
        pump(r.frontend);
        (void)vhushmem_frontend_get_device_status(r.frontend, NULL);
    }
    pump(r.frontend);
    no_fault();
}

static void table_is_right(void)
{
    come_to_rest();
    if (!vhushmem_frontend_is_started(r.frontend) || refuses != 0) {
        return;
    }
    uint64_t live = 0, known = 0, left, plain = ram_count + other_is_shared;
    for (size_t k = 0; k < REGIONS; k++) {
        if (is_shared[k]) {
            int64_t count = ok(vhushmem_frontend_shared_mappings(r.frontend, regions[k], &left));
            EQ((uint64_t)count + left, vhushmem_region_mapping_count(regions[k]));
            known += (uint64_t)count;
            live += (uint64_t)count + left;
        }
    }
    EQ(known, MIN(live, slots - plain));
    pthread_mutex_lock(&lock);
    EQ(told, known + plain);
    for (size_t i = 0; i < told; i++) {
        for (size_t k = 0; k < REGIONS; k++) {
            if (table[i].guest_addr - at[k] < REGION_PAGES * PAGE) {
                uint64_t offset = table[i].guest_addr - at[k];
                vhushmem_mapping_info info = {.struct_size = sizeof(info)};
                CHECK(is_shared[k]);
                ok(vhushmem_region_next_mapping(regions[k], offset, &info));
                EQ(info.shm_offset, offset);
                EQ(table[i].size, info.len);
                EQ(table[i].offset, info.fd_offset);
                EQ(table[i].user_addr, (uintptr_t)vhushmem_region_window(regions[k]) + offset);
            }
        }
    }
    pthread_mutex_unlock(&lock);
}

/* ---- steps ---- */

static void change_ram(bool waits)
{
    vhushmem_guest_memory ram[4];
    size_t count = 1 + below(4);
    uint64_t first = below(2);
    for (size_t i = 0; i < count; i++) {
        ram[i] = memory_of((first + i) << 20, PAGE * (1 + below(3)), file, 0);
    }
    int result = waits ? vhushmem_frontend_set_memory(r.frontend, ram, (unsigned)count, NULL)
                       : vhushmem_frontend_set_memory_async(r.frontend, ram, (unsigned)count, on_reply, NULL, NULL, NULL);
    CHECK(result == 0 || result == -ENOSPC || result == -EALREADY || refuses != 0);
    asked += !waits && result == 0;
    ram_count = result == 0 ? count : ram_count;
}

static void start(void)
{
    vhushmem_queue queue = queue_of(64, 0, 0x1000, kick_fd);
    int result = vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, NULL);
    CHECK(result == 0 || result == -EALREADY || refuses != 0);
}

static void share_or_not(void)
{
    size_t k = below(REGIONS);
    if (below(2) == 0) {
        EQ(vhushmem_frontend_share_region(r.frontend, regions[k], at[k], 0, NULL), is_shared[k] ? -EEXIST : 0);
        is_shared[k] = true;
    } else {
        EQ(vhushmem_frontend_unshare_region(r.frontend, regions[k], NULL), is_shared[k] ? 0 : -ENOENT);
        is_shared[k] = false;
    }
}

static void share_other_or_not(void)
{
    int result = other_is_shared ? vhushmem_frontend_unshare_mapping(r.frontend, other, NULL)
                                 : vhushmem_frontend_share_mapping(r.frontend, other, OTHER_AT, NULL);
    other_is_shared ^= result == 0;
}

static void step(void)
{
    uint8_t k = (uint8_t)below(REGIONS), answers[4096];
    uint64_t offset = below(REGION_PAGES) * PAGE, length = PAGE * (1 + below(2)), flags = below(3) != 0;
    VhostUserMMap m = mmap_of(k, below(4) * PAGE, offset, length, flags);
    switch (below(22)) {
    case 0 ... 3:
        try_send_message(r.channel, MAP, 0x1 | (below(2) ? 0x8 : 0), &m, sizeof(m), &file, 1);
        break;
    case 4 ... 6:
        try_send_message(r.channel, UNMAP, 0x1, &m, sizeof(m), NULL, 0);
        break;
    case 7:
        (void)vhushmem_region_map(regions[k], file, below(4) * PAGE, offset, length, flags, NULL);
        break;
    case 8:
        (void)vhushmem_region_unmap(regions[k], offset, length, NULL);
        break;
    case 9 ... 10:
        share_or_not();
        break;
    case 11:
        start();
        break;
    case 12:
        if (below(3) == 0) {
            (void)vhushmem_frontend_stop_device(r.frontend, NULL, 0, NULL);
        }
        break;
    case 13:
        if (below(4) == 0) {
            (void)vhushmem_frontend_reset(r.frontend, NULL);
        }
        break;
    case 14:
        change_ram(true);
        break;
    case 15:
        if (below(2) == 0) {
            change_ram(false);
        } else if (below(3) == 0) {
            (void)vhushmem_region_unmap_all(regions[k]);
        }
        break;
    case 16:
        share_other_or_not();
        break;
    case 17:
        if (below(4) == 0) {
            table_is_right();
        }
        break;
    default:
        (void)vhushmem_frontend_dispatch(r.frontend);
        while (recv(r.channel, answers, sizeof(answers), MSG_DONTWAIT) > 0) {}
    }
    no_fault();
}

static void live(int count, size_t slots_of_peer, uint64_t refuses_one_in)
{
    vhushmem_region_options region = {.struct_size = sizeof(region),
                                      .flags = VHUSHMEM_REGION_KEEP_FDS | VHUSHMEM_REGION_REPLACE};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &region};
    vhushmem_guest_memory ram = memory_of(0, PAGE, file, 0);
    memset(&r, 0, sizeof(r));
    memset(is_shared, 0, sizeof(is_shared));
    other_is_shared = false;
    told = 0;
    slots = slots_of_peer;
    refuses = refuses_one_in;
    peer_state = state;
    device_status = 0;
    asked = replies = 0;
    ram_count = 1;
    peer_init(&r.peer);
    for (uint8_t k = 0; k < REGIONS; k++) {
        peer_add_region(&r.peer, k, REGION_PAGES * PAGE);
    }
    r.peer.queues = 1;
    r.peer.slots = slots;
    r.peer.protocol_features = DEVICE_FEATURES;
    r.peer.answer = answer;
    rig_connect(&r, &options);
    for (uint8_t k = 0; k < REGIONS; k++) {
        regions[k] = some(vhushmem_device_find_region(r.device, k));
    }
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    for (int i = 0; i < count; i++) {
        step();
    }
    table_is_right();
    EQ(asked, replies);
    rig_close(&r);
}

int main(void)
{
    vhushmem_region_options keeps = {.struct_size = sizeof(keeps), .flags = VHUSHMEM_REGION_KEEP_FDS};
    g_log_set_handler("vhushmem", G_LOG_LEVEL_MASK, no_log, NULL);
    state = random_seed();
    file = memfd_of(8 * PAGE, 1);
    kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, REGION_PAGES * PAGE, &keeps, &error));
    ok(vhushmem_region_map(region, file, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    other = some(vhushmem_region_find_mapping(region, 0, PAGE));
    live(100, 8, 0); /* the first life makes what then stays for good */
    char *fds = fds_now(), *maps = maps_now();
    static const size_t slots_of_peers[] = {32, 6, 509, 1, 5};
    for (size_t i = 0; i < G_N_ELEMENTS(slots_of_peers); i++) {
        live(many_steps(400), slots_of_peers[i], i + 1 == G_N_ELEMENTS(slots_of_peers) ? 3 : 0);
    }
    same(fds, fds_now());
    same(maps, maps_now());
    vhushmem_mapping_unref(other);
    vhushmem_device_unref(device);
    return 0;
}
