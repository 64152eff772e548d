/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FILE_WINDOW_H
#define FILE_WINDOW_H

/**
 * @file
 * The messages between a driver and the device of file-window.c, over virtqueue 0.
 *
 * A chain has one request to read and one reply to write. The device maps ranges of its files into
 * shared memory region 0, and answers where they are. All numbers are little-endian, as in virtio.
 */

#include <stdint.h>

#define FILE_WINDOW_REGION 0
#define FILE_WINDOW_REGION_SIZE (UINT64_C(16) << 20)
#define FILE_WINDOW_PAGE UINT64_C(4096) /* offsets and lengths are multiples of this */

enum {
    /* uses file, offset and len; reply.shm_offset is where the range is in the region */
    FILE_WINDOW_MAP = 1,
    FILE_WINDOW_UNMAP = 2 /* shm_offset (in `offset`) and len of a whole mapping */
};

struct file_window_request {
    uint32_t op;   /**< FILE_WINDOW_MAP or FILE_WINDOW_UNMAP */
    uint32_t file; /**< of a map: the number of the file, from 0 */
    uint64_t offset;
    uint64_t len;
};

struct file_window_reply {
    int32_t result; /**< 0, or a negative errno */
    uint32_t reserved;
    uint64_t shm_offset;
};

#endif
