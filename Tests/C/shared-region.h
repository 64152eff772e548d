/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_SHARED_REGION_H
#define VHUSHMEM_TESTS_SHARED_REGION_H

/* The messages about a shared region to a back-end that speaks bytes. */

#include "reconnect-rig.h"

#define AT 0x40000000ull /* where the guest has the region */

static const vhushmem_region_options shared_keeps = {.struct_size = sizeof(shared_keeps),
                                                     .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END,
                                                     .flags = VHUSHMEM_REGION_KEEP_FDS |
                                                              VHUSHMEM_REGION_REPLACE};

/*
 * The last range of memory that was added or removed, and the access mode of its descriptor; -1:
 * none came along. Under the peer's lock.
 */
static struct {
    uint64_t guest_addr, size, user_addr, fd_offset;
} shared_told;
static int shared_mode;

static inline void shared_look(peer *p, const message *m)
{
    if (m->header.request == ADD_MEM_REG || m->header.request == REM_MEM_REG) {
        CHECK(m->fd_count == (m->header.request == ADD_MEM_REG ? 1 : 0));
        pthread_mutex_lock(&p->lock);
        memcpy(&shared_told, m->payload + 8, sizeof(shared_told));
        shared_mode = m->fd_count == 1 ? fcntl(m->fds[0], F_GETFL) & O_ACCMODE : -1;
        pthread_mutex_unlock(&p->lock);
    }
}

static inline int64_t shared_count(rig *r)
{
    return vhushmem_frontend_shared_mappings(r->frontend, r->region, NULL);
}

static inline void counts(rig *r, int64_t told, uint64_t left_out)
{
    uint64_t others = 12345;
    EQ(vhushmem_frontend_shared_mappings(r->frontend, r->region, &others), told);
    EQ(others, left_out);
}

/*
 * The front-end has sent all that it sends unasked, and got an answer, so the back-end has heard
 * all of it.
 */
static inline void shared_said(rig *r)
{
    for (int i = 0; i < 4; i++) {
        pump(r->frontend);
        ok(vhushmem_frontend_get_device_status(r->frontend, &error));
    }
    pump(r->frontend);
}

/* What the back-end heard, except the request of shared_said. */
static inline void shared_heard(rig *r, const char *wanted)
{
    char text[1024] = "";
    shared_said(r);
    char **words = g_strsplit(device_rig_heard(r), " ", -1);
    for (char **word = words; *word != NULL; word++) {
        if (strcmp(*word, "40") != 0) {
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
                     text[0] != 0 ? " " : "", *word);
        }
    }
    g_strfreev(words);
    if (strcmp(text, wanted) != 0) {
        FAIL("heard %s, not %s", text, wanted);
    }
}

static inline void shared_quiet(rig *r) { shared_heard(r, ""); }

#endif
