import { PCI_SLOT } from "./device-path.js";

export type Accelerator = "tcg" | "kvm";

/** File descriptors that a QEMU process gets beside the standard three: connected sockets. */
export const QMP_FD = 3;
export const CONSOLE_FD = 4;

export interface QemuCommand {
  name: string;
  uuid: string;
  mac: string;
  memoryMiB: number;
  cpus: number;
  accelerator: Accelerator;
  disk: string;
  extraDisks: string[];
  medium: string | null;
  homePort: number;
  /** DHCP option 67 for the guest: what iPXE runs. */
  bootFile: string | null;
  /** Folder of the user network's TFTP server, for firmware that knows only that. */
  tftpFolder: string | null;
  watchdog: boolean;
  pidFile: string;
  firmware: { kind: "bios"; order: string } | { kind: "uefi"; code: string; vars: string };
}

/** A comma ends a value in QEMU's option syntax, and is doubled to be part of it. */
const value = (text: string): string => text.replaceAll(",", ",,");

/**
 * TCG's plain CPU with what a boot image needs to be quick and safe: AES and hashing instructions for TLS, and a hardware
 * random number source, without which a fresh machine would wait for entropy.
 */
const TCG_CPU = "qemu64,+rdrand,+aes,+pclmulqdq,+ssse3,+sse4.1,+sse4.2,+popcnt";
/** MiB of translated code; QEMU's default may take 1 GiB of the host. */
const TCG_CACHE_MIB = 128;

/** The argument list of QEMU, without the program. It starts stopped: `cont` comes when its events are heard. */
export function qemuArguments(c: QemuCommand): string[] {
  const tcg = c.accelerator === "tcg";
  return [
    ...["-name", `pitstop-lab-${c.name}`, "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"],
    // graphics=off makes SeaBIOS and its option ROMs talk to the serial port.
    ...["-machine", "q35,graphics=off", "-accel", tcg ? `tcg,tb-size=${TCG_CACHE_MIB}` : "kvm"],
    ...["-cpu", tcg ? TCG_CPU : "host", "-smp", String(c.cpus), "-m", String(c.memoryMiB)],
    ...[
      "-uuid",
      c.uuid,
      "-smbios",
      `type=1,manufacturer=Pitstop,product=Lab machine,serial=${value(c.name)},uuid=${c.uuid}`,
    ],
    ...["-chardev", `socket,id=qmp,fd=${QMP_FD}`, "-mon", "chardev=qmp,mode=control"],
    ...["-chardev", `socket,id=console,fd=${CONSOLE_FD}`, "-serial", "chardev:console"],
    // A guest's reset ends QEMU, so that the BMC decides anew what it boots.
    ...["-S", "-action", "reboot=shutdown,watchdog=reset", "-pidfile", c.pidFile],
    ...firmwareArguments(c),
    ...diskArguments("disk", c.disk, PCI_SLOT.disk),
    ...c.extraDisks.flatMap((file, index) => diskArguments(`extra${index}`, file, PCI_SLOT.firstExtraDisk + index)),
    ...cdArguments(c.medium),
    ...networkArguments(c),
    ...(c.watchdog ? ["-device", `i6300esb,addr=${PCI_SLOT.watchdog}`] : []),
  ];
}

function firmwareArguments({ firmware }: QemuCommand): string[] {
  if (firmware.kind === "bios") return ["-boot", `order=${firmware.order},menu=off`];
  const flash = (file: string, access: string) => ["-drive", `if=pflash,format=raw,${access}file=${value(file)}`];
  return [...flash(firmware.code, "readonly=on,"), ...flash(firmware.vars, "")];
}

function diskArguments(id: string, file: string, slot: number): string[] {
  return [
    ...["-drive", `if=none,id=${id},format=raw,discard=ignore,file=${value(file)}`],
    ...["-device", `virtio-blk-pci,id=${id}-device,drive=${id},serial=${id},addr=${slot}`],
  ];
}

function cdArguments(medium: string | null): string[] {
  const drive = medium === null ? "" : `,format=raw,readonly=on,file=${value(medium)}`;
  return ["-drive", `if=none,id=cd-drive,media=cdrom${drive}`, "-device", "ide-cd,id=cd,bus=ide.0,drive=cd-drive"];
}

function networkArguments(c: QemuCommand): string[] {
  const forward = `hostfwd=tcp:127.0.0.1:${c.homePort}-:80`;
  const boot = c.bootFile === null ? "" : `,bootfile=${value(c.bootFile)}`;
  const tftp = c.tftpFolder === null ? "" : `,tftp=${value(c.tftpFolder)}`;
  // iPXE as an option ROM is the BIOS's network boot. Under UEFI it would hide how an EFI application goes home.
  const rom = c.firmware.kind === "uefi" ? ",romfile=" : "";
  return [
    ...["-netdev", `user,id=net,${forward}${boot}${tftp}`],
    ...["-device", `virtio-net-pci,netdev=net,mac=${c.mac},addr=${PCI_SLOT.nic}${rom}`],
  ];
}
