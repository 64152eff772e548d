/* SPDX-License-Identifier: BSD-3-Clause */

/** What a message of vhost-user says, field by field. Nothing in it is believed: what does not fit is shown as bytes. */

#include "probe.h"

#include <string.h>

/** How a payload is laid out. */
enum layout {
    LAYOUT_NONE,
    LAYOUT_U64,
    LAYOUT_RESULT, /* the answer to a request of the back-end's: 0 or a negative errno */
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
    LAYOUT_BYTES,
};

struct request {
    const char *name;
    enum layout asked;
    enum layout replied; /* NONE: it has no reply of its own, so what comes is an acknowledgement */
};

static const struct request frontend_requests[] = {
    [1] = {"GET_FEATURES", LAYOUT_NONE, LAYOUT_U64},
    [2] = {"SET_FEATURES", LAYOUT_U64, LAYOUT_NONE},
    [3] = {"SET_OWNER", LAYOUT_NONE, LAYOUT_NONE},
    [4] = {"RESET_OWNER", LAYOUT_NONE, LAYOUT_NONE},
    [5] = {"SET_MEM_TABLE", LAYOUT_MEM_TABLE, LAYOUT_NONE},
    [6] = {"SET_LOG_BASE", LAYOUT_BYTES, LAYOUT_BYTES},
    [7] = {"SET_LOG_FD", LAYOUT_NONE, LAYOUT_NONE},
    [8] = {"SET_VRING_NUM", LAYOUT_VRING_STATE, LAYOUT_NONE},
    [9] = {"SET_VRING_ADDR", LAYOUT_VRING_ADDR, LAYOUT_NONE},
    [10] = {"SET_VRING_BASE", LAYOUT_VRING_STATE, LAYOUT_NONE},
    [11] = {"GET_VRING_BASE", LAYOUT_VRING_STATE, LAYOUT_VRING_STATE},
    [12] = {"SET_VRING_KICK", LAYOUT_VRING_FD, LAYOUT_NONE},
    [13] = {"SET_VRING_CALL", LAYOUT_VRING_FD, LAYOUT_NONE},
    [14] = {"SET_VRING_ERR", LAYOUT_VRING_FD, LAYOUT_NONE},
    [15] = {"GET_PROTOCOL_FEATURES", LAYOUT_NONE, LAYOUT_U64},
    [16] = {"SET_PROTOCOL_FEATURES", LAYOUT_U64, LAYOUT_NONE},
    [17] = {"GET_QUEUE_NUM", LAYOUT_NONE, LAYOUT_U64},
    [18] = {"SET_VRING_ENABLE", LAYOUT_VRING_STATE, LAYOUT_NONE},
    [19] = {"SEND_RARP", LAYOUT_U64, LAYOUT_NONE},
    [20] = {"NET_SET_MTU", LAYOUT_U64, LAYOUT_NONE},
    [21] = {"SET_BACKEND_REQ_FD", LAYOUT_NONE, LAYOUT_NONE},
    [22] = {"IOTLB_MSG", LAYOUT_BYTES, LAYOUT_NONE},
    [23] = {"SET_VRING_ENDIAN", LAYOUT_VRING_STATE, LAYOUT_NONE},
    [24] = {"GET_CONFIG", LAYOUT_CONFIG, LAYOUT_CONFIG},
    [25] = {"SET_CONFIG", LAYOUT_CONFIG, LAYOUT_NONE},
    [31] = {"GET_INFLIGHT_FD", LAYOUT_INFLIGHT, LAYOUT_INFLIGHT},
    [32] = {"SET_INFLIGHT_FD", LAYOUT_INFLIGHT, LAYOUT_NONE},
    [33] = {"GPU_SET_SOCKET", LAYOUT_NONE, LAYOUT_NONE},
    [34] = {"RESET_DEVICE", LAYOUT_NONE, LAYOUT_NONE},
    [35] = {"VRING_KICK", LAYOUT_VRING_STATE, LAYOUT_NONE},
    [36] = {"GET_MAX_MEM_SLOTS", LAYOUT_NONE, LAYOUT_U64},
    [37] = {"ADD_MEM_REG", LAYOUT_MEM_REGION, LAYOUT_NONE},
    [38] = {"REM_MEM_REG", LAYOUT_MEM_REGION, LAYOUT_NONE},
    [39] = {"SET_STATUS", LAYOUT_U64, LAYOUT_NONE},
    [40] = {"GET_STATUS", LAYOUT_NONE, LAYOUT_U64},
    [41] = {"GET_SHARED_OBJECT", LAYOUT_UUID, LAYOUT_UUID},
    [42] = {"SET_DEVICE_STATE_FD", LAYOUT_DEVICE_STATE, LAYOUT_U64},
    [43] = {"CHECK_DEVICE_STATE", LAYOUT_NONE, LAYOUT_U64},
    [44] = {"GET_SHMEM_CONFIG", LAYOUT_NONE, LAYOUT_SHMEM_CONFIG},
    [45] = {"GET_VRING_BASE_SKIP_DRAIN", LAYOUT_VRING_STATE, LAYOUT_VRING_STATE},
};

