/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_SHARED_OBJECT_H
#define VHUSHMEM_SHARED_OBJECT_H

/**
 * @file
 * Files that the devices of a VMM share with each other, by UUID (the protocol feature
 * SHARED_OBJECT). A back-end says that it has an object (SHARED_OBJECT_ADD). Another back-end looks
 * it up (SHARED_OBJECT_LOOKUP). The front-end asks the first one for a descriptor
 * (GET_SHARED_OBJECT) and gives it to the second. The VMM may have objects of its own.
 *
 * Name the table in the options of each front-end that takes part. A back-end names at most 1024
 * objects; they go with its connection. The front-end answers a look-up when the other back-end has
 * answered. Until then the requests of the back-end that looked up wait, and those of all others go
 * on.
 *
 * Thread rule: one thread at a time for one table and all its front-ends.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * Make an empty table. @returns the table with one reference, owned by the caller. Thread rule: any
 * thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_shared_objects *vhushmem_shared_objects_new(void) VHUSHMEM_CHECK_RESULT;

/** Take one more reference. @returns the table. Thread rule: any thread.  Since: 0.9 */
VHUSHMEM_API vhushmem_shared_objects *vhushmem_shared_objects_ref(vhushmem_shared_objects *objects);

/**
 * Give one reference back. Each front-end of the table has one. Thread rule: any thread.  Since:
 * 0.9
 */
VHUSHMEM_API void vhushmem_shared_objects_unref(vhushmem_shared_objects *objects);

/**
 * Share a file of the VMM.
 *
 * @param uuid  16 bytes, copied.
 * @param fd    duplicated.
 * @returns 0, or -EEXIST (the name is taken), -EBADF, -EMFILE, -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_shared_objects_add(vhushmem_shared_objects *objects, const uint8_t *uuid,
                                             int fd, GError **errp);

/**
 * Stop sharing a file of the VMM. A back-end that has looked it up keeps its descriptor.
 *
 * @returns 0, or -ENOENT (there is none), -EPERM (it is a back-end's), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_shared_objects_remove(vhushmem_shared_objects *objects,
                                                const uint8_t *uuid, GError **errp);

/** Count the objects, those of back-ends included. @returns the count, or -EFAULT. Since: 0.9 */
VHUSHMEM_API int vhushmem_shared_objects_count(vhushmem_shared_objects *objects);

/* g_autoptr(vhushmem_shared_objects) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_shared_objects, vhushmem_shared_objects_unref)

G_END_DECLS

#endif
