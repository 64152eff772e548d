/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loaded into QEMU 11.1.3, which ends by an assertion whenever it is asked for x-query-virtio-status: in its answer's
 * structure it omits a pointer that must not be NULL (backend-features). While the file FILL_IN_WHILE exists, zeroed memory
 * of FILL_IN_SIZE bytes from GLib has that pointer filled in: word FILL_IN_WORD has the address of FILL_IN_BYTES zeros.
 */
#include <stdlib.h>
#include <unistd.h>

void *g_malloc0(size_t size);

static size_t size_from_environment(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? strtoul(text, NULL, 0) : 0;
}

/* As in GLib: NULL for no bytes, and the process ends if there is no memory. g_free frees it. */
void *g_malloc0(size_t size)
{
    static size_t wanted;
    const char *file = getenv("FILL_IN_WHILE");
    void **made = size > 0 ? calloc(1, size) : NULL;

    if (size > 0 && made == NULL) {
        abort();
    }
    if (wanted == 0) {
        wanted = size_from_environment("FILL_IN_SIZE");
    }
    if (size > 0 && size == wanted && file != NULL && access(file, F_OK) == 0) {
        made[size_from_environment("FILL_IN_WORD")] = calloc(1, size_from_environment("FILL_IN_BYTES"));
    }
    return made;
}
