#!/bin/busybox sh
# The first program of a guest. It loads the packed modules. If the kernel's command line names a disk (root=/dev/vda), it goes on from the
# root of that disk. Then it starts a shell on the serial line.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /mnt /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
if [ -e /modules/order ]; then
    for module in $(cat /modules/order); do
        insmod "/modules/$module" || echo "init: $module is not loaded"
    done
    # A disk for the root has this program as its /init.
    root=$(sed -n 's/.*root=\([^ ]*\).*/\1/p' /proc/cmdline)
    if [ -n "$root" ]; then
        mount "$root" /mnt && umount /proc /sys /dev && exec switch_root /mnt /init
    fi
fi
echo GUEST IS UP
exec setsid cttyhack sh
