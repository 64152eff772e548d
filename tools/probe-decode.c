/* SPDX-License-Identifier: BSD-3-Clause */

/** Shows the fields of a vhost-user message. Nothing in it is trusted: a payload with another layout is shown as bytes. */

#include "probe-wire.h"

#include <string.h>

/** The layout of a payload. */
enum layout {
    LAYOUT_NONE,
    LAYOUT_U64,
    LAYOUT_RESULT, /* the answer to a request of the back-end: 0 or a negative errno */
    LAYOUT_VRING_STATE,
    LAYOUT_VRING_ADDR,
    LAYOUT_VRING_FD,
    LAYOUT_MEM_TABLE,
    LAYOUT_MEM_REGION,
    LAYOUT_CONFIG,
    LAYOUT_INFLIGHT,
    LAYOUT_DEVICE_STATE,
    LAYOUT_SHMEM_CONFIG,
    LAYOUT_MMAP,
    LAYOUT_UUID,
    LAYOUT_LOG,
    LAYOUT_IOTLB,
    LAYOUT_AREA,
    LAYOUT_BYTES, /* any bytes */
};

struct request {
    enum layout asked;
    enum layout replied; /* NONE: it has no reply of its own, so a reply is an acknowledgement */
};

static const struct request frontend_requests[] = {
    [1] = {LAYOUT_NONE, LAYOUT_U64},                 /* GET_FEATURES */
    [2] = {LAYOUT_U64, LAYOUT_NONE},                 /* SET_FEATURES */
    [5] = {LAYOUT_MEM_TABLE, LAYOUT_NONE},           /* SET_MEM_TABLE */
    [6] = {LAYOUT_LOG, LAYOUT_U64},                  /* SET_LOG_BASE */
    [8] = {LAYOUT_VRING_STATE, LAYOUT_NONE},         /* SET_VRING_NUM */
    [9] = {LAYOUT_VRING_ADDR, LAYOUT_NONE},          /* SET_VRING_ADDR */
    [10] = {LAYOUT_VRING_STATE, LAYOUT_NONE},        /* SET_VRING_BASE */
    [11] = {LAYOUT_VRING_STATE, LAYOUT_VRING_STATE}, /* GET_VRING_BASE */
    [12] = {LAYOUT_VRING_FD, LAYOUT_NONE},           /* SET_VRING_KICK */
    [13] = {LAYOUT_VRING_FD, LAYOUT_NONE},           /* SET_VRING_CALL */
    [14] = {LAYOUT_VRING_FD, LAYOUT_NONE},           /* SET_VRING_ERR */
    [15] = {LAYOUT_NONE, LAYOUT_U64},                /* GET_PROTOCOL_FEATURES */
    [16] = {LAYOUT_U64, LAYOUT_NONE},                /* SET_PROTOCOL_FEATURES */
    [17] = {LAYOUT_NONE, LAYOUT_U64},                /* GET_QUEUE_NUM */
    [18] = {LAYOUT_VRING_STATE, LAYOUT_NONE},        /* SET_VRING_ENABLE */
    [19] = {LAYOUT_U64, LAYOUT_NONE},                /* SEND_RARP */
    [20] = {LAYOUT_U64, LAYOUT_NONE},                /* NET_SET_MTU */
    [22] = {LAYOUT_IOTLB, LAYOUT_NONE},              /* IOTLB_MSG */
    [23] = {LAYOUT_VRING_STATE, LAYOUT_NONE},        /* SET_VRING_ENDIAN */
    [24] = {LAYOUT_CONFIG, LAYOUT_CONFIG},           /* GET_CONFIG */
    [25] = {LAYOUT_CONFIG, LAYOUT_NONE},             /* SET_CONFIG */
    [31] = {LAYOUT_INFLIGHT, LAYOUT_INFLIGHT},       /* GET_INFLIGHT_FD */
    [32] = {LAYOUT_INFLIGHT, LAYOUT_NONE},           /* SET_INFLIGHT_FD */
    [35] = {LAYOUT_VRING_STATE, LAYOUT_NONE},        /* VRING_KICK */
    [36] = {LAYOUT_NONE, LAYOUT_U64},                /* GET_MAX_MEM_SLOTS */
    [37] = {LAYOUT_MEM_REGION, LAYOUT_NONE},         /* ADD_MEM_REG */
    [38] = {LAYOUT_MEM_REGION, LAYOUT_NONE},         /* REM_MEM_REG */
    [39] = {LAYOUT_U64, LAYOUT_NONE},                /* SET_STATUS */
    [40] = {LAYOUT_NONE, LAYOUT_U64},                /* GET_STATUS */
    [41] = {LAYOUT_UUID, LAYOUT_UUID},               /* GET_SHARED_OBJECT */
    [42] = {LAYOUT_DEVICE_STATE, LAYOUT_U64},        /* SET_DEVICE_STATE_FD */
    [43] = {LAYOUT_NONE, LAYOUT_U64},                /* CHECK_DEVICE_STATE */
    [44] = {LAYOUT_NONE, LAYOUT_SHMEM_CONFIG},       /* GET_SHMEM_CONFIG */
    [45] = {LAYOUT_VRING_STATE, LAYOUT_VRING_STATE}, /* GET_VRING_BASE_SKIP_DRAIN */
};

