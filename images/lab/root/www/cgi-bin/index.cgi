#!/bin/sh
# The home check: who this is, which boot this is, and what a user left here.
printf 'Content-Type: application/json\r\nCache-Control: no-store\r\n\r\n'
printf '{"machineId":"%s","bootId":"%s","bootCount":%s,"userFileSha256":"%s","hostname":"%s"}\n' \
  "$(cat /etc/machine-id)" "$(cat /proc/sys/kernel/random/boot_id)" "$(cat /var/lib/lab/boot-count)" \
  "$(sha256sum < /home/user/notes.txt | cut -d ' ' -f 1)" "$(hostname)"
