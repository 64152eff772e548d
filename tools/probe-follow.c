/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * The proxy's own picture of the device: its regions and mappings, from the messages that pass through. The files are mapped
 * here too, so that they can be read.
 */

#include "probe-wire.h"

#include <string.h>

#define RESET_DEVICE 34
#define SET_STATUS 39

void follow_map(struct probe *probe, const VhostUserMMap *map, int fd, int32_t result)
{
    vhushmem_region *region = vhushmem_device_find_region(probe->device, map->shmid);
    vhushmem_event event = {
        .type = VHUSHMEM_EVENT_MAP,
        .result = result,
        .shmid = map->shmid,
        .shm_offset = map->shm_offset,
        .len = map->len,
        .fd_offset = map->fd_offset,
        .flags = map->flags,
    };

    /* If the front-end serves a map and this library refuses it, it is missing in the picture. */
    if (result == 0 && region != NULL && fd >= 0) {
        vhushmem_region_map(region, fd, map->fd_offset, map->shm_offset, map->len, map->flags & VHOST_USER_FLAG_MAP_RW, NULL);
    }
    probe_tell_mapping(probe, &event);
}

void follow_unmap(struct probe *probe, const VhostUserMMap *map, int32_t result)
{
    vhushmem_region *region = vhushmem_device_find_region(probe->device, map->shmid);
    vhushmem_event event = {
        .type = VHUSHMEM_EVENT_UNMAP, .result = result, .shmid = map->shmid, .shm_offset = map->shm_offset, .len = map->len};

    if (result == 0 && region != NULL) {
        vhushmem_region_unmap(region, map->shm_offset, map->len, NULL);
    }
    probe_tell_mapping(probe, &event);
}

/** Follow a map or unmap without an acknowledgement, or a request of the front-end to the device. */
void follow_request(struct probe *probe, const struct wire_message *message, int fd)
{
    VhostUserMMap map;
    uint64_t value = 1;

    if (message->on_channel) {
        memcpy(&map, message->payload, sizeof(map));
        if (message->request == VHOST_USER_BACKEND_SHMEM_MAP) {
            follow_map(probe, &map, fd, 0);
        } else {
            follow_unmap(probe, &map, 0);
        }
        return;
    }
    if (message->request == SET_STATUS && message->size == sizeof(value)) {
        memcpy(&value, message->payload, sizeof(value));
    }
    if (message->request == RESET_DEVICE || (message->request == SET_STATUS && value == 0)) {
        vhushmem_device_unmap_all(probe->device);
        probe->counters.resets++;
        probe_note_event(probe, "reset");
    }
}

/** Follow the reply with the device's regions. */
void follow_config(struct probe *probe, const struct wire_message *reply)
{
    const uint8_t *sizes = reply->payload + 8;
    vhushmem_region_options options = {.struct_size = sizeof(options)};
    struct record record;

    if (reply->request != VHOST_USER_GET_SHMEM_CONFIG || reply->size != sizeof(VhostUserShMemConfig)) {
        return;
    }
    vhushmem_region_options_for_dax(&options); /* these options refuse the least */
    for (unsigned shmid = 0; shmid < VHUSHMEM_MAX_REGIONS; shmid++) {
        uint64_t size;

        memcpy(&size, sizes + shmid * sizeof(size), sizeof(size));
        if (size != 0 && vhushmem_device_find_region(probe->device, (uint8_t)shmid) == NULL) {
            vhushmem_region_new(probe->device, (uint8_t)shmid, size, &options, NULL);
        }
    }
    probe->was_ready = true;
    probe_view_refresh(probe);
    complete_note_regions(probe->device);
    record_begin(&record, probe->json, "ready");
    record_regions(&record, probe->device);
    record_end(&record);
    probe_note_event(probe, "ready");
    probe_input_resume(probe);
}