static const struct request backend_requests[] = {
    [1] = {"IOTLB_MSG", LAYOUT_BYTES, LAYOUT_NONE},
    [2] = {"CONFIG_CHANGE_MSG", LAYOUT_NONE, LAYOUT_NONE},
    [3] = {"VRING_HOST_NOTIFIER_MSG", LAYOUT_BYTES, LAYOUT_NONE},
    [4] = {"VRING_CALL", LAYOUT_VRING_STATE, LAYOUT_NONE},
    [5] = {"VRING_ERR", LAYOUT_VRING_STATE, LAYOUT_NONE},
    [6] = {"SHARED_OBJECT_ADD", LAYOUT_UUID, LAYOUT_NONE},
    [7] = {"SHARED_OBJECT_REMOVE", LAYOUT_UUID, LAYOUT_NONE},
    [8] = {"SHARED_OBJECT_LOOKUP", LAYOUT_UUID, LAYOUT_NONE},
    [9] = {"SHMEM_MAP", LAYOUT_MMAP, LAYOUT_NONE},
    [10] = {"SHMEM_UNMAP", LAYOUT_MMAP, LAYOUT_NONE},
};

static const struct request *find_request(const struct wire_message *message)
{
    const struct request *table = message->on_channel ? backend_requests : frontend_requests;
    size_t count = message->on_channel ? G_N_ELEMENTS(backend_requests) : G_N_ELEMENTS(frontend_requests);

    return message->request < count && table[message->request].name != NULL ? &table[message->request] : NULL;
}

/* ---- fields: each is read only where it is inside the payload ---- */

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

/** The least that a payload of this layout has. */
static size_t least_size(enum layout layout)
{
    static const size_t sizes[] = {
        [LAYOUT_NONE] = 0,        [LAYOUT_U64] = 8,       [LAYOUT_RESULT] = 8,       [LAYOUT_VRING_STATE] = 8,
        [LAYOUT_VRING_ADDR] = 40, [LAYOUT_VRING_FD] = 8,  [LAYOUT_MEM_TABLE] = 8,    [LAYOUT_MEM_REGION] = 40,
        [LAYOUT_CONFIG] = 12,     [LAYOUT_INFLIGHT] = 20, [LAYOUT_DEVICE_STATE] = 8, [LAYOUT_SHMEM_CONFIG] = 2056,
        [LAYOUT_MMAP] = 40,       [LAYOUT_UUID] = 16,     [LAYOUT_BYTES] = 0,
    };

    return sizes[layout];
}

/** 0 or a negative errno; what is neither is shown whole. */
static void take_result(struct record *record, uint64_t value)
{
    if (value == 0 || value >= (uint64_t)INT64_C(-4095)) {
        record_result(record, (int32_t)value);
    } else {
        record_hex(record, "value", value);
    }
}

/** @returns false: the payload is not laid out like this. */
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
        value = take(reader, 8);
        record_number(record, "queue", value & 0xff);
        record_bool(record, "has_fd", (value & 0x100) == 0);
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
        return true; /* some pad it */
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
    case LAYOUT_BYTES:
        return false;
    }
    return reader->left == 0;
}

void probe_decode(struct probe *probe, const struct wire_message *message)
{
    const struct request *request = find_request(message);
    bool reply = (message->flags & VHOST_USER_REPLY_MASK) != 0;
    enum layout layout = LAYOUT_BYTES;
    struct reader reader = {message->payload, message->size};
    struct record record;

    if (request != NULL && !reply) {
        layout = request->asked;
    } else if (request != NULL) {
        layout = request->replied != LAYOUT_NONE ? request->replied : LAYOUT_RESULT;
    }
    record_begin(&record, probe->json, "wire");
    record_text(&record, "from", message->from_backend ? "back-end" : "front-end");
    record_text(&record, "socket", message->on_channel ? "channel" : "main");
    record_number(&record, "id", message->request);
    record_text(&record, "name", request != NULL ? request->name : "?");
    record_bool(&record, "reply", reply);
    record_hex(&record, "flags", message->flags);
    record_number(&record, "size", message->size);
    record_number(&record, "fds", message->nfds);
    if (!show_fields(&record, layout, &reader)) {
        record_bytes(&record, "payload", message->payload, message->size);
    }
    record_end(&record);
}
