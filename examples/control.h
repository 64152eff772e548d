/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEMO_CONTROL_H
#define DEMO_CONTROL_H

/**
 * @file
 * The page that the two demo programs share, besides the file. The device process maps it
 * read-write at the beginning of its region. It writes there what it has mapped where, and reads
 * there what the guest found. A real device uses virtqueues for this.
 */

#include <stddef.h>
#include <stdint.h>

#define CONTROL_SHMID 1  /**< the region of the demo device */
#define CONTROL_OFFSET 0 /**< where the page is in the region */
#define CONTROL_MAGIC 0x6f6d6564u
#define CONTROL_MAPPED 1u   /**< state: the parts are mapped; it is the guest's turn */
#define CONTROL_ANSWERED 1u /**< answer: the guest is done; it is the device's turn */
#define CONTROL_MAX_PARTS 4
#define CONTROL_TEXT 64

/** A range of the file that is mapped read-only. Part 0 is the whole file. */
struct control_part {
    uint64_t shm_offset;
    uint64_t fd_offset;
    uint32_t len;
    /* of its 32-bit words as read(2) returns them; the last word is filled up with zeros */
    uint32_t sum;
};

struct control {
    /* the device writes these */
    uint32_t magic;
    uint32_t state;
    uint32_t nparts;
    struct control_part parts[CONTROL_MAX_PARTS];
    char device_text[CONTROL_TEXT];

    /* the guest writes these, `answer` last */
    uint32_t answer;
    uint32_t sums[CONTROL_MAX_PARTS];
    char guest_text[CONTROL_TEXT];
};

#endif
