/* SPDX-License-Identifier: BSD-3-Clause */
/* A pointer that must not be NULL is NULL: the call returns -EFAULT, NULL, 0 or false, and never crashes. */
#include "harness.h"

#include <vhushmem/series.h>

static void device_and_region(void)
{
    uint64_t page = PAGE, at = 0;
    uint8_t id;
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    vhushmem_device *device = some(vhushmem_device_new(NULL, NULL));
    CHECK(vhushmem_device_ref(NULL) == NULL);
    vhushmem_device_unref(NULL);
    CHECK(vhushmem_device_find_region(NULL, 0) == NULL);
    EQ(vhushmem_device_region_ids(NULL, &id, 1), -EFAULT);
    EQ(vhushmem_device_region_ids(device, NULL, 1), -EFAULT);
    EQ(vhushmem_device_mapping_count(NULL), 0);
    EQ(vhushmem_device_mapped_bytes(NULL), 0);
    EQ(vhushmem_device_unmap_all(NULL), -EFAULT);
    EQ(vhushmem_device_add_config(NULL, device, 2056, NULL, NULL), -EFAULT);
    EQ(vhushmem_device_add_config(device, NULL, 2056, NULL, NULL), -EFAULT);
    EQ(vhushmem_device_set_callback(NULL, NULL, NULL, NULL, NULL), -EFAULT);
    EQ(vhushmem_device_set_callback(device, NULL, NULL, NULL, NULL), 0);
    EQ(vhushmem_device_check(NULL), -EFAULT);
    EQ(vhushmem_device_begin_reset(NULL, NULL), -EFAULT);
    EQ(vhushmem_device_end_reset(NULL, NULL), -EFAULT);
    EQ(vhushmem_pci_check_qemu(NULL, 0, NULL, NULL), -EFAULT);
    EQ(vhushmem_pci_check_qemu(device, 0, NULL, NULL), 0);

    CHECK(vhushmem_region_new(NULL, 0, page, NULL, NULL) == NULL);
    refused(errno_of_null(vhushmem_region_new(NULL, 0, page, NULL, &error)), -EFAULT);
    vhushmem_region *region = some(vhushmem_region_new(device, 0, page, NULL, NULL));
    CHECK(vhushmem_region_new(device, 0, page, NULL, NULL) == NULL);
    CHECK(vhushmem_region_ref(NULL) == NULL);
    vhushmem_region_unref(NULL);
    EQ(vhushmem_region_id(NULL), -EFAULT);
    EQ(vhushmem_region_size(NULL), 0);
    CHECK(vhushmem_region_window(NULL) == NULL);
    EQ(vhushmem_region_mapping_count(NULL), 0);
    EQ(vhushmem_region_mapped_bytes(NULL), 0);
    EQ(vhushmem_region_map(NULL, 0, 0, 0, page, 0, NULL), -EFAULT);
    refused(vhushmem_region_map(NULL, 0, 0, 0, page, 0, &error), -EFAULT);
    EQ(vhushmem_region_map(region, -1, 0, 0, page, 0, NULL), -EBADF);
    refused(vhushmem_region_alloc(NULL, 0, 0, page, 0, 0, &at, &error), -EFAULT);
    refused(vhushmem_region_alloc(region, 0, 0, page, 0, 0, NULL, &error), -EFAULT);
    refused(vhushmem_region_unmap(NULL, 0, page, &error), -EFAULT);
    EQ(vhushmem_region_unmap(region, 0, page, NULL), -ENOENT);
    EQ(vhushmem_region_unmap_all(NULL), -EFAULT);
    CHECK(vhushmem_region_find_mapping(NULL, 0, page) == NULL);
    EQ(vhushmem_region_next_mapping(NULL, 0, &info), -EFAULT);
    EQ(vhushmem_region_next_mapping(region, 0, NULL), -EFAULT);
    CHECK(vhushmem_region_translate(NULL, 0, 1, false) == NULL);
    refused(vhushmem_region_add_mapping(region, NULL, &error), -EFAULT);
    EQ(vhushmem_resolve_guest_fault(NULL, 0, 1, VHUSHMEM_ACCESS_READ, NULL), -EFAULT);

    CHECK(vhushmem_mapping_new(0, -1, 0, 0, page, 0, NULL) == NULL);
    int fd = memfd_of(page, 1);
    vhushmem_mapping *mapping = some(vhushmem_mapping_new(0, fd, 0, 0, page, 0, NULL));
    refused(vhushmem_region_add_mapping(NULL, mapping, &error), -EFAULT);
    EQ(vhushmem_mapping_get_info(NULL, &info), -EFAULT);
    EQ(vhushmem_mapping_get_info(mapping, NULL), -EFAULT);
    CHECK(vhushmem_mapping_ref(NULL) == NULL);
    vhushmem_mapping_unref(NULL);
    vhushmem_mapping_unref(mapping);
    close(fd);
    vhushmem_device_unref(device);
}

