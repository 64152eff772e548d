/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEMO_OWN_FRONTEND_H
#define DEMO_OWN_FRONTEND_H

/**
 * @file
 * The smallest vhost-user front-end of a VMM, as QEMU and others have one. It uses no function of
 * the library. It does the handshake on the main connection and makes the back-end channel. The
 * examples show who can serve the channel.
 *
 * A function that returns int returns 0 or a negative errno, and has printed the reason. Each wait
 * has a time limit.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vhushmem/vhost-user.h>

struct own_frontend {
    int main; /**< the connection to the back-end */
    /* our end of the back-end channel; -1: another owner has it now */
    int channel;
    uint64_t protocol_features; /**< what both sides agreed on */
    VhostUserShMemConfig config;
};

/**
 * Connect, and do the handshake up to GET_SHMEM_CONFIG. After its answer the device may begin to
 * map. Then it waits for answers on the channel, and it would not answer another request meanwhile:
 * send it none that you must wait for.
 */
int own_frontend_connect(struct own_frontend *frontend, const char *socket_path);

/**
 * Send RESET_DEVICE and ask for an acknowledgement. Serve the channel until `main` is readable,
 * then call own_frontend_receive_reset.
 */
int own_frontend_send_reset(struct own_frontend *frontend);
int own_frontend_receive_reset(struct own_frontend *frontend);

/** Close what is still open. */
void own_frontend_close(struct own_frontend *frontend);

#endif
