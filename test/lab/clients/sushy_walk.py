"""Drives a BMC with sushy, as OpenStack Ironic does: argv is URL, user, CA file, image; the password is on stdin."""

import json
import sys
import time

import sushy

url, user, ca, image = sys.argv[1:5]
root = sushy.Sushy(url, username=user, password=sys.stdin.readline().strip(), verify=ca)
system = root.get_system("/redfish/v1/Systems/1")
said = {"uuid": system.uuid, "power": [], "override": [], "nics": list(system.ethernet_interfaces.summary)}


def wait_for(state):
    for _ in range(100):
        system.refresh(force=True)
        if system.power_state == state:
            break
        time.sleep(0.05)
    said["power"].append(system.power_state.value)


def override():
    system.refresh(force=True)
    said["override"].append([system.boot.enabled.value, system.boot.target.value])


system.reset_system(sushy.ResetType.ON)
wait_for(sushy.PowerState.ON)
system.set_system_boot_options(
    sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.ONCE, mode=sushy.BootSourceOverrideMode.UEFI
)
override()
system.reset_system(sushy.ResetType.FORCE_OFF)
wait_for(sushy.PowerState.OFF)
override()
system.reset_system(sushy.ResetType.ON)
wait_for(sushy.PowerState.ON)
time.sleep(0.3)
override()

manager = root.get_manager("/redfish/v1/Managers/BMC")
slot = manager.virtual_media.get_members()[0]
slot.insert_media(image)
slot.refresh(force=True)
said["inserted"] = [slot.inserted, slot.image]
slot.eject_media()
slot.refresh(force=True)
said["ejected"] = [slot.inserted, slot.image]
said["secureBoot"] = system.secure_boot.enabled
json.dump(said, sys.stdout)
