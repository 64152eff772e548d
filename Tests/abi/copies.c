/* Two copies of the library in one process, for example one that is linked and one that is loaded. Each has its own budget
   and its own guard. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

#define CHECK(condition)                                                                                                       \
    do {                                                                                                                       \
        if (!(condition)) {                                                                                                    \
            printf("copies.c:%d: not so: %s\n", __LINE__, #condition);                                                         \
            exit(1);                                                                                                           \
        }                                                                                                                      \
    } while (0)

struct copy {
    void *library;
    vhushmem_device *device;
    vhushmem_region *region;
};

#define CALL(copy, name) ((__typeof__(&name))dlsym((copy)->library, #name))

static int file_of(off_t size)
{
    int fd = memfd_create("copies", MFD_CLOEXEC);

    CHECK(fd >= 0 && ftruncate(fd, size) == 0);
    return fd;
}

static struct copy make(const char *path)
{
    struct copy copy = {.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};

    CHECK(copy.library != NULL);
    copy.device = CALL(&copy, vhushmem_device_new)(NULL, NULL);
    copy.region = CALL(&copy, vhushmem_region_new)(copy.device, 1, 64 * 4096, NULL, NULL);
    CHECK(copy.device != NULL && copy.region != NULL);
    return copy;
}

/* Maps every second page, so that each takes its own mappings. Returns how many maps succeeded. */
static int fill(struct copy *copy, int fd)
{
    int done = 0;

    while (done < 32 && CALL(copy, vhushmem_region_map)(copy->region, fd, 0, (uint64_t)done * 8192, 4096, 0, NULL) == 0) {
        done++;
    }
    return done;
}

static void touch_what_is_lost(struct copy *copy)
{
    int fd = file_of(4096);
    volatile const char *byte;

    CHECK(CALL(copy, vhushmem_region_unmap_all)(copy->region) >= 0);
    CHECK(CALL(copy, vhushmem_region_map)(copy->region, fd, 0, 0, 4096, 0, NULL) == 0);
    CHECK(ftruncate(fd, 0) == 0);
    byte = CALL(copy, vhushmem_region_window)(copy->region);
    CHECK(*byte == 0); /* this copy's guard has put a page of zeros there */
    close(fd);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    struct copy one = make(argv[1]), other = make(argv[2]);
    int fd = file_of(4096);

    CHECK(CALL(&one, vhushmem_device_new) != CALL(&other, vhushmem_device_new));
    /* A limit holds for one copy. */
    CHECK(CALL(&one, vhushmem_process_budget_set)(8, 0) == 0);
    CHECK(fill(&one, fd) < 8);
    CHECK(fill(&other, fd) == 32);
    CHECK(CALL(&one, vhushmem_process_budget_set)(0, 0) == 0);
    /* Each has a handler, and passes on signals that are not its own. */
    CHECK(CALL(&one, vhushmem_guard_install)(NULL) == 0 && CALL(&other, vhushmem_guard_install)(NULL) == 0);
    touch_what_is_lost(&one);
    touch_what_is_lost(&other);
    touch_what_is_lost(&one);
    puts("both copies work");
    return 0;
}
