/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VERSION_H
#define VHUSHMEM_VERSION_H

#include <vhushmem/base.h>

G_BEGIN_DECLS

#define VHUSHMEM_VERSION_MAJOR 0
#define VHUSHMEM_VERSION_MINOR 1
#define VHUSHMEM_VERSION_MICRO 0

/** major * 1000000 + minor * 1000 + micro, of the headers. */
#define VHUSHMEM_VERSION                                                                           \
    (VHUSHMEM_VERSION_MAJOR * 1000000 + VHUSHMEM_VERSION_MINOR * 1000 + VHUSHMEM_VERSION_MICRO)

/**
 * The version of the library that is loaded, encoded as VHUSHMEM_VERSION is: compare the two to see
 * whether the headers and the library belong together.
 *
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API uint32_t vhushmem_version(void);

/**
 * The version of the library that is loaded, as text ("0.1.0").
 *
 * @returns a constant string, never NULL.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API const char *vhushmem_version_string(void);

G_END_DECLS

#endif
