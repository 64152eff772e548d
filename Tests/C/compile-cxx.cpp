/* SPDX-License-Identifier: BSD-3-Clause */
/* The headers are clean C++ and link as C: a device, a region and a mapping, in C++17. */
#include <vhushmem/vhushmem.h>
#include <vhushmem/series.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace
{
struct Unref {
    void operator()(vhushmem_device *device) const { vhushmem_device_unref(device); }
    void operator()(GError *error) const { g_error_free(error); }
};
} // namespace

int main()
{
    static_assert(sizeof(VhostUserMMap) == 40 && sizeof(VhostUserShMemConfig) == 2056, "sizes on the wire");
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    GError *error = nullptr;
    vhushmem_region_options options{};
    options.struct_size = sizeof(options);
    options.holes = VHUSHMEM_HOLES_ZERO;
    std::unique_ptr<vhushmem_device, Unref> device{vhushmem_device_new(nullptr, &error)};
    vhushmem_region *region = vhushmem_region_new(device.get(), 0, 16 * page, &options, &error);
    int fd = memfd_create("test", MFD_CLOEXEC);
    if (region == nullptr || fd < 0 || ftruncate(fd, static_cast<off_t>(page)) != 0 || pwrite(fd, "hello", 6, 0) != 6) {
        std::fprintf(stderr, "no region or no file\n");
        return 1;
    }
    if (vhushmem_region_map(region, fd, 0, page, page, VHOST_USER_FLAG_MAP_RW, &error) != 0) {
        std::fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    const auto *seen = static_cast<const char *>(vhushmem_region_translate(region, page, 6, false));
    if (seen == nullptr || std::strcmp(seen, "hello") != 0) {
        std::fprintf(stderr, "the window does not show the file\n");
        return 1;
    }
    VirtioSharedMemory *same = virtio_find_shmem_region(device.get(), 0);
    if (same != region || virtio_find_shmem_map(same, page, page) == nullptr) {
        std::fprintf(stderr, "the series does not see it\n");
        return 1;
    }
    if (vhushmem_region_map(region, fd, 0, page, page, 0, &error) != -EEXIST) {
        std::fprintf(stderr, "an overlap was not refused\n");
        return 1;
    }
    std::unique_ptr<GError, Unref> refusal{error};
    close(fd);
    return refusal != nullptr && refusal->domain == VHUSHMEM_ERROR && refusal->code == EEXIST ? 0 : 1;
}