static void front_end(void)
{
    refused(errno_of_null(vhushmem_frontend_new(NULL, NULL, &error)), -EFAULT);
    CHECK(vhushmem_frontend_new(NULL, NULL, NULL) == NULL);
    CHECK(vhushmem_frontend_new_fd(-1, NULL, NULL) == NULL);
    vhushmem_frontend_free(NULL);
    EQ(vhushmem_frontend_set_callback(NULL, NULL, NULL, NULL), -EFAULT);
    refused(vhushmem_frontend_add_region(NULL, 0, PAGE, &error), -EFAULT);
    refused(vhushmem_frontend_start(NULL, &error), -EFAULT);
    refused(vhushmem_frontend_connect(NULL, 0, &error), -EFAULT);
    refused(vhushmem_frontend_reset(NULL, &error), -EFAULT);
    EQ(vhushmem_frontend_start(NULL, NULL), -EFAULT);
    EQ(vhushmem_frontend_get_fd(NULL), -EFAULT);
    EQ(vhushmem_frontend_get_events(NULL), -EFAULT);
    EQ(vhushmem_frontend_dispatch(NULL), -EFAULT);
    CHECK(vhushmem_frontend_source_new(NULL) == NULL);
    CHECK(vhushmem_frontend_device(NULL) == NULL);
    CHECK(!vhushmem_frontend_is_ready(NULL));
    EQ(vhushmem_frontend_features(NULL), 0);
    EQ(vhushmem_frontend_protocol_features(NULL), 0);
    EQ(vhushmem_frontend_call_fd(NULL, 0), -EFAULT);
    (void)vhushmem_frontend_max_queues(NULL);
}

static void channel(void)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, NULL));
    VhostUserMMap m = {.len = PAGE};
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    refused(errno_of_null(vhushmem_channel_new(pair[0], NULL, NULL, &error)), -EFAULT);
    CHECK(vhushmem_channel_new(-1, device, NULL, NULL) == NULL);
    CHECK(fcntl(pair[0], F_GETFD) >= 0);
    vhushmem_channel_free(NULL);
    EQ(vhushmem_channel_set_callback(NULL, NULL, NULL, NULL), -EFAULT);
    EQ(vhushmem_channel_set_request_callback(NULL, NULL, NULL, NULL), -EFAULT);
    EQ(vhushmem_channel_get_fd(NULL), -EFAULT);
    EQ(vhushmem_channel_get_events(NULL), -EFAULT);
    EQ(vhushmem_channel_dispatch(NULL), -EFAULT);
    CHECK(vhushmem_channel_source_new(NULL) == NULL);
    CHECK(!vhushmem_channel_is_open(NULL));
    EQ(vhushmem_channel_begin_reset(NULL), -EFAULT);
    EQ(vhushmem_channel_end_reset(NULL), -EFAULT);
    refused(vhushmem_handle_map(NULL, &m, 0, &error), -EFAULT);
    refused(vhushmem_handle_map(device, NULL, 0, &error), -EFAULT);
    EQ(vhushmem_handle_map(device, &m, 0, NULL), -ENOENT);
    refused(vhushmem_handle_unmap(NULL, &m, &error), -EFAULT);
    refused(vhushmem_handle_unmap(device, NULL, &error), -EFAULT);
    EQ(vhushmem_device_commit(NULL), -EFAULT);
    close(pair[0]);
    close(pair[1]);
    vhushmem_device_unref(device);
}