static const struct request backend_requests[] = {
    [1] = {LAYOUT_IOTLB, LAYOUT_NONE},       /* IOTLB_MSG */
    [3] = {LAYOUT_AREA, LAYOUT_NONE},        /* VRING_HOST_NOTIFIER_MSG */
    [4] = {LAYOUT_VRING_STATE, LAYOUT_NONE}, /* VRING_CALL */
    [5] = {LAYOUT_VRING_STATE, LAYOUT_NONE}, /* VRING_ERR */
    [6] = {LAYOUT_UUID, LAYOUT_NONE},        /* SHARED_OBJECT_ADD */
    [7] = {LAYOUT_UUID, LAYOUT_NONE},        /* SHARED_OBJECT_REMOVE */
    [8] = {LAYOUT_UUID, LAYOUT_NONE},        /* SHARED_OBJECT_LOOKUP */
    [9] = {LAYOUT_MMAP, LAYOUT_NONE},        /* SHMEM_MAP */
    [10] = {LAYOUT_MMAP, LAYOUT_NONE},       /* SHMEM_UNMAP */
};

/** @returns NULL: the request is unknown. */
static const struct request *find_request(const struct wire_message *message)
{
    const struct request *table = message->on_channel ? backend_requests : frontend_requests;
    size_t count = message->on_channel ? G_N_ELEMENTS(backend_requests) : G_N_ELEMENTS(frontend_requests);
    static const struct request nothing = {LAYOUT_NONE, LAYOUT_NONE};

    if (vhushmem_request_name(message->on_channel, message->request) == NULL) {
        return NULL;
    }
    return message->request < count ? &table[message->request] : &nothing;
}

/* ---- fields: each is read only if it is inside the payload ---- */

struct reader {
    const uint8_t *at;
    size_t left;
};

static uint64_t take(struct reader *reader, size_t size)
{
    union {
        uint8_t u8;
        uint32_t u32;
        uint64_t u64;
        uint16_t u16;
    } value = {.u64 = 0};

    g_assert(size <= reader->left);
    memcpy(&value, reader->at, size);
    reader->at += size;
    reader->left -= size;
    return size == 8 ? value.u64 : size == 4 ? value.u32 : size == 2 ? value.u16 : value.u8;
}

static void show_memory_region(struct record *record, struct reader *reader)
{
    record_hex(record, "guest_addr", take(reader, 8));
    record_hex(record, "size", take(reader, 8));
    record_hex(record, "user_addr", take(reader, 8));
    record_hex(record, "fd_offset", take(reader, 8));
}

static bool show_memory_table(struct record *record, struct reader *reader)
{
    uint64_t count = take(reader, 4);

    take(reader, 4);
    if (reader->left != count * 32) {
        return false;
    }
    record_list_begin(record, "memory");
    while (count-- > 0) {
        record_object_begin(record, NULL);
        show_memory_region(record, reader);
        record_object_end(record);
    }
    record_list_end(record);
    return true;
}

static void show_shmem_config(struct record *record, struct reader *reader)
{
    record_number(record, "nregions", take(reader, 4));
    take(reader, 4);
    record_list_begin(record, "regions");
    for (unsigned shmid = 0; shmid < VHUSHMEM_MAX_REGIONS; shmid++) {
        uint64_t size = take(reader, 8);

        if (size != 0) {
            record_object_begin(record, NULL);
            record_number(record, "shmid", shmid);
            record_hex(record, "size", size);
            record_object_end(record);
        }
    }
    record_list_end(record);
}

static void show_queue_and_fd(struct record *record, struct reader *reader)
{
    uint64_t value = take(reader, 8);

    record_number(record, "queue", value & 0xff);
    record_bool(record, "has_fd", (value & 0x100) == 0);
}

/** The least size of a payload with this layout. */
static size_t least_size(enum layout layout)
{
    static const size_t sizes[] = {
        [LAYOUT_NONE] = 0,        [LAYOUT_U64] = 8,       [LAYOUT_RESULT] = 8,       [LAYOUT_VRING_STATE] = 8,
        [LAYOUT_VRING_ADDR] = 40, [LAYOUT_VRING_FD] = 8,  [LAYOUT_MEM_TABLE] = 8,    [LAYOUT_MEM_REGION] = 40,
        [LAYOUT_CONFIG] = 12,     [LAYOUT_INFLIGHT] = 20, [LAYOUT_DEVICE_STATE] = 8, [LAYOUT_SHMEM_CONFIG] = 2056,
        [LAYOUT_MMAP] = 40,       [LAYOUT_UUID] = 16,     [LAYOUT_LOG] = 8,          [LAYOUT_IOTLB] = 32,
        [LAYOUT_AREA] = 24,       [LAYOUT_BYTES] = 0,
    };

    return sizes[layout];
}

