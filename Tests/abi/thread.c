/* SPDX-License-Identifier: BSD-3-Clause */
/* Loads, uses and closes the library in threads that end. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

static void *use(void *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        printf("not loaded: %s\n", dlerror());
        return path;
    }
    void *(*device_new)(const void *, void *) = (void *(*)(const void *, void *))dlsym(library, "vhushmem_device_new");
    void (*device_unref)(void *) = (void (*)(void *))dlsym(library, "vhushmem_device_unref");
    void *(*region_new)(void *, uint8_t, uint64_t, const void *, void *) =
        (void *(*)(void *, uint8_t, uint64_t, const void *, void *))dlsym(library, "vhushmem_region_new");
    if (device_new == NULL || device_unref == NULL || region_new == NULL) {
        printf("loaded, but not usable\n");
        return path;
    }
    void *device = device_new(NULL, NULL);
    void *region = region_new(device, 0, 1 << 20, NULL, NULL);
    device_unref(device);
    dlclose(library);
    return device != NULL && region != NULL ? NULL : path;
}

int main(int argc, char **argv)
{
    for (int i = 0; argc == 2 && i < 20; i++) {
        pthread_t thread;
        void *failed = argv[1];
        pthread_create(&thread, NULL, use, argv[1]);
        pthread_join(thread, &failed);
        if (failed != NULL) {
            printf("round %d failed\n", i);
            return 1;
        }
    }
    return argc == 2 ? 0 : 2;
}
