/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest is migrated while its device works hard. The front-end turns the log of writes on and copies all memory. Then it
 * copies again and again the pages that were logged meanwhile, sometimes into another log, and sometimes it gives up in
 * between. When the queue has stopped, the copy equals the memory: buffers, the used ring, and the device's own writes.
 */
/* valgrind: no (three threads share guest memory) */
#include "backend-rig.h"
#include "random.h"

#include <sys/eventfd.h>

#define RAM 0x100000ull
#define USER 0x7f0000000000ull
#define LOG_PAGE UINT64_C(4096) /* a bit of the log stands for it, whatever the kernel's page size is */
#define PAGES 256
#define RAM_SIZE (PAGES * LOG_PAGE)
#define DESC 0
#define AVAIL LOG_PAGE
#define SEEDS (2 * LOG_PAGE)
#define USED (3 * LOG_PAGE) /* only the device writes from here on */
#define OWN (4 * LOG_PAGE)  /* the device writes here by itself */
#define OWN_PAGES 16
#define BUFFERS (OWN + OWN_PAGES * LOG_PAGE)
#define BUFFERS_SIZE (RAM_SIZE - BUFFERS)
#define SIZE 128
#define CHAINS 40
#define LOG_PAGES ((RAM + RAM_SIZE) / LOG_PAGE)
#define LOG_ALL BIT(26)

static vhushmem_backend *backend;
static uint8_t *ram, *copy;
static int ram_fd, kick, front, log_fd;
static uint8_t *log_bits;
static uint64_t features;
static volatile bool stop, pause_driver, is_paused;
static uint64_t chains_done;

/* ---- the device, in a thread that runs the back-end ---- */

static vhushmem_chain *in_hand[8];
static uint64_t device_state = 1;

static void give_back(size_t n)
{
    static uint8_t bytes[1 << 16];
    vhushmem_chain *chain = in_hand[n];
    uint64_t room = vhushmem_chain_writable_size(chain), written = random_below(&device_state, room + 1);
    in_hand[n] = NULL;
    for (uint64_t i = 0; i < written; i++) {
        bytes[i] = (uint8_t)random_next(&device_state);
    }
    EQ(vhushmem_chain_write(chain, 0, bytes, written), written);
    EQ(vhushmem_backend_push(backend, chain, (uint32_t)written, NULL), 0);
    __atomic_add_fetch(&chains_done, 1, __ATOMIC_RELAXED);
}

static void write_by_itself(void)
{
    uint64_t at = OWN + random_below(&device_state, OWN_PAGES * LOG_PAGE - 64), length = 1 + random_below(&device_state, 64);
    for (uint64_t i = 0; i < length; i++) {
        ram[at + i] = (uint8_t)random_next(&device_state);
    }
    vhushmem_backend_log_write(backend, RAM + at, length);
}

static void on_queue(vhushmem_backend *b, unsigned queue, vhushmem_queue_event event, const char *message, void *user_data)
{
    vhushmem_chain *chain;
    (void)user_data;
    CHECK(b == backend && queue == 0 && message == NULL);
    if (event == VHUSHMEM_QUEUE_STOPPED) {
        for (size_t i = 0; i < G_N_ELEMENTS(in_hand); i++) {
            if (in_hand[i] != NULL) {
                give_back(i);
            }
        }
    } else if (event == VHUSHMEM_QUEUE_KICKED) {
        while ((chain = vhushmem_backend_pop(backend, 0, NULL)) != NULL) {
            size_t n = random_below(&device_state, G_N_ELEMENTS(in_hand));
            if (in_hand[n] != NULL) {
                give_back(n);
            }
            in_hand[n] = chain;
            if (random_below(&device_state, 4) == 0) {
                write_by_itself();
            }
        }
        EQ(vhushmem_backend_notify(backend, 0, NULL) < 0, false);
    }
}

static void *run_device(void *unused)
{
    int fd = (int)ok(vhushmem_backend_get_fd(backend));
    (void)unused;
    while (!stop) {
        if (wait_readable(fd, 5)) {
            vhushmem_backend_dispatch(backend);
        }
    }
    return NULL;
}

/* ---- the driver, which is the guest ---- */

static uint64_t driver_state = 2;
static uint16_t avail_idx, used_idx;
static bool is_free[CHAINS];

static void describe(unsigned n, uint64_t offset, uint64_t length, uint16_t flags)
{
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d = {RAM + offset, (uint32_t)length, flags, (uint16_t)(n + 1)};
    memcpy(ram + DESC + n * sizeof(d), &d, sizeof(d));
}