static void back_end(void)
{
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, NULL));
    vhushmem_backend_free(NULL);
    EQ(vhushmem_backend_set_callback(NULL, NULL, NULL, NULL), -EFAULT);
    refused(vhushmem_backend_add_region(NULL, 0, PAGE, &error), -EFAULT);
    refused(vhushmem_backend_listen(NULL, "/tmp/x", &error), -EFAULT);
    refused(vhushmem_backend_listen(backend, NULL, &error), -EFAULT);
    refused(vhushmem_backend_listen_fd(NULL, 0, &error), -EFAULT);
    refused(vhushmem_backend_connect(NULL, "/tmp/x", &error), -EFAULT);
    refused(vhushmem_backend_connect(backend, NULL, &error), -EFAULT);
    refused(vhushmem_backend_attach(NULL, 0, &error), -EFAULT);
    EQ(vhushmem_backend_attach(backend, -1, NULL), -EBADF);
    CHECK(vhushmem_backend_get_fd(NULL) < 0);
    EQ(vhushmem_backend_get_events(NULL), -EFAULT);
    EQ(vhushmem_backend_dispatch(NULL), -EFAULT);
    EQ(vhushmem_backend_poll(NULL, 0), -EFAULT);
    CHECK(vhushmem_backend_source_new(NULL) == NULL);
    CHECK(!vhushmem_backend_is_negotiated(NULL));
    EQ(vhushmem_backend_features(NULL), 0);
    EQ(vhushmem_backend_protocol_features(NULL), 0);
    refused(vhushmem_backend_map(NULL, 0, 0, 0, 0, PAGE, 0, &error), -EFAULT);
    refused(vhushmem_backend_unmap(NULL, 0, 0, PAGE, &error), -EFAULT);
    refused(vhushmem_backend_map_async(NULL, 0, 0, 0, 0, PAGE, 0, NULL, NULL, NULL, &error), -EFAULT);
    refused(vhushmem_backend_map_async(backend, 0, 0, 0, 0, PAGE, 0, NULL, NULL, NULL, &error), -EFAULT);
    refused(vhushmem_backend_unmap_async(NULL, 0, 0, PAGE, NULL, NULL, NULL, &error), -EFAULT);
    refused(vhushmem_backend_unmap_async(backend, 0, 0, PAGE, NULL, NULL, NULL, &error), -EFAULT);
    refused(vhushmem_backend_unmap_all(NULL, 0, &error), -EFAULT);
    vhushmem_chain *chains[1] = {NULL};
    uint32_t written[1] = {0};
    refused(vhushmem_backend_pop_many(NULL, 0, chains, 1, &error), -EFAULT);
    refused(vhushmem_backend_pop_many(backend, 0, NULL, 1, &error), -EFAULT);
    refused(vhushmem_backend_push_many(NULL, 0, chains, written, 1, &error), -EFAULT);
    refused(vhushmem_backend_push_many(backend, 0, NULL, written, 1, &error), -EFAULT);
    refused(vhushmem_backend_push_many(backend, 0, chains, NULL, 1, &error), -EFAULT);
    refused(vhushmem_backend_unmap_all_async(NULL, 0, NULL, NULL, NULL, &error), -EFAULT);
    refused(vhushmem_backend_unmap_all_async(backend, 0, NULL, NULL, NULL, &error), -EFAULT);
    vhushmem_backend_free(backend);
}

static void status(void)
{
    CHECK(vhushmem_status_json(NULL) == NULL);
    CHECK(vhushmem_frontend_status_json(NULL, 1) == NULL);
    CHECK(vhushmem_backend_status_json(NULL) == NULL);
    CHECK(vhushmem_channel_status_json(NULL, 1) == NULL);
    CHECK(vhushmem_device_status_json(NULL, 1) == NULL);
    CHECK(vhushmem_region_status_json(NULL, 1) == NULL);
}

static void series(void)
{
    uint64_t at, sizes[VIRTIO_MAX_SHMEM_REGIONS];
    int nregions;
    MemoryRegion mr;
    MemoryListener listener = {.name = "x"};
    CHECK(virtio_new_shmem_region(NULL, 0, PAGE) == NULL);
    refused(virtio_add_shmem(NULL, 0, PAGE, &error), -EFAULT);
    CHECK(virtio_find_shmem_region(NULL, 0) == NULL);
    CHECK(virtio_shmem_memory_region(NULL) == NULL);
    EQ(virtio_add_shmem_map(NULL, NULL), -EFAULT);
    refused(errno_of_null(virtio_alloc_shmem_map(NULL, 0, 0, PAGE, 0, false, &at, &error)), -EFAULT);
    CHECK(virtio_find_shmem_map(NULL, 0, PAGE) == NULL);
    virtio_del_shmem_map(NULL, 0, PAGE);
    memory_region_init(NULL, NULL, NULL, PAGE);
    CHECK(!memory_region_init_ram_from_fd(NULL, NULL, NULL, PAGE, 0, 0, 0, NULL));
    EQ(memory_region_size(NULL), 0);
    CHECK(memory_region_get_ram_ptr(NULL) == NULL);
    EQ(memory_region_get_fd(NULL), -1);
    memory_region_init(&mr, NULL, NULL, PAGE);
    memory_region_add_subregion(NULL, 0, &mr);
    memory_region_add_subregion(&mr, 0, NULL);
    memory_region_del_subregion(NULL, &mr);
    memory_region_del_subregion(&mr, NULL);
    memory_listener_register(NULL, &mr);
    memory_listener_register(&listener, NULL);
    memory_listener_unregister(NULL);
    memory_region_ref(NULL);
    memory_region_unref(NULL);
    memory_region_unref(&mr);
    refused(vhost_get_shmem_config(NULL, &nregions, sizes, &error), -EFAULT);
    CHECK(!vu_shmem_map(NULL, 0, 0, 0, PAGE, 0, 0));
    CHECK(!vu_shmem_unmap(NULL, 0, 0, PAGE));
}

static void silent(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
    (void)domain, (void)text, (void)user_data;
    CHECK((level & G_LOG_LEVEL_ERROR) == 0);
}

int main(void)
{
    g_log_set_default_handler(silent, NULL);
    device_and_region();
    front_end();
    channel();
    back_end();
    status();
    series();
    return 0;
}
