/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEMO_STAND_IN_H
#define DEMO_STAND_IN_H

/**
 * @file What a guest would do with the device of backend.c, done by the host: the examples that
 * show a front-end and no guest use it.
 */

#include <vhushmem/vhushmem.h>

/**
 * See whether the device has mapped all it wants to show; if so check each part of the file, write
 * down what was found, see that a read-only part can't be written, and give the device its answer.
 * To be called again and again, since memory wakes nobody.
 *
 * @returns 1: the device has its answer, and will undo its mappings; 0: it is not so far; a
 * negative errno: something is not as it
 *          should be, and was printed.
 */
int stand_in_look(vhushmem_region *region);

#endif
