/* SPDX-License-Identifier: BSD-3-Clause */
/* The front-end does not send a request whose protocol feature was not negotiated. The error names the feature. */
#include "device-rig.h"

int main(void)
{
    rig r;
    uint8_t byte = 0;
    device_rig_open(&r, 1, PROTOCOL_DEFAULTS & ~BIT(VHOST_USER_PROTOCOL_F_CONFIG));
    refused(vhushmem_frontend_get_config(r.frontend, 0, &byte, 1, &error), -EOPNOTSUPP, "GET_CONFIG", "CONFIG");
    refused(vhushmem_frontend_set_config(r.frontend, 0, &byte, 1, 0, &error), -EOPNOTSUPP, "SET_CONFIG");
    refused(vhushmem_frontend_get_device_status(r.frontend, &error), -EOPNOTSUPP, "GET_STATUS", "STATUS");
    refused(vhushmem_frontend_set_device_status(r.frontend, 1, &error), -EOPNOTSUPP, "SET_STATUS", "STATUS");
    HEARD(&r, "");
    rig_close(&r);

    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/nowhere", NULL, &error));
    refused(vhushmem_frontend_get_config(frontend, 0, &byte, 1, &error), -ENOTCONN);
    refused(vhushmem_frontend_start_device(frontend, 0, NULL, 0, &error), -ENOTCONN);
    refused(vhushmem_frontend_request(frontend, NET_SET_MTU, NULL, 0, NULL, 0, 0, NULL, NULL, NULL, &error), -ENOTCONN);
    vhushmem_frontend_free(frontend);
    return 0;
}
