/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The JSON of protocol features has QMP's keys in QMP's order, with the library's own texts, byte for byte.
 * Tests/interop/qemu-sid-status.py asks a QEMU whether QMP has these keys and this order.
 */
#include "harness.h"

static void tells(uint64_t features, const char *wanted)
{
    char *json = some(vhushmem_protocol_features_to_json(features));
    if (strcmp(json, wanted) != 0) {
        FAIL("%s, not %s", json, wanted);
    }
    g_free(json);
}

int main(void)
{
    char **strings = some(vhushmem_protocol_features_to_strings(UINT64_C(0x400001), NULL));
    char *two = g_strdup_printf("{\"protocols\":[\"%s\",\"%s\"]}", strings[1], strings[0]);
    tells(0, "{\"protocols\":[]}");
    tells(UINT64_C(0x400001), two);
    tells(UINT64_C(1) << 63, "{\"protocols\":[],\"unknown-protocols\":9223372036854775808}");
    g_strfreev(strings);
    g_free(two);
    return 0;
}
