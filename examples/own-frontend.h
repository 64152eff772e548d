/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEMO_OWN_FRONTEND_H
#define DEMO_OWN_FRONTEND_H

/**
 * @file The least of a vhost-user front-end that is the VMM's own, as QEMU and others have one: no
 * function of the library is in it. It shakes hands on the main connection and makes the back-end
 * channel; who serves the channel is what the examples are about.
 *
 * Functions that return int return 0 or a negative errno, and have printed why. They wait, but not
 * for ever.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vhushmem/vhost-user.h>

struct own_frontend {
    int main; /**< the connection to the back-end */
    /* our end of the back-end channel; -1: somebody has taken it over */
    int channel;
    uint64_t protocol_features; /**< what both sides agreed on */
    VhostUserShMemConfig config;
};

/**
 * Connect, and shake hands up to GET_SHMEM_CONFIG. With its answer the device may begin to map: it
 * then waits for the answers on the channel, so nothing may be asked of it any more that it would
 * have to answer before.
 */
int own_frontend_connect(struct own_frontend *frontend, const char *socket_path);

/**
 * Send RESET_DEVICE and ask for an acknowledgement. Serve the channel until `main` is readable,
 * then call the other.
 */
int own_frontend_send_reset(struct own_frontend *frontend);
int own_frontend_receive_reset(struct own_frontend *frontend);

/** Close what is still open. */
void own_frontend_close(struct own_frontend *frontend);

#endif
