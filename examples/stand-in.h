/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEMO_STAND_IN_H
#define DEMO_STAND_IN_H

/**
 * @file
 * The host does the guest's part with the device of backend.c, for the examples that have a
 * front-end and no guest.
 */

#include <vhushmem/vhushmem.h>

/**
 * Check whether the device has mapped all that it wants to show. If so, check each part of the
 * file, write down what was found, check that a read-only part cannot be written, and give the
 * device its answer. Call it again and again, because a change of memory wakes no process.
 *
 * @returns 1: the device has its answer, and will undo its mappings; 0: it has not mapped all yet;
 * a negative errno: something is wrong, and was printed.
 */
int stand_in_look(vhushmem_region *region);

#endif
