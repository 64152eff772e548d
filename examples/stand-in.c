/* SPDX-License-Identifier: BSD-3-Clause */

#include "stand-in.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control.h"

/* The device may unmap at any time. These copy or fail. An access to the window itself would raise a signal. */

static int read_at(vhushmem_region *region, uint64_t shm_offset, void *data, size_t len)
{
    GError *error = NULL;
    int rc = vhushmem_region_read(region, shm_offset, data, len, &error);

    if (rc < 0) {
        fprintf(stderr, "host    FAILED: %s\n", error->message);
        g_error_free(error);
    }
    return rc;
}

static int write_control(vhushmem_region *region, size_t field, const void *data, size_t len)
{
    GError *error = NULL;
    int rc = vhushmem_region_write(region, CONTROL_OFFSET + field, data, len, &error);

    if (rc < 0) {
        fprintf(stderr, "host    FAILED: %s\n", error->message);
        g_error_free(error);
    }
    return rc;
}

static bool is_due(vhushmem_region *region)
{
    uint32_t state = 0;

    return vhushmem_region_read(region, CONTROL_OFFSET + offsetof(struct control, state), &state, sizeof(state), NULL) == 0 &&
           state == CONTROL_MAPPED;
}

/** Check the device's words like all input from outside. */
static bool is_sane(vhushmem_region *region, const struct control *control)
{
    uint64_t size = vhushmem_region_size(region);

    if (control->magic != CONTROL_MAGIC || control->nparts == 0 || control->nparts > CONTROL_MAX_PARTS) {
        return false;
    }
    for (uint32_t i = 0; i < control->nparts; i++) {
        const struct control_part *part = &control->parts[i];

        if (part->len == 0 || part->len > size || part->shm_offset > size - part->len) {
            return false;
        }
    }
    return true;
}

static int sum_part(vhushmem_region *region, const struct control_part *part, uint32_t *sum)
{
    uint32_t words[1024];

    *sum = 0;
    for (uint32_t done = 0; done < part->len; done += sizeof(words)) {
        uint32_t len = MIN((uint32_t)sizeof(words), part->len - done);

        memset(words, 0, sizeof(words));
        int rc = read_at(region, part->shm_offset + done, words, len);
        if (rc < 0) {
            return rc;
        }
        for (uint32_t i = 0; i < (len + 3) / 4; i++) {
            *sum += words[i];
        }
    }
    return 0;
}

static int look_at_part(vhushmem_region *region, uint32_t index, const struct control_part *part)
{
    uint32_t sum;
    int rc = sum_part(region, part, &sum);

    if (rc < 0) {
        return rc;
    }
    if (sum != part->sum) {
        fprintf(stderr, "host    FAILED: part %u sums to 0x%08x, and the file to 0x%08x\n", index, sum, part->sum);
        return -EIO;
    }
    if (vhushmem_region_write(region, part->shm_offset, &sum, sizeof(sum), NULL) != -EACCES) {
        fprintf(stderr, "host    FAILED: part %u is read-only, and could be written\n", index);
        return -EIO;
    }
    printf("host    at 0x%07" PRIx64 ": %u bytes as the file has them, and read-only\n", part->shm_offset, part->len);
    return write_control(region, offsetof(struct control, sums) + index * sizeof(sum), &sum, sizeof(sum));
}

int stand_in_look(vhushmem_region *region)
{
    const uint32_t answer = CONTROL_ANSWERED;
    struct control control;
    int rc;

    if (!is_due(region)) {
        return 0;
    }
    /* The device wrote the state last. So all that it stands for is read after it. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    rc = read_at(region, CONTROL_OFFSET, &control, sizeof(control));
    if (rc < 0) {
        return rc;
    }
    if (!is_sane(region, &control)) {
        fprintf(stderr, "host    FAILED: the control page makes no sense\n");
        return -EPROTO;
    }
    for (uint32_t i = 0; i < control.nparts; i++) {
        rc = look_at_part(region, i, &control.parts[i]);
        if (rc < 0) {
            return rc;
        }
    }
    rc = write_control(region, offsetof(struct control, guest_text), control.device_text, CONTROL_TEXT);
    if (rc < 0) {
        return rc;
    }
    /* The device must see all earlier stores before the answer. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    rc = write_control(region, offsetof(struct control, answer), &answer, sizeof(answer));
    return rc < 0 ? rc : 1;
}
