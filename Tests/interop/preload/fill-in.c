/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loaded into QEMU 11.1.3, which ends by an assertion whenever it is asked for x-query-virtio-status: in the structure that it answers with
 * it leaves a pointer out that must not be NULL (backend-features). While the file FILL_IN_WHILE exists, memory that GLib is asked for by
 * FILL_IN_SIZE bytes, zeroed, comes with that pointer filled in: at word FILL_IN_WORD it has the address of FILL_IN_BYTES zeros.
 */
#include <stdlib.h>
#include <unistd.h>

void *g_malloc0(size_t size);

static size_t size_from_environment(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? strtoul(text, NULL, 0) : 0;
}

/* As GLib's: NULL for no bytes, and the end where there is no memory. g_free gives it back. */
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
