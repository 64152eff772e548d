/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_RIG_H
#define VHUSHMEM_TESTS_RIG_H

/*
 * A front-end of the library with a back-end that speaks bytes. The peer does the handshake. The
 * test has the channel, sends requests and looks at each answer. A rig may also be a region
 * alone, so that the same facts can be shown for the C calls.
 */

#include "peer.h"

typedef struct rig {
    const char *door; /* for messages: "the C calls", "single messages" or "the wire" */
    bool wire;
    bool messages;
    peer peer;
    int channel; /* the back-end's end of the channel; borrowed from the peer */
    vhushmem_frontend *frontend;
    vhushmem_device *device;
    vhushmem_region *region;
    uint8_t shmid;
    /*
     * the region has VHUSHMEM_REGION_UNMAP_BY_OFFSET: the event has the length of the undone
     * mapping
     */
    bool unmaps_by_offset;
    bool no_spare_page; /* the region's last page is not free for rig_still_works */
    /* What the callback saw. */
    int events[VHUSHMEM_EVENT_HEALED + 1];
    vhushmem_event last;
    char said[512];
} rig;

static inline void rig_event(vhushmem_frontend *frontend, const vhushmem_event *event,
                             void *user_data)
{
    rig *r = user_data;
    CHECK(frontend == r->frontend);
    CHECK(event->type >= 1 && event->type <= VHUSHMEM_EVENT_HEALED);
    r->events[event->type]++;
    r->last = *event;
    snprintf(r->said, sizeof(r->said), "%s", event->message != NULL ? event->message : "");
    r->last.message = r->said;
}

/* Lets the front-end do all it can do now. */
static inline void pump(vhushmem_frontend *frontend)
{
    for (int i = 0; i < 10000 && has_work((int)ok(vhushmem_frontend_get_fd(frontend))); i++) {
        if (vhushmem_frontend_dispatch(frontend) == -ENOTCONN) {
            return;
        }
    }
}

/* Lets it work once if there is something to do; otherwise waits a little. */
static inline void pump_once(vhushmem_frontend *frontend)
{
    if (wait_readable((int)ok(vhushmem_frontend_get_fd(frontend)), 10)) {
        vhushmem_frontend_dispatch(frontend);
    }
}

/* Lets it work until the condition is true. */
#define PUMP_UNTIL(frontend, condition) STEP_UNTIL(condition, pump_once(frontend))

/* A front-end on a socket pair. The test has prepared r->peer. Not connected yet. */
static inline void rig_new(rig *r, const vhushmem_frontend_options *options)
{
    int pair[2];
    r->wire = true;
    r->door = "the wire";
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    peer_start(&r->peer, pair[1]);
    r->frontend = some(vhushmem_frontend_new_fd(pair[0], options, &error));
    r->device = some(vhushmem_frontend_device(r->frontend));
    ok(vhushmem_frontend_set_callback(r->frontend, rig_event, r, NULL));
    /* get_fd may make it: it must be there before any snapshot */
    ok(vhushmem_frontend_get_fd(r->frontend));
}

/* After the handshake: region 0, or the one with the smallest id, is r->region. */
static inline void rig_connected(rig *r)
{
    r->channel = r->peer.channel;
    if (vhushmem_device_region_ids(r->device, &r->shmid, 1) > 0) {
        r->region = some(vhushmem_device_find_region(r->device, r->shmid));
    }
}

static inline void rig_connect(rig *r, const vhushmem_frontend_options *options)
{
    rig_new(r, options);
    ok(vhushmem_frontend_connect(r->frontend, PATIENCE_MS, &error));
    EQ(r->events[VHUSHMEM_EVENT_READY], 1);
    rig_connected(r);
}

/* A rig with region 0 of so many bytes, reached by the wire. */
static inline void rig_open(rig *r, uint64_t size, const vhushmem_frontend_options *options)
{
    memset(r, 0, sizeof(*r));
    peer_init(&r->peer);
    peer_add_region(&r->peer, 0, size);
    rig_connect(r, options);
}

/* The same region without any peer, for the C calls. */
static inline void rig_open_plain(rig *r, uint64_t size, const vhushmem_device_options *device,
                                  const vhushmem_region_options *region)
{
    memset(r, 0, sizeof(*r));
    r->door = "the C calls";
    r->channel = -1;
    r->device = some(vhushmem_device_new(device, &error));
    r->region = some(vhushmem_region_new(r->device, 0, size, region, &error));
}