static void offer_some(void)
{
    uint16_t *avail = (uint16_t *)(ram + AVAIL);
    uint64_t one = 1;
    for (unsigned chain = 0; chain < CHAINS; chain++) {
        if (!is_free[chain] || random_below(&driver_state, 2) == 0) {
            continue;
        }
        uint64_t lengths[2] = {1 + random_below(&driver_state, 3 * LOG_PAGE), 1 + random_below(&driver_state, 100)};
        describe(3 * chain, SEEDS + 8 * chain, 8, 1);
        for (unsigned i = 0; i < 2; i++) {
            describe(3 * chain + 1 + i, BUFFERS + random_below(&driver_state, BUFFERS_SIZE - lengths[i]), lengths[i],
                     i == 0 ? 3 : 2);
        }
        is_free[chain] = false;
        avail[2 + avail_idx % SIZE] = (uint16_t)(3 * chain);
        avail_idx++;
        __atomic_store_n(&avail[1], avail_idx, __ATOMIC_RELEASE);
    }
    CHECK(write(kick, &one, 8) == 8);
}

static void take_back(void)
{
    uint16_t *used = (uint16_t *)(ram + USED);
    while (__atomic_load_n(&used[1], __ATOMIC_ACQUIRE) != used_idx) {
        uint32_t head;
        memcpy(&head, ram + USED + 4 + 8 * (used_idx % SIZE), 4);
        CHECK(head % 3 == 0 && head / 3 < CHAINS && !is_free[head / 3]);
        is_free[head / 3] = true;
        used_idx++;
    }
}

static void *run_driver(void *unused)
{
    (void)unused;
    while (!stop) {
        if (pause_driver) {
            is_paused = true;
            usleep(200);
            continue;
        }
        is_paused = false;
        take_back();
        offer_some();
        usleep(20);
    }
    return NULL;
}

/* ---- the front-end ---- */

static uint64_t state;

