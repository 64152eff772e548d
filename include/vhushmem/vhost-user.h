/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VHOST_USER_H
#define VHUSHMEM_VHOST_USER_H

/**
 * @file
 * The vhost-user messages of shared memory, as they travel: host byte order, packed by their own
 * layout.
 *
 * A program that has these names from another header defines VHUSHMEM_NO_WIRE_NAMES before it
 * includes this one.
 */

#include <stdint.h>

#ifndef VHUSHMEM_NO_WIRE_NAMES

/** Bits of VhostUserHeader.flags. */
#ifndef VHOST_USER_VERSION_MASK
#define VHOST_USER_VERSION_MASK 0x3u
#endif
#ifndef VHOST_USER_VERSION
#define VHOST_USER_VERSION 0x1u
#endif
#ifndef VHOST_USER_REPLY_MASK
#define VHOST_USER_REPLY_MASK 0x4u
#endif
#ifndef VHOST_USER_NEED_REPLY_MASK
#define VHOST_USER_NEED_REPLY_MASK 0x8u
#endif

/** The most file descriptors that one message carries. */
#ifndef VHOST_USER_MAX_FDS
#define VHOST_USER_MAX_FDS 8
#endif

/** The bit of the *virtio* features that announces protocol features. */
#ifndef VHOST_USER_F_PROTOCOL_FEATURES
#define VHOST_USER_F_PROTOCOL_FEATURES 30
#endif

/** Protocol feature bits that shared memory needs or uses. */
#ifndef VHOST_USER_PROTOCOL_F_MQ
#define VHOST_USER_PROTOCOL_F_MQ 0
#endif
#ifndef VHOST_USER_PROTOCOL_F_REPLY_ACK
#define VHOST_USER_PROTOCOL_F_REPLY_ACK 3
#endif
#ifndef VHOST_USER_PROTOCOL_F_BACKEND_REQ
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ 5
#endif
#ifndef VHOST_USER_PROTOCOL_F_CONFIG
#define VHOST_USER_PROTOCOL_F_CONFIG 9
#endif
#ifndef VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD
#define VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD 10
#endif
#ifndef VHOST_USER_PROTOCOL_F_RESET_DEVICE
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE 13
#endif
#ifndef VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS 15
#endif
#ifndef VHOST_USER_PROTOCOL_F_SHMEM
#define VHOST_USER_PROTOCOL_F_SHMEM 22
#endif

/**
 * Request ids of the series. 9 and 10 travel from back-end to front-end, 44 from front-end to
 * back-end.
 */
#ifndef VHOST_USER_BACKEND_SHMEM_MAP
#define VHOST_USER_BACKEND_SHMEM_MAP 9
#endif
#ifndef VHOST_USER_BACKEND_SHMEM_UNMAP
#define VHOST_USER_BACKEND_SHMEM_UNMAP 10
#endif
#ifndef VHOST_USER_GET_SHMEM_CONFIG
#define VHOST_USER_GET_SHMEM_CONFIG 44
#endif

/** The bit of VhostUserMMap.flags that asks for a mapping that can be written. */
#ifndef VHOST_USER_FLAG_MAP_RW
#define VHOST_USER_FLAG_MAP_RW (1u << 0)
#endif

/**
 * The most shared memory regions of one device, and the length of
 * VhostUserShMemConfig.memory_sizes.
 */
#ifndef VIRTIO_MAX_SHMEM_REGIONS
#define VIRTIO_MAX_SHMEM_REGIONS 256
#endif

/** The header in front of every payload. */
typedef struct VhostUserHeader {
    uint32_t request; /**< id */
    uint32_t flags;   /**< version, reply, need_reply */
    uint32_t size;    /**< bytes of payload that follow */
} VhostUserHeader;

/** Payload of SHMEM_MAP and SHMEM_UNMAP (where fd_offset and flags have no meaning). */
typedef struct VhostUserMMap {
    uint8_t shmid;       /**< region id */
    uint8_t padding[7];  /**< zero */
    uint64_t fd_offset;  /**< first byte in the file */
    uint64_t shm_offset; /**< first byte in the region */
    uint64_t len;        /**< bytes */
    uint64_t flags;      /**< VHOST_USER_FLAG_MAP_* */
} VhostUserMMap;

/** Reply to GET_SHMEM_CONFIG. */
typedef struct VhostUserShMemConfig {
    uint32_t nregions;                               /**< how many sizes are not zero */
    uint32_t padding;                                /**< zero */
    uint64_t memory_sizes[VIRTIO_MAX_SHMEM_REGIONS]; /**< bytes, by region id; 0: no such region */
} VhostUserShMemConfig;

#if defined(__cplusplus) && __cplusplus >= 201103L
static_assert(sizeof(VhostUserHeader) == 12, "a header is 12 bytes on the wire");
static_assert(sizeof(VhostUserMMap) == 40, "an MMap is 40 bytes on the wire");
static_assert(sizeof(VhostUserShMemConfig) == 2056, "a ShMemConfig is 2056 bytes on the wire");
#else /* not _Static_assert: a compiler that is asked to warns that it is not C99 */
typedef char vhushmem_header_is_12_bytes[sizeof(VhostUserHeader) == 12 ? 1 : -1];
typedef char vhushmem_mmap_is_40_bytes[sizeof(VhostUserMMap) == 40 ? 1 : -1];
typedef char vhushmem_shmem_config_is_2056_bytes[sizeof(VhostUserShMemConfig) == 2056 ? 1 : -1];
#endif

#endif /* VHUSHMEM_NO_WIRE_NAMES */

#endif
