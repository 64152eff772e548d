/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_STATISTICS_H
#define VHUSHMEM_VIRTIOFS_STATISTICS_H

/*
 * How many requests of each kind came. They are counted always; SIGUSR1 has them printed, and with
 * --statistics they are printed when the guest unmounts or the front-end goes.
 */

#include <stddef.h>
#include <stdint.h>

/** One more request. An opcode that has no name counts as `other`. */
void statistics_count(uint32_t opcode);

/** So many mappings are there now. */
void statistics_mapped(size_t count);

/**
 * Prints one line to standard error: what was counted until now, and that `live` mappings are
 * there.
 */
void statistics_tell(size_t live);

/** Prints one line to standard error if anything was counted, and begins anew. */
void statistics_print(void);

#endif