static message ask(uint32_t request, const void *payload, uint32_t size, int fd)
{
    message m;
    send_message(front, request, 0x9, payload, size, &fd, fd >= 0 ? 1 : 0);
    EQ(receive(front, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    EQ(m.fd_count, 0);
    return m;
}

static void say(uint32_t request, const void *payload, uint32_t size, int fd)
{
    message m = ask(request, payload, size, fd);
    EQ(u64_of(&m), 0);
}

static void say_vring(uint32_t request, uint32_t number)
{
    uint32_t words[2] = {0, number};
    say(request, words, sizeof(words), -1);
}

static void say_rings(bool is_logged)
{
    struct {
        uint32_t queue, flags;
        uint64_t desc, used, avail, log;
    } rings = {0, is_logged, USER + DESC, USER + USED, USER + AVAIL, is_logged ? RAM + USED : 0};
    say(SET_VRING_ADDR, &rings, sizeof(rings), -1);
}

static void say_features(bool logs)
{
    uint64_t all = VIRTIO_DEFAULTS | features | (logs ? LOG_ALL : 0);
    say(SET_FEATURES, &all, sizeof(all), -1);
}

static void start(uint16_t base, bool is_logged)
{
    uint64_t queue = 0;
    say_vring(SET_VRING_NUM, SIZE);
    say_vring(SET_VRING_BASE, base);
    say_rings(is_logged);
    say(SET_VRING_KICK, &queue, sizeof(queue), kick);
    say_vring(SET_VRING_ENABLE, 1);
}

static uint16_t stop_queue(void)
{
    uint32_t words[2] = {0, 0};
    message m = ask(GET_VRING_BASE, words, sizeof(words), -1);
    memcpy(words, m.payload, sizeof(words));
    return (uint16_t)words[1];
}

/* A new log. The records of the one before are not lost. */
static void copy_logged(void);
static void another_log(void)
{
    uint8_t *before = log_bits;
    int before_fd = log_fd;
    uint64_t area[2] = {LOG_PAGES / 8 + 8, 128 * random_below(&state, 4)};
    log_fd = memfd_of(PAGE, 0);
    log_bits = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
    CHECK(log_bits != MAP_FAILED && area[0] + area[1] <= PAGE);
    memset(log_bits, 0, PAGE);
    ask(6, area, sizeof(area), log_fd);
    log_bits += area[1];
    if (before != NULL) {
        uint8_t *now = log_bits;
        log_bits = before;
        copy_logged();
        log_bits = now;
        munmap((void *)((uintptr_t)before & ~(PAGE - 1)), PAGE);
        close(before_fd);
    }
}

static uint64_t copied;

static void copy_logged(void)
{
    for (uint64_t byte = 0; byte < LOG_PAGES / 8; byte++) {
        uint8_t bits = __atomic_exchange_n(&log_bits[byte], 0, __ATOMIC_ACQ_REL);
        for (unsigned bit = 0; bit < 8; bit++) {
            uint64_t page = byte * 8 + bit;
            if ((bits >> bit & 1) != 0) {
                CHECK(page >= (RAM + USED) / LOG_PAGE &&
                      page < (RAM + RAM_SIZE) / LOG_PAGE); /* the device writes nothing else */
                page -= RAM / LOG_PAGE;
                memcpy(copy + page * LOG_PAGE, ram + page * LOG_PAGE, LOG_PAGE);
                copied++;
            }
        }
    }
}

static void is_the_same(int cycle)
{
    for (uint64_t page = USED / LOG_PAGE; page < PAGES; page++) {
        if (memcmp(copy + page * LOG_PAGE, ram + page * LOG_PAGE, LOG_PAGE) != 0) {
            FAIL("cycle %d: page %llu was written, and not logged", cycle, (unsigned long long)page);
        }
    }
}

static void migrate(int cycle)
{
    uint64_t began = __atomic_load_n(&chains_done, __ATOMIC_RELAXED);
    another_log();
    say_rings(true);
    say_features(true);
    memcpy(copy, ram, RAM_SIZE);
    for (uint64_t rounds = 2 + random_below(&state, 6); rounds > 0; rounds--) {
        usleep((useconds_t)random_below(&state, 3000));
        copy_logged();
        if (random_below(&state, 4) == 0) {
            another_log();
        }
        if (random_below(&state, 8) == 0) { /* given up, and begun again */
            say_features(false);
            say_rings(false);
            usleep((useconds_t)random_below(&state, 1000));
            say_rings(true);
            say_features(true);
            memcpy(copy, ram, RAM_SIZE);
        }
    }
    STEP_UNTIL(__atomic_load_n(&chains_done, __ATOMIC_RELAXED) > began + 100, usleep(500));
    pause_driver = true;
    STEP_UNTIL(is_paused, usleep(200));
    uint16_t base = stop_queue();
    copy_logged();
    is_the_same(cycle);
    /* It goes on, logged or not. A queue that begins writes into its ring as well. */
    bool logs = random_below(&state, 2) == 0;
    if (!logs) {
        say_features(false);
    }
    start(base, logs);
    if (logs) {
        copy_logged();
        uint16_t again = stop_queue();
        copy_logged();
        is_the_same(cycle);
        start(again, true);
        say_features(false);
        say_rings(false);
    }
    pause_driver = false;
    STEP_UNTIL(!is_paused, usleep(200));
}

static void guest(uint64_t ring_features, int cycles)
{
    int pair[2];
    pthread_t device, driver;
    vhushmem_backend_options options = {.struct_size = sizeof(options), .features = BIT(28) | BIT(29)};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = on_queue};
    uint64_t protocol_features = BIT(1) | BIT(3) | BIT(15), memory[5] = {0, RAM, RAM_SIZE, USER, 0};
    features = ring_features;
    stop = pause_driver = is_paused = false;
    avail_idx = used_idx = 0;
    ram_fd = memfd_of(RAM_SIZE, 0);
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
    copy = malloc(RAM_SIZE);
    CHECK(ram != MAP_FAILED && copy != NULL);
    memset(ram, 0, RAM_SIZE);
    memset(is_free, true, sizeof(is_free));
    kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    front = pair[0];
    backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_set_handlers(backend, &handlers, NULL, NULL, &error));
    ok(vhushmem_backend_attach(backend, pair[1], &error));
    CHECK(pthread_create(&device, NULL, run_device, NULL) == 0);
    send_message(front, SET_PROTOCOL_FEATURES, 0x1, &protocol_features, 8, NULL, 0);
    say(SET_OWNER, NULL, 0, -1);
    say_features(false);
    say(ADD_MEM_REG, memory, sizeof(memory), ram_fd);
    start(0, false);
    CHECK(pthread_create(&driver, NULL, run_driver, NULL) == 0);
    for (int cycle = 0; cycle < cycles; cycle++) {
        migrate(cycle);
    }
    stop = true;
    pthread_join(driver, NULL);
    pthread_join(device, NULL);
    vhushmem_backend_free(backend);
    for (size_t i = 0; i < G_N_ELEMENTS(in_hand); i++) {
        if (in_hand[i] != NULL) {
            vhushmem_chain_free(in_hand[i]);
        }
        in_hand[i] = NULL;
    }
    close(front);
    close(kick);
    close(ram_fd);
    close(log_fd);
    munmap((void *)((uintptr_t)log_bits & ~(PAGE - 1)), PAGE);
    munmap(ram, RAM_SIZE);
    free(copy);
    log_bits = NULL;
}

int main(void)
{
    state = random_seed();
    guest(0, many_steps(12));
    guest(BIT(29), many_steps(12));
    printf("note: %llu chains, %llu pages copied\n", (unsigned long long)chains_done, (unsigned long long)copied);
    return 0;
}
