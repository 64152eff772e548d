/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two back-ends get the same rings, with any chains in any order. One device takes and gives back one chain at a time, the other
 * several at once. Meanwhile memory comes and goes, and the log of written pages begins and ends. Both get the same chains, the
 * same refusals and the same faults. They leave the same bytes in guest memory, in the log, and in the area for requests in
 * flight.
 */
#include "bare-queue.h"
#include "random.h"

#define FAR 0x40000000ull /* a page of guest memory */
#define SEEDS 400
#define STEPS 40
#define MOST 16

enum { EVENT_IDX = 1, LOGGED = 2, IN_ONE_RANGE = 4, TRACKED = 8, WAYS = 16 };

typedef struct side {
    bare_queue b;
    uint8_t *log, *tracked;
    size_t tracked_size;
    int log_fd, far_fd;
    bool has_far, is_logged;
    vhushmem_chain *held[MOST];
    unsigned count;
} side;

static uint64_t state;

static uint64_t any(uint64_t below) { return random_below(&state, below); }

static void set_features(side *s, unsigned ways)
{
    uint64_t features = VIRTIO_DEFAULTS | BIT(28) | ((ways & EVENT_IDX) != 0 ? BIT(29) : 0) | (s->is_logged ? BIT(26) : 0);
    EQ(tell_u64(&s->b, SET_FEATURES, features, -1), 0);
}

static void tell_far(side *s)
{
    s->has_far = !s->has_far;
    EQ(tell_region(&s->b, s->has_far ? ADD_MEM_REG : REM_MEM_REG, FAR, PAGE, USER + FAR, PAGE, s->has_far ? s->far_fd : -1), 0);
}

static void open_side(side *s, unsigned ways)
{
    uint64_t log[2] = {PAGE, 0};
    memset(s, 0, sizeof(*s));
    bare_queue_init(&s->b);
    bare_queue_connect(&s->b, BARE_FEATURES | BIT(1)); /* LOG_SHMFD */
    s->far_fd = memfd_of(2 * PAGE, 0);
    s->log_fd = memfd_of(PAGE, 0);
    s->log = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->log_fd, 0);
    CHECK(s->log != MAP_FAILED);
    tell_ram(&s->b);
    if ((ways & IN_ONE_RANGE) == 0) {
        EQ(tell_region(&s->b, ADD_MEM_REG, RAM + RAM_SIZE, PAGE, USER + RAM_SIZE, 0, s->far_fd), 0);
        tell_far(s);
    }
    set_features(s, ways);
    if ((ways & TRACKED) != 0) {
        s->tracked = map_inflight(&s->b, &s->tracked_size);
    }
    start_queue(&s->b, 0);
    if ((ways & LOGGED) != 0) {
        EQ(tell(&s->b, 6, log, sizeof(log), s->log_fd), 0); /* SET_LOG_BASE */
        s->is_logged = true;
        set_features(s, ways);
    }
}

static void close_side(side *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        vhushmem_chain_free(s->held[i]);
    }
    munmap(s->log, PAGE);
    if (s->tracked != NULL) {
        munmap(s->tracked, s->tracked_size);
    }
    close(s->log_fd);
    close(s->far_fd);
    backend_rig_close(&s->b.r);
    bare_queue_close(&s->b);
}

/* Mostly a buffer at one place, where the driver may have a whole burst of them. */
static uint64_t any_address(bool is_far)
{
    switch (any(60)) {
    case 0:
        return RAM + RAM_SIZE - any(100); /* across the border of two ranges, or beyond the end */
    case 1:
        return FAR + any(PAGE);
    case 2:
        return any(2) == 0 ? UINT64_MAX - any(100) : RAM - any(100);
    case 3:
        return RAM * 64; /* no memory */
    default:
        return is_far ? FAR + any(PAGE - 300) : RAM + BUFFERS + any(8 * PAGE);
    }
}

static uint32_t any_length(void) { return (uint32_t)(any(20) == 0 ? 0 : any(300) == 0 ? any(UINT32_MAX) : 1 + any(300)); }