static inline void rig_close(rig *r)
{
    if (r->wire) {
        vhushmem_frontend_free(r->frontend);
        peer_end(&r->peer);
    } else {
        vhushmem_device_unref(r->device);
    }
}

/* The call's handshake with the rig's peer fails with these words, and DISCONNECT tells the
   same. */
#define fails_to_connect(r, options, code, ...)                                                    \
    do {                                                                                           \
        rig_new(r, options);                                                                       \
        refused(vhushmem_frontend_connect((r)->frontend, PATIENCE_MS, &error), code,               \
                ##__VA_ARGS__);                                                                    \
        EQ((r)->events[VHUSHMEM_EVENT_READY], 0);                                                  \
        EQ((r)->events[VHUSHMEM_EVENT_DISCONNECT], 1);                                             \
        EQ((r)->last.result, code);                                                                \
        CHECK((r)->said[0] != 0);                                                                  \
        CHECK(!vhushmem_frontend_is_ready((r)->frontend));                                         \
        EQ(vhushmem_device_region_ids((r)->device, NULL, 0), 0);                                   \
        rig_close(r);                                                                              \
    } while (0)

/* ---- requests over the wire ---- */

static inline VhostUserMMap mmap_of(uint8_t shmid, uint64_t fd_offset, uint64_t shm_offset,
                                    uint64_t len, uint64_t flags)
{
    VhostUserMMap m = {.shmid = shmid,
                       .fd_offset = fd_offset,
                       .shm_offset = shm_offset,
                       .len = len,
                       .flags = flags};
    return m;
}

/* The answer to one request: exactly 20 bytes, and nothing more. Returns its u64. */
static inline int64_t rig_answer(rig *r, uint32_t request)
{
    uint8_t bytes[256];
    pump(r->frontend);
    ssize_t n = recv(r->channel, bytes, sizeof(bytes), MSG_DONTWAIT);
    EQ(n, 20);
    VhostUserHeader header;
    int64_t value;
    memcpy(&header, bytes, 12);
    memcpy(&value, bytes + 12, 8);
    EQ(header.request, request);
    EQ(header.flags, 0x5);
    EQ(header.size, 8);
    return value;
}

static inline void rig_no_answer(rig *r)
{
    char byte;
    pump(r->frontend);
    EQ(recv(r->channel, &byte, 1, MSG_DONTWAIT), -1);
    EQ(errno, EAGAIN);
}

/*
 * Any request with need_reply; the event tells the same as the answer, and its message becomes the
 * GError.
 */
static inline int64_t rig_request(rig *r, uint32_t request, const void *payload, uint32_t size,
                                  const int *fds, int fd_count)
{
    int type = request == MAP     ? VHUSHMEM_EVENT_MAP
               : request == UNMAP ? VHUSHMEM_EVENT_UNMAP
                                  : VHUSHMEM_EVENT_OTHER_REQUEST;
    int before = r->events[type];
    send_message(r->channel, request, 0x9, payload, size, fds, fd_count);
    int64_t value = rig_answer(r, request);
    EQ(r->events[type], before + 1);
    EQ(r->last.type, type);
    EQ(r->last.request, request);
    EQ(r->last.result, value);
    if (value != 0) {
        g_set_error_literal(&error, VHUSHMEM_ERROR, (int)-value, r->said);
    } else {
        EQ(r->said[0], 0);
    }
    return value;
}

static inline int64_t wire_map(rig *r, uint8_t shmid, int fd, uint64_t fd_offset,
                               uint64_t shm_offset, uint64_t len, uint64_t flags)
{
    VhostUserMMap m = mmap_of(shmid, fd_offset, shm_offset, len, flags);
    int64_t value = rig_request(r, MAP, &m, sizeof(m), &fd, 1);
    EQ(r->last.shmid, shmid);
    EQ(r->last.fd_offset, fd_offset);
    EQ(r->last.shm_offset, shm_offset);
    EQ(r->last.len, len);
    EQ(r->last.flags, flags);
    return value;
}

static inline int64_t wire_unmap(rig *r, uint8_t shmid, uint64_t shm_offset, uint64_t len)
{
    VhostUserMMap m = mmap_of(shmid, 0, shm_offset, len, 0);
    int64_t value = rig_request(r, UNMAP, &m, sizeof(m), NULL, 0);
    EQ(r->last.shmid, shmid);
    EQ(r->last.shm_offset, shm_offset);
    if (!r->unmaps_by_offset || value != 0) {
        EQ(r->last.len, len);
    }
    return value;
}

/* ---- one request through any door ---- */

/* Like a VMM that reads messages itself: performs the request, answers, commits. */
static inline int64_t handled(rig *r, int64_t value)
{
    if (value == 0) {
        ok(vhushmem_device_commit(r->device));
    }
    return value;
}

static inline int64_t rig_map(rig *r, int fd, uint64_t fd_offset, uint64_t shm_offset, uint64_t len,
                              uint64_t flags)
{
    VhostUserMMap m = mmap_of(r->shmid, fd_offset, shm_offset, len, flags);
    return r->wire ? wire_map(r, r->shmid, fd, fd_offset, shm_offset, len, flags)
           : r->messages
               ? handled(r, vhushmem_handle_map(r->device, &m, fd, &error))
               : vhushmem_region_map(r->region, fd, fd_offset, shm_offset, len, flags, &error);
}

static inline int64_t rig_unmap(rig *r, uint64_t shm_offset, uint64_t len)
{
    VhostUserMMap m = mmap_of(r->shmid, 0, shm_offset, len, 0);
    return r->wire       ? wire_unmap(r, r->shmid, shm_offset, len)
           : r->messages ? handled(r, vhushmem_handle_unmap(r->device, &m, &error))
                         : vhushmem_region_unmap(r->region, shm_offset, len, &error);
}

/* The state that a refused request must not change. */
typedef struct still {
    uint64_t mappings, bytes, device_mappings, device_bytes;
    char *window, *fds;
} still;

static inline still rig_still(rig *r)
{
    still s = {vhushmem_region_mapping_count(r->region),
               vhushmem_region_mapped_bytes(r->region),
               vhushmem_device_mapping_count(r->device),
               vhushmem_device_mapped_bytes(r->device),
               window_now(r->region),
               fds_now()};
    return s;
}

static inline void same_still_at(const char *file, int line, rig *r, still before)
{
    still after = rig_still(r);
    if (before.mappings != after.mappings || before.bytes != after.bytes ||
        before.device_mappings != after.device_mappings ||
        before.device_bytes != after.device_bytes) {
        fail_at(file, line, "a refused request has changed how much is mapped, through %s",
                r->door);
    }
    same_at(file, line, before.window, after.window);
    same_at(file, line, before.fds, after.fds);
}

/* The region's last page can be mapped, read and unmapped. */
static inline void rig_still_works(rig *r)
{
    uint64_t page = PAGE, last = vhushmem_region_size(r->region) - page;
    int fd = memfd_of(page, 77);
    ok(rig_map(r, fd, 0, last, page, VHOST_USER_FLAG_MAP_RW));
    shows(r->region, last, page, 77, 0);
    ok(rig_unmap(r, last, page));
    close(fd);
}

/*
 * The request is refused with this code and these words, changes nothing, and the next one
 * works.
 */
#define rig_refuses(r, call, code, ...)                                                            \
    do {                                                                                           \
        still before_ = rig_still(r);                                                              \
        refused(call, code, ##__VA_ARGS__);                                                        \
        same_still_at(__FILE__, __LINE__, r, before_);                                             \
        if (!(r)->no_spare_page) {                                                                 \
            rig_still_works(r);                                                                    \
        }                                                                                          \
    } while (0)

/*
 * Shows the same facts through the C calls, through single messages that the VMM has read
 * itself, and through the wire.
 */
static inline void through_every_door(void (*facts)(rig *), uint64_t size,
                                      const vhushmem_device_options *device,
                                      const vhushmem_region_options *region)
{
    rig r;
    rig_open_plain(&r, size, device, region);
    facts(&r);
    rig_close(&r);
    rig_open_plain(&r, size, device, region);
    r.messages = true;
    r.door = "single messages";
    facts(&r);
    rig_close(&r);
    vhushmem_frontend_options options = {
        .struct_size = sizeof(options), .device = device, .region = region};
    rig_open(&r, size, &options);
    facts(&r);
    rig_close(&r);
}

#endif
