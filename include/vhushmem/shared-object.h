/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_SHARED_OBJECT_H
#define VHUSHMEM_SHARED_OBJECT_H

/**
 * @file
 * Files that the devices of a VMM share with each other, by UUID (the protocol feature
 * SHARED_OBJECT): a back-end says that it has one (SHARED_OBJECT_ADD), another looks it up
 * (SHARED_OBJECT_LOOKUP) and is given a descriptor, which the first one is asked for
 * (GET_SHARED_OBJECT). The VMM may have objects of its own.
 *
 * A table is named in the options of each front-end that takes part. A back-end names at most 1024
 * objects; they go with its connection. A look-up is answered when the other back-end has answered;
 * its own requests wait until then, nobody else's do.
 *
 * Thread rule: one thread at a time for one table and all its front-ends.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * A new, empty table. @returns it with one reference, owned by the caller. Thread rule: any thread.
 * Since: 0.1
 */
VHUSHMEM_API vhushmem_shared_objects *vhushmem_shared_objects_new(void) VHUSHMEM_CHECK_RESULT;

/** Take one more reference. @returns the table. Thread rule: any thread.  Since: 0.1 */
VHUSHMEM_API vhushmem_shared_objects *vhushmem_shared_objects_ref(vhushmem_shared_objects *objects);

/** Give one reference back. Front-ends hold one each. Thread rule: any thread.  Since: 0.1 */
VHUSHMEM_API void vhushmem_shared_objects_unref(vhushmem_shared_objects *objects);

/**
 * Share a file of the VMM's.
 *
 * @param uuid  16 bytes, copied.
 * @param fd    duplicated.
 * @returns 0, or -EEXIST (the name is taken), -EBADF, -EMFILE, -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_shared_objects_add(vhushmem_shared_objects *objects, const uint8_t *uuid,
                                             int fd, GError **errp);

/**
 * Share a file of the VMM's no longer. Who has looked it up keeps what it got.
 *
 * @returns 0, or -ENOENT (there is none), -EPERM (it is a back-end's), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_shared_objects_remove(vhushmem_shared_objects *objects,
                                                const uint8_t *uuid, GError **errp);

/** How many objects there are, those of back-ends among them; or -EFAULT. Since: 0.1 */
VHUSHMEM_API int vhushmem_shared_objects_count(vhushmem_shared_objects *objects);

/* g_autoptr(vhushmem_shared_objects) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_shared_objects, vhushmem_shared_objects_unref)

G_END_DECLS

#endif
