/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * INIT and DESTROY: a guest mounts and unmounts.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "request.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "privileges.h"
#include "statistics.h"
#include "window.h"

int op_init(struct request *r)
{
    struct fuse_init_out *out = (struct fuse_init_out *)r->out;
    struct fuse_init_in in = {0};
    uint64_t offered, wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC | FUSE_DO_READDIRPLUS |
                               FUSE_READDIRPLUS_AUTO | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS | FUSE_INIT_EXT |
                               FUSE_HAS_INODE_DAX;

    memcpy(&in, r->in, MIN(r->in_size, sizeof(in)));
    if (in.major < FUSE_KERNEL_VERSION || (in.major == FUSE_KERNEL_VERSION && in.minor < VIRTIOFS_OLDEST_MINOR)) {
        if (!r->fs->said_version) {
            /* It is logged once: a guest must not fill the host's log. */
            r->fs->said_version = true;
            g_message("the guest speaks FUSE %u.%u; this device needs %d.%d", in.major, in.minor, FUSE_KERNEL_VERSION,
                      VIRTIOFS_OLDEST_MINOR);
        }
        return -EPROTO;
    }
    out->major = FUSE_KERNEL_VERSION;
    out->minor = VIRTIOFS_FUSE_MINOR;
    if (in.major > FUSE_KERNEL_VERSION) {
        /* The guest asks again with the version in this answer. */
        return sizeof(*out);
    }
    /* Each mount begins without the inodes of an earlier guest. */
    fs_forget_all(r->fs);
    if (r->window != NULL) {
        window_clear(r->window);
    }
    offered = in.flags | ((in.flags & FUSE_INIT_EXT) != 0 ? (uint64_t)in.flags2 << 32 : 0);
    r->fs->has_dax = r->window != NULL && window_is_served(r->window);
    if (r->fs->has_dax) {
        wanted |= FUSE_MAP_ALIGNMENT;
    }
    /* With this feature the guest leaves set-user-id to the device, but does not report a write by DAX. */
    if (!r->fs->has_dax || killpriv.is_forced) {
        wanted |= FUSE_HANDLE_KILLPRIV_V2;
    }
    if (r->fs->config.cache == CACHE_AUTO) {
        wanted |= FUSE_AUTO_INVAL_DATA;
    }
    if (r->fs->config.announce_submounts) {
        wanted |= FUSE_SUBMOUNTS;
    }
    wanted &= offered;
    r->fs->says_dax = (wanted & FUSE_HAS_INODE_DAX) != 0;
    r->fs->says_submounts = (wanted & FUSE_SUBMOUNTS) != 0;
    killpriv.is_on = (wanted & FUSE_HANDLE_KILLPRIV_V2) != 0;
    r->fs->is_mounted = true;
    out->max_readahead = in.max_readahead;
    out->flags = (uint32_t)wanted;
    out->flags2 = (uint32_t)(wanted >> 32);
    out->max_background = 64;
    out->congestion_threshold = 48;
    out->max_write = VIRTIOFS_MAX_IO;
    out->time_gran = 1;
    out->max_pages = VIRTIOFS_MAX_IO / 4096;
    out->map_alignment = (uint16_t)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
    return sizeof(*out);
}

int op_destroy(struct request *r)
{
    fs_forget_all(r->fs);
    if (r->fs->config.statistics) {
        statistics_print();
    }
    /* A guest that unmounts may unplug the device next. Then no unmap may be under way: it can end QEMU 11.1. */
    return window_leave(r);
}
