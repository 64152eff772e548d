/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VERSION_H
#define VHUSHMEM_VERSION_H

#include <vhushmem/base.h>

G_BEGIN_DECLS

#define VHUSHMEM_VERSION_MAJOR 0
#define VHUSHMEM_VERSION_MINOR 9
#define VHUSHMEM_VERSION_MICRO 0

/** The version of the headers: major * 1000000 + minor * 1000 + micro. */
#define VHUSHMEM_VERSION                                                                           \
    (VHUSHMEM_VERSION_MAJOR * 1000000 + VHUSHMEM_VERSION_MINOR * 1000 + VHUSHMEM_VERSION_MICRO)

/**
 * Return the version of the loaded library, encoded like VHUSHMEM_VERSION. Compare the two to see
 * whether the headers and the library belong together.
 *
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API uint32_t vhushmem_version(void);

/**
 * Return the version of the loaded library as text ("0.9.0").
 *
 * @returns a constant string, never NULL.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API const char *vhushmem_version_string(void);

G_END_DECLS

#endif
