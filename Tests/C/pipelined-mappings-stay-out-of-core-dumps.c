/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many maps that are served in one dispatch all stay out of core dumps when it returns. The back-end or the VMM's callback
 * may undo some in between: those are holes like any other.
 */
#include "rig.h"

#define MAPS 150 /* more than one dispatch serves */
#define OF_CALLBACK 7

static rig r;
static uint64_t page;

static bool is_left_out(uint64_t at)
{
    char *flags = vm_flags_at((char *)vhushmem_region_window(r.region) + at);
    bool found = strstr(flags, " dd ") != NULL;
    g_free(flags);
    return found;
}

static void event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    int *undone = user_data;
    (void)frontend;
    if (event->type == VHUSHMEM_EVENT_MAP && event->shm_offset / page % OF_CALLBACK == 0 && event->shm_offset != 0) {
        ok(vhushmem_region_unmap(r.region, event->shm_offset, event->len, &error));
        ++*undone;
    }
}

static void send_map(int fd, uint64_t at)
{
    VhostUserMMap m = mmap_of(0, 0, at, page, at / page % 2 == 0 ? VHOST_USER_FLAG_MAP_RW : 0);
    send_message(r.channel, MAP, 0x1, &m, sizeof(m), &fd, 1);
}

static void send_unmap(uint64_t at)
{
    VhostUserMMap m = mmap_of(0, 0, at, page, 0);
    send_message(r.channel, UNMAP, 0x1, &m, sizeof(m), NULL, 0);
}

/* Slots are `apart` pages from each other, so they are one range or as many as there are slots. The back-end undoes some. */
static void round_of(int fd, uint64_t apart, uint64_t undo)
{
    int undone = 0, expected = 0;
    char *holes = window_now(r.region);
    ok(vhushmem_frontend_set_callback(r.frontend, event, &undone, NULL));
    for (uint64_t i = 0; i < MAPS; i++) {
        send_map(fd, i * apart * page);
        if (undo != 0 && i >= 3 && i % undo == 0 && (i - 3) * apart % OF_CALLBACK != 0) {
            send_unmap((i - 3) * apart * page);
        }
    }
    ok(vhushmem_frontend_dispatch(r.frontend));
    pump(r.frontend);
    for (uint64_t i = 0; i < MAPS; i++) {
        bool by_callback = i != 0 && i * apart % OF_CALLBACK == 0;
        bool by_back_end = undo != 0 && i + 3 < MAPS && (i + 3) % undo == 0 && i * apart % OF_CALLBACK != 0;
        expected += by_callback;
        EQ(is_left_out(i * apart * page), !by_callback && !by_back_end);
    }
    EQ(undone, expected);
    CHECK(vhushmem_region_unmap_all(r.region) > 0);
    same(holes, window_now(r.region));
}

int main(void)
{
    page = PAGE;
    int fd = memfd_of(page, 1);
    rig_open(&r, 4 * MAPS * page, NULL);
    round_of(fd, 1, 0);
    round_of(fd, 3, 0);
    round_of(fd, 1, 5);
    round_of(fd, 3, 4);
    rig_close(&r);
    close(fd);
    return 0;
}
