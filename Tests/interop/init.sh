#!/bin/busybox sh
# The first program of a guest: loads the modules that were packed, and has a shell on the serial line.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /mnt /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "init: $module is not loaded"
done
echo GUEST IS UP
exec setsid cttyhack sh
