/* SPDX-License-Identifier: BSD-3-Clause */
/* An option struct of an unknown size, or with an unknown value in a field, is refused with EINVAL. A larger struct that
   ends in zeros is accepted. */
#include "harness.h"

/* Each kind of options, embedded in something larger, and the function that takes them. */
typedef union options {
    uint32_t struct_size;
    vhushmem_device_options device;
    vhushmem_region_options region;
    vhushmem_frontend_options frontend;
    vhushmem_backend_options backend;
    vhushmem_channel_options channel;
    uint8_t bytes[256];
} options;

static int64_t device(const options *o)
{
    vhushmem_device *device = vhushmem_device_new(&o->device, &error);
    int64_t result = errno_of_null(device);
    vhushmem_device_unref(device);
    return result;
}

static int64_t region(const options *o)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, NULL));
    int64_t result = errno_of_null(vhushmem_region_new(device, 0, PAGE, &o->region, &error));
    EQ(vhushmem_device_region_ids(device, NULL, 0), result == 0 ? 1 : 0);
    vhushmem_device_unref(device);
    return result;
}

static int64_t frontend(const options *o)
{
    vhushmem_frontend *frontend = vhushmem_frontend_new("/tmp/x", &o->frontend, &error);
    int64_t result = errno_of_null(frontend);
    vhushmem_frontend_free(frontend);
    return result;
}

static int64_t region_of_frontend(const options *o)
{
    options outer = {.frontend = {.struct_size = sizeof(outer.frontend), .region = &o->region}};
    return frontend(&outer);
}

static int64_t device_of_frontend(const options *o)
{
    options outer = {.frontend = {.struct_size = sizeof(outer.frontend), .device = &o->device}};
    return frontend(&outer);
}

static int64_t backend(const options *o)
{
    vhushmem_backend *backend = vhushmem_backend_new(&o->backend, &error);
    int64_t result = errno_of_null(backend);
    vhushmem_backend_free(backend);
    return result;
}

static int64_t channel(const options *o)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_device *device = some(vhushmem_device_new(NULL, NULL));
    vhushmem_channel *channel = vhushmem_channel_new(pair[0], device, &o->channel, &error);
    int64_t result = errno_of_null(channel);
    vhushmem_channel_free(channel);
    EQ(fcntl(pair[0], F_GETFD) >= 0, channel == NULL);
    if (channel == NULL) {
        close(pair[0]);
    }
    close(pair[1]);
    vhushmem_device_unref(device);
    return result;
}

static void sizes(int64_t (*take)(const options *), uint32_t size)
{
    options o;
    memset(&o, 0, sizeof(o)); /* an initializer need not fill the whole union */
    o.struct_size = size;
    ok(take(&o));
    const uint32_t wrong[] = {0, 1, 4, size - 8, size - 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (wrong[i] < sizeof(o)) { /* more does not exist to be read */
            o.struct_size = wrong[i];
            refused(take(&o), -EINVAL, "struct_size");
        }
    }
    for (uint32_t more = 1; more <= 64; more *= 8) {
        o.struct_size = size + more;
        ok(take(&o));
        o.bytes[size + more - 1] = 1;
        refused(take(&o), -EINVAL);
        o.bytes[size + more - 1] = 0;
    }
    o.struct_size = size;
    o.bytes[size] = 1; /* beyond the size that it claims */
    ok(take(&o));
}

#define REFUSES(take, member, field, value)                                                                                    \
    do {                                                                                                                       \
        options o_ = {.member = {.struct_size = sizeof(o_.member), .field = value}};                                           \
        refused(take(&o_), -EINVAL);                                                                                           \
    } while (0)

int main(void)
{
    sizes(device, sizeof(vhushmem_device_options));
    sizes(region, sizeof(vhushmem_region_options));
    sizes(frontend, sizeof(vhushmem_frontend_options));
    sizes(backend, sizeof(vhushmem_backend_options));
    sizes(channel, sizeof(vhushmem_channel_options));
    sizes(region_of_frontend, sizeof(vhushmem_region_options));
    sizes(device_of_frontend, sizeof(vhushmem_device_options));
    REFUSES(device, device, reserved, 1);
    REFUSES(device_of_frontend, device, reserved, 1);
    REFUSES(region, region, reserved, 1);
    REFUSES(region, region, strategy, 99);
    REFUSES(region, region, holes, 2);
    REFUSES(region, region, fd_policy, 1u << 31);
    REFUSES(region, region, flags, 1u << 31);
    REFUSES(region_of_frontend, region, holes, 2);
    REFUSES(frontend, frontend, flags, 1u << 31);
    REFUSES(frontend, frontend, flags, VHUSHMEM_FRONTEND_FIRST_MAP_FLAGS | VHUSHMEM_FRONTEND_CURRENT_MAP_FLAGS);
    REFUSES(frontend, frontend, shmem_bit, 5);
    REFUSES(backend, backend, reserved, 1);
    REFUSES(backend, backend, shmem_bit, 5);
    REFUSES(backend, backend, flags, 1u << 31);
    REFUSES(backend, backend, flags, VHUSHMEM_BACKEND_FIRST_MAP_FLAGS | VHUSHMEM_BACKEND_CURRENT_MAP_FLAGS);
    static const unsigned features[] = {26, 33, 34, 35, 38, 40}; /* features of the ring that are not served */
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        REFUSES(backend, backend, features, UINT64_C(1) << features[i]);
    }
    /* Protocol features: RARP, XEN_MMAP, GET_VRING_BASE_INFLIGHT and _SKIP_DRAIN, GPA_ADDRESSES, and bits without a name.
       All bits: those that are served. */
    static const unsigned protocol_features[] = {2, 4, 7, 8, 11, 17, 20, 21, 23, 24, 63};
    for (size_t i = 0; i < G_N_ELEMENTS(protocol_features); i++) {
        REFUSES(backend, backend, protocol_features, UINT64_C(1) << protocol_features[i] | UINT64_C(8));
    }
    options all = {.backend = {.struct_size = sizeof(all.backend), .protocol_features = UINT64_MAX}};
    ok(backend(&all));
    options first = {
        .backend = {.struct_size = sizeof(first.backend), .shmem_bit = 20, .protocol_features = UINT64_C(1) << 20}};
    ok(backend(&first));
    REFUSES(channel, channel, flags, 1u << 31);
    REFUSES(channel, channel, reserved, 1);
    return 0;
}