/* Mostly a chain of one descriptor. */
static uint16_t any_flags(void)
{
    uint16_t flags = any(2) == 0 ? WRITE : 0;
    return (uint16_t)(flags | (any(20) == 0 ? NEXT : 0) | (any(60) == 0 ? 4 : 0)); /* 4: indirect */
}

/* The driver does the same to both. */
static void drive(side *one, side *other)
{
    bool is_far = any(4) == 0;
    for (unsigned i = 0; i < 16; i++) {
        uint64_t address = any_address(is_far);
        uint32_t length = any_length();
        uint16_t flags = any_flags(), next = (uint16_t)(any(100) == 0 ? any(UINT16_MAX) : any(16));
        if ((flags & 4) != 0 && any(4) > 0) {
            address = RAM + TABLE + 16 * any(8);
            length = (uint32_t)(16 * any(4));
            flags = 4;
        }
        set_descriptor_at(&one->b, i, address, length, flags, next);
        set_descriptor_at(&other->b, i, address, length, flags, next);
        set_descriptor_at(&one->b, (TABLE - DESC) / 16 + i, RAM + BUFFERS + 64 * i, length % 100, flags & 3, next % 4);
        set_descriptor_at(&other->b, (TABLE - DESC) / 16 + i, RAM + BUFFERS + 64 * i, length % 100, flags & 3, next % 4);
    }
    for (uint64_t left = any(9); left > 0; left--) {
        uint16_t head = (uint16_t)(any(200) == 0 ? any(UINT16_MAX) : any(16));
        bool is_held = false;
        for (unsigned i = 0; i < one->count; i++) {
            is_held |= vhushmem_chain_head(one->held[i]) == head;
        }
        for (unsigned i = one->b.used_idx; i != one->b.avail_idx; i++) {
            is_held |= ((uint16_t *)(one->b.ram + AVAIL))[2 + i % 16] == head;
        }
        if (!is_held || any(60) == 0) {
            offer(&one->b, head);
            offer(&other->b, head);
        }
    }
}

static void same_pieces(vhushmem_chain *left, vhushmem_chain *right)
{
    EQ(vhushmem_chain_head(right), vhushmem_chain_head(left));
    EQ(vhushmem_chain_readable_size(right), vhushmem_chain_readable_size(left));
    EQ(vhushmem_chain_writable_size(right), vhushmem_chain_writable_size(left));
    for (int is_writable = 0; is_writable < 2; is_writable++) {
        size_t count, others;
        const struct iovec *a = is_writable ? vhushmem_chain_writable(left, &count) : vhushmem_chain_readable(left, &count),
                           *b = is_writable ? vhushmem_chain_writable(right, &others) : vhushmem_chain_readable(right, &others);
        EQ(others, count);
        for (size_t i = 0; i < count; i++) {
            EQ(b[i].iov_len, a[i].iov_len);
        }
        /* Each has its own memory. What is written to one must be in the other's at the same place. */
        if (count > 0) {
            uint8_t mark = (uint8_t)any(256);
            memset(a[count - 1].iov_base, mark, is_writable ? a[count - 1].iov_len : 0);
            memset(b[count - 1].iov_base, mark, is_writable ? b[count - 1].iov_len : 0);
        }
    }
}

static void take(side *one, side *other)
{
    vhushmem_chain **left = one->held + one->count, **right = other->held + other->count;
    unsigned most = (unsigned)any(MOST - one->count + 1), count = 0;
    int result = 0;
    while (count < most && (left[count] = vhushmem_backend_pop(one->b.r.backend, 0, &error)) != NULL) {
        count++;
    }
    if (error != NULL) {
        result = -error->code;
        g_clear_error(&error);
    }
    int others = vhushmem_backend_pop_many(other->b.r.backend, 0, right, most, &error);
    g_clear_error(&error);
    if (most == 0 && one->b.seen[VHUSHMEM_QUEUE_BROKEN] > 0) {
        return; /* only the other was asked */
    }
    EQ(others, count > 0 ? (int)count : result);
    for (unsigned i = 0; i < count; i++) {
        same_pieces(left[i], right[i]);
    }
    one->count += count;
    other->count += count;
}

