/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules that a header states in one sentence. A failing perform sets every result. A back-end offers no protocol feature
 * that it does not serve. If a handler returns a positive result, its peer is told EIO. A read of a region to nowhere works
 * only for 0 bytes.
 */
#include "backend-rig.h"
#include "channel-rig.h"

static void perform_sets_every_result(void)
{
    backend_rig r;
    int fd = memfd_of(PAGE, 1);
    const vhushmem_shmem_request good = {.struct_size = sizeof good, .request = MAP, .fd = fd, .len = PAGE, .result = 77};
    vhushmem_shmem_request all[3] = {good, good, good};
    backend_rig_open(&r, 4 * PAGE, NULL);
    all[1].request = 99;
    err(vhushmem_backend_perform(r.backend, all, 3, 0, &error), -EINVAL);
    for (int i = 0; i < 3; i++) {
        EQ(all[i].result, -EINVAL);
        all[i] = good;
    }
    err(vhushmem_backend_perform(r.backend, all, 3, ~0u, &error), -EINVAL);
    for (int i = 0; i < 3; i++) {
        EQ(all[i].result, -EINVAL);
        all[i] = good;
    }
    err(vhushmem_backend_perform(NULL, all, 3, 0, &error), -EFAULT);
    for (int i = 0; i < 3; i++) {
        EQ(all[i].result, -EFAULT);
        all[i] = good;
    }
    CHECK(!wait_readable(r.channel, 0));
    shutdown(r.main, SHUT_RDWR);
    STEP_UNTIL(r.events[VHUSHMEM_BACKEND_DISCONNECT] == 1, pump_backend(r.backend));
    err(vhushmem_backend_perform(r.backend, all, 3, 0, &error), -ENOTCONN);
    for (int i = 0; i < 3; i++) {
        EQ(all[i].result, -ENOTCONN);
    }
    backend_rig_close(&r);
    close(fd);
}

static void unserved_features_are_refused(void)
{
    static const int bits[] = {2, 17, 63};
    for (size_t i = 0; i < G_N_ELEMENTS(bits); i++) {
        vhushmem_backend_options options = {.struct_size = sizeof(options), .protocol_features = BIT(bits[i]) | BIT(3)};
        CHECK(vhushmem_backend_new(&options, &error) == NULL);
        err(errno_of_null(NULL), -EINVAL);
    }
}

static int positive(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)channel;
    (void)request;
    (void)user_data;
    return 5;
}

static void positive_results_are_no_success(void)
{
    channel_rig r;
    channel_rig_open(&r, NULL);
    ok(vhushmem_channel_set_request_callback(r.channel, positive, NULL, NULL));
    EQ(channel_rig_ask(&r, 3, "hello", 5, NULL, 0), -EIO);
    channel_rig_close(&r);
}

static void regions_are_read_to_somewhere(void)
{
    rig r;
    uint8_t byte;
    rig_open_plain(&r, 4 * PAGE, NULL, NULL);
    ok(vhushmem_region_read(r.region, 0, &byte, 0, &error));
    ok(vhushmem_region_write(r.region, 0, &byte, 0, &error));
    ok(vhushmem_region_read(r.region, 0, NULL, 0, &error));
    ok(vhushmem_region_write(r.region, 0, NULL, 0, &error));
    err(vhushmem_region_read(r.region, 0, NULL, 1, &error), -EFAULT);
    err(vhushmem_region_write(r.region, 0, NULL, 1, &error), -EFAULT);
    err(vhushmem_region_read(r.region, 4 * PAGE + 1, NULL, 0, &error), -EINVAL);
    rig_close(&r);
}

int main(void)
{
    perform_sets_every_result();
    unserved_features_are_refused();
    positive_results_are_no_success();
    regions_are_read_to_somewhere();
    return 0;
}
