/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_ERROR_H
#define VHUSHMEM_ERROR_H

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** The domain of every GError of this library. Its codes are errno values (positive). */
#define VHUSHMEM_ERROR (vhushmem_error_quark())

/**
 * Return the quark behind VHUSHMEM_ERROR.
 *
 * @returns the quark; the same one for the life of the process.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API GQuark vhushmem_error_quark(void);

G_END_DECLS

#endif