static void give_back(side *one, side *other)
{
    uint32_t written[MOST];
    if (one->count > 0 && any(8) == 0) {
        int back = vhushmem_backend_put_back(one->b.r.backend, one->held[one->count - 1], NULL);
        EQ(vhushmem_backend_put_back(other->b.r.backend, other->held[other->count - 1], NULL), back);
        one->count -= back == 0;
        other->count -= back == 0;
    }
    unsigned count = (unsigned)any(one->count + 1), done = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t room = vhushmem_chain_writable_size(one->held[i]);
        written[i] = (uint32_t)(any(30) == 0 ? room + 1 : any(2) == 0 ? room : any(room + 1));
    }
    int result = 0;
    while (done < count && (result = vhushmem_backend_push(one->b.r.backend, one->held[done], written[done], &error)) == 0) {
        done++;
    }
    g_clear_error(&error);
    int others = vhushmem_backend_push_many(other->b.r.backend, 0, other->held, written, count, &error);
    g_clear_error(&error);
    EQ(others, done > 0 || count == 0 ? (int)done : result);
    if (done > 0) {
        vhushmem_backend_notify(one->b.r.backend, 0, NULL);
    }
    one->count -= done;
    other->count -= done;
    memmove(one->held, one->held + done, one->count * sizeof(*one->held));
    memmove(other->held, other->held + done, other->count * sizeof(*other->held));
    EQ(signalled(other->b.call), signalled(one->b.call));
}

/* The front-end does the same to both. */
static void change(side *one, side *other, unsigned ways)
{
    uint64_t what = any(8);
    for (side *s = one; s != NULL; s = s == one ? other : NULL) {
        if (what == 0 && (ways & IN_ONE_RANGE) == 0) {
            tell_far(s);
        } else if (what == 1 && (ways & LOGGED) != 0) {
            s->is_logged = !s->is_logged;
            set_features(s, ways);
        }
    }
}

static void same_memory(side *one, side *other)
{
    if (one->b.seen[VHUSHMEM_QUEUE_BROKEN] > 0) { /* whether a broken queue wants a kick says nothing */
        memset(one->b.ram + USED + 4 + 8 * 16, 0, 2);
        memset(other->b.ram + USED + 4 + 8 * 16, 0, 2);
    }
    EQ(memcmp(one->b.ram, other->b.ram, RAM_SIZE), 0);
    EQ(memcmp(one->log, other->log, PAGE), 0);
    CHECK(one->tracked == NULL || memcmp(one->tracked, other->tracked, one->tracked_size) == 0);
    while (taken_back(&one->b) >= 0) {
        CHECK(taken_back(&other->b) >= 0);
    }
}

/* Returns how many chains were given back. */
static unsigned trial(uint64_t seed)
{
    side one, other;
    unsigned ways = (unsigned)(seed % WAYS);
    state = seed * 0x9e3779b97f4a7c15ull + 1;
    open_side(&one, ways);
    open_side(&other, ways);
    for (unsigned step = 0; step < STEPS && one.b.seen[VHUSHMEM_QUEUE_BROKEN] == 0; step++) {
        change(&one, &other, ways);
        drive(&one, &other);
        take(&one, &other);
        change(&one, &other, ways);
        if (one.b.seen[VHUSHMEM_QUEUE_BROKEN] == 0) {
            give_back(&one, &other);
        }
        same_memory(&one, &other);
        EQ(other.b.seen[VHUSHMEM_QUEUE_BROKEN], one.b.seen[VHUSHMEM_QUEUE_BROKEN]);
        EQ(strcmp(one.b.broken, other.b.broken), 0);
    }
    unsigned done = one.b.used_idx;
    close_side(&one);
    close_side(&other);
    return done;
}

int main(void)
{
    char *fds = fds_now();
    unsigned done = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        done += trial(seed);
    }
    CHECK(done > 10 * SEEDS);
    same(fds, fds_now());
    return 0;
}
