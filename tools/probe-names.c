/* SPDX-License-Identifier: BSD-3-Clause */

/** Names of virtio devices and virtio features. */

#include "probe-wire.h"

#include <inttypes.h>
#include <string.h>

/* ---- virtio ---- */

struct device {
    unsigned id;
    const char *name;
    const char *features[40]; /* the bits of this device */
};

/* The names are those of the VIRTIO specification. */
static const struct device devices[] = {
    {1,
     "net",
     {"CSUM",
      "GUEST_CSUM",
      "CTRL_GUEST_OFFLOADS",
      "MTU",
      [5] = "MAC",
      [7] = "GUEST_TSO4",
      "GUEST_TSO6",
      "GUEST_ECN",
      "GUEST_UFO",
      "HOST_TSO4",
      "HOST_TSO6",
      "HOST_ECN",
      "HOST_UFO",
      "MRG_RXBUF",
      "STATUS",
      "CTRL_VQ",
      "CTRL_RX",
      "CTRL_VLAN",
      [21] = "GUEST_ANNOUNCE",
      "MQ",
      "CTRL_MAC_ADDR"}},
    {2,
     "blk",
     {[1] = "SIZE_MAX",
      "SEG_MAX",
      [4] = "GEOMETRY",
      "RO",
      "BLK_SIZE",
      [9] = "FLUSH",
      "TOPOLOGY",
      "CONFIG_WCE",
      "MQ",
      "DISCARD",
      "WRITE_ZEROES",
      "LIFETIME",
      "SECURE_ERASE",
      "ZONED"}},
    {3, "console", {"SIZE", "MULTIPORT", "EMERG_WRITE"}},
    {4, "rng", {NULL}},
    {5, "balloon", {"MUST_TELL_HOST", "STATS_VQ", "DEFLATE_ON_OOM", "FREE_PAGE_HINT", "PAGE_POISON", "PAGE_REPORTING"}},
    {8, "scsi", {"INOUT", "HOTPLUG", "CHANGE", "T10_PI"}},
    {16, "gpu", {"VIRGL", "EDID", "RESOURCE_UUID", "RESOURCE_BLOB", "CONTEXT_INIT"}},
    {18, "input", {NULL}},
    {19, "vsock", {"STREAM", "SEQPACKET", "NO_IMPLIED_STREAM"}},
    {20, "crypto", {"REVISION_1", "CIPHER_STATELESS_MODE", "HASH_STATELESS_MODE", "MAC_STATELESS_MODE", "AEAD_STATELESS_MODE"}},
    {25, "sound", {"CTLS"}},
    {26, "fs", {"NOTIFICATION"}},
    {32, "scmi", {"P2A_CHANNELS", "SHARED_MEMORY"}},
    {34, "i2c", {"ZERO_LENGTH_REQUEST"}},
    {41, "gpio", {"IRQ"}},
    {48, "media", {NULL}},
};

/* The bits of the ring and of the transport, from bit 24 on. */
static const char *const common_features[] = {
    [24 - 24] = "NOTIFY_ON_EMPTY",   [26 - 24] = "LOG_ALL",           [27 - 24] = "ANY_LAYOUT",
    [28 - 24] = "INDIRECT_DESC",     [29 - 24] = "EVENT_IDX",         [30 - 24] = "PROTOCOL_FEATURES",
    [32 - 24] = "VERSION_1",         [33 - 24] = "ACCESS_PLATFORM",   [34 - 24] = "RING_PACKED",
    [35 - 24] = "IN_ORDER",          [36 - 24] = "ORDER_PLATFORM",    [37 - 24] = "SR_IOV",
    [38 - 24] = "NOTIFICATION_DATA", [39 - 24] = "NOTIF_CONFIG_DATA", [40 - 24] = "RING_RESET",
    [41 - 24] = "ADMIN_VQ",
};

unsigned virtio_device_id(const char *name)
{
    uint64_t id;

    if (probe_parse_number(name, 63, &id)) {
        return (unsigned)id;
    }
    if (g_str_has_prefix(name, "virtio-")) {
        name += strlen("virtio-");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        if (g_strcmp0(devices[i].name, name) == 0) {
            return devices[i].id;
        }
    }
    return 0;
}

const char *virtio_feature_name(unsigned device_id, unsigned bit)
{
    if (bit >= 24 && bit - 24 < G_N_ELEMENTS(common_features) && common_features[bit - 24] != NULL) {
        return common_features[bit - 24];
    }
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        if (devices[i].id == device_id && bit < G_N_ELEMENTS(devices[i].features)) {
            return devices[i].features[bit];
        }
    }
    return NULL;
}

void record_protocol_features(struct record *record, const struct probe *probe, uint64_t features)
{
    record_list_begin(record, "protocol_features");
    for (unsigned bit = 0; bit < 64; bit++) {
        /* If an older bit stands for SHMEM, it does not have today's meaning. */
        const char *name = bit == probe->shmem_bit ? "SHMEM" : vhushmem_protocol_feature_name(bit);

        if ((features >> bit & 1) != 0) {
            record_list_text(record, name != NULL ? name : "?");
        }
    }
    record_list_end(record);
}

void record_virtio_features(struct record *record, const char *key, unsigned device_id, uint64_t features)
{
    record_list_begin(record, key);
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = virtio_feature_name(device_id, bit);

        if ((features >> bit & 1) != 0 && name != NULL) {
            record_list_text(record, name);
        } else if ((features >> bit & 1) != 0) {
            char *number = g_strdup_printf("%u", bit);

            record_list_text(record, number);
            g_free(number);
        }
    }
    record_list_end(record);
}