/** 0 or a negative errno; any other value is shown whole. */
static void take_result(struct record *record, uint64_t value)
{
    if (value == 0 || value >= (uint64_t)INT64_C(-4095)) {
        record_result(record, (int32_t)value);
    } else {
        record_hex(record, "value", value);
    }
}

/** @returns false: the payload has another layout. */
static bool show_fields(struct record *record, enum layout layout, struct reader *reader)
{
    uint64_t value;

    if (reader->left < least_size(layout)) {
        return false;
    }
    switch (layout) {
    case LAYOUT_NONE:
        break;
    case LAYOUT_U64:
        record_hex(record, "value", take(reader, 8));
        break;
    case LAYOUT_RESULT:
        take_result(record, take(reader, 8));
        break;
    case LAYOUT_VRING_STATE:
        record_number(record, "queue", take(reader, 4));
        record_number(record, "number", take(reader, 4));
        break;
    case LAYOUT_VRING_ADDR:
        record_number(record, "queue", take(reader, 4));
        record_hex(record, "vring_flags", take(reader, 4));
        record_hex(record, "desc", take(reader, 8));
        record_hex(record, "used", take(reader, 8));
        record_hex(record, "avail", take(reader, 8));
        record_hex(record, "log", take(reader, 8));
        break;
    case LAYOUT_VRING_FD:
        show_queue_and_fd(record, reader);
        break;
    case LAYOUT_MEM_TABLE:
        return show_memory_table(record, reader);
    case LAYOUT_MEM_REGION:
        take(reader, 8);
        show_memory_region(record, reader);
        break;
    case LAYOUT_CONFIG:
        record_hex(record, "offset", take(reader, 4));
        record_number(record, "len", take(reader, 4));
        record_number(record, "config_flags", take(reader, 4));
        record_bytes(record, "bytes", reader->at, reader->left);
        return true;
    case LAYOUT_INFLIGHT:
        record_hex(record, "mmap_size", take(reader, 8));
        record_hex(record, "mmap_offset", take(reader, 8));
        record_number(record, "num_queues", take(reader, 2));
        record_number(record, "queue_size", take(reader, 2));
        return true; /* some back-ends pad it */
    case LAYOUT_DEVICE_STATE:
        record_text(record, "direction", take(reader, 4) == 0 ? "save" : "load");
        record_number(record, "phase", take(reader, 4));
        break;
    case LAYOUT_SHMEM_CONFIG:
        show_shmem_config(record, reader);
        break;
    case LAYOUT_MMAP:
        record_number(record, "shmid", take(reader, 1));
        reader->at += 7;
        reader->left -= 7;
        record_hex(record, "fd_offset", take(reader, 8));
        record_hex(record, "shm_offset", take(reader, 8));
        record_hex(record, "len", take(reader, 8));
        value = take(reader, 8);
        record_bool(record, "rw", (value & VHOST_USER_FLAG_MAP_RW) != 0);
        record_hex(record, "map_flags", value);
        break;
    case LAYOUT_UUID:
        record_bytes(record, "uuid", reader->at, 16);
        reader->left -= 16;
        break;
    case LAYOUT_LOG:
        if (reader->left == 8) { /* an address: the log is not a file */
            record_hex(record, "value", take(reader, 8));
            break;
        }
        if (reader->left < 16) {
            return false;
        }
        record_hex(record, "mmap_size", take(reader, 8));
        record_hex(record, "mmap_offset", take(reader, 8));
        break;
    case LAYOUT_IOTLB:
        record_hex(record, "iova", take(reader, 8));
        record_hex(record, "iotlb_size", take(reader, 8));
        record_hex(record, "user_addr", take(reader, 8));
        record_number(record, "perm", take(reader, 1));
        record_number(record, "iotlb_type", take(reader, 1));
        reader->left -= 6;
        break;
    case LAYOUT_AREA:
        show_queue_and_fd(record, reader);
        record_hex(record, "area_size", take(reader, 8));
        record_hex(record, "area_offset", take(reader, 8));
        break;
    case LAYOUT_BYTES:
        return false;
    }
    return reader->left == 0;
}

bool request_has_reply(const struct wire_message *message)
{
    const struct request *request = find_request(message);

    return request != NULL && request->replied != LAYOUT_NONE;
}

void decode_payload(struct record *record, const struct wire_message *message)
{
    const struct request *request = find_request(message);
    bool reply = (message->flags & VHOST_USER_REPLY_MASK) != 0;
    enum layout layout = LAYOUT_BYTES;
    struct reader reader = {message->payload, message->size};

    if (request != NULL && !reply) {
        layout = request->asked;
    } else if (request != NULL) {
        layout = request->replied != LAYOUT_NONE ? request->replied : LAYOUT_RESULT;
    }
    if (!show_fields(record, layout, &reader)) {
        record_bytes(record, "payload", message->payload, message->size);
    }
}
