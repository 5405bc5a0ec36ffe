/**
 * The systemd units of a host, and the udev rule, as shell text: what brings everything back at boot, and lets policies judge
 * interfaces that come later. Pure. Uses `put`, `has_systemd`, `$node` and `$dir` of host-setup.ts.
 *
 * udev only notes an interface; a unit starts the agent when there are notes, one process at a time, however many come
 * at once.
 */
import { RUN_ROOT, STATE_ROOT } from "./bootstrap";

const RESTORE = "pulumi-ebpf-restore.service";
/** `.path` and `.service`. */
const NEW_INTERFACES = "pulumi-ebpf-new-interfaces";
const UNITS = "/etc/systemd/system";
const RULES = "/etc/udev/rules.d/90-pulumi-ebpf.rules";
const NOTES = `${RUN_ROOT}/new-interfaces`;

export interface Units {
  /** Whether recorded programs are to come back at boot. */
  restoreAtBoot: boolean;
  /** Whether policies are to judge interfaces that come later. */
  coverNewInterfaces: boolean;
}

/** What was wanted once and is not any more goes. Prints `boot systemd|none` and `interfaces udev|none`. */
export function installUnits({ restoreAtBoot, coverNewInterfaces }: Units): string {
  return `
  if ${restoreAtBoot} && has_systemd; then
    put ${UNITS}/${RESTORE} 644 <<END
${restoreUnit}END
    systemctl daemon-reload
    systemctl enable ${RESTORE} >&2
    echo boot systemd
  else
    remove_unit ${RESTORE}
    echo boot none
  fi
  if ${coverNewInterfaces} && has_udev; then
    put ${UNITS}/${NEW_INTERFACES}.service 644 <<END
${newInterfacesUnit}END
    put ${UNITS}/${NEW_INTERFACES}.path 644 <<END
${newInterfacesPath}END
    put ${RULES} 644 <<END
${newInterfacesRule}END
    systemctl daemon-reload
    systemctl enable --now ${NEW_INTERFACES}.path >&2
    udevadm control --reload
    echo interfaces udev
  else
    remove_new_interfaces
    echo interfaces none
  fi`;
}

export const unitFunctions = `
has_systemd() { [ -d /run/systemd/system ]; }
has_udev() { has_systemd && [ -S /run/udev/control ] && command -v udevadm >/dev/null; }
remove_unit() {
  [ -e ${UNITS}/$1 ] || return 0
  ! has_systemd || systemctl disable --now $1 >&2
  rm -f ${UNITS}/$1
  ! has_systemd || systemctl daemon-reload
}
remove_new_interfaces() {
  rm -f ${RULES}
  ! has_udev || udevadm control --reload
  remove_unit ${NEW_INTERFACES}.path
  remove_unit ${NEW_INTERFACES}.service
}`;

export const removeUnits = `
  remove_unit ${RESTORE}
  remove_new_interfaces`;

/** `Restart`: an interface may come later than the unit. */
const restoreUnit = `[Unit]
Description=eBPF programs, maps and attachments of pulumi-ebpf, as before the boot
After=network.target
ConditionPathExists=$dir/agent.js

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$node $dir/agent.js restore
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;

/** A path unit looks again when its service has ended. */
const newInterfacesPath = `[Unit]
Description=Network interfaces that have come since pulumi-ebpf last looked

[Path]
DirectoryNotEmpty=${NOTES}
MakeDirectory=yes
DirectoryMode=0700

[Install]
WantedBy=multi-user.target
`;

/** It takes the notes first: one that fails is not started over and over. */
const newInterfacesUnit = `[Unit]
Description=Network policies of pulumi-ebpf on interfaces that have just come
After=${RESTORE}
ConditionPathExists=$dir/agent.js
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=$node $dir/agent.js restore --new-interfaces
`;

/** No shell: an interface's name may have what one would act upon. A host that never had a policy starts no agent. */
const newInterfacesRule = `# Written by ebpf.Host of pulumi-ebpf
ACTION=="add|move", SUBSYSTEM=="net", TEST=="${STATE_ROOT}/network-policy", RUN+="$(command -v touch) ${NOTES}/%k"
`;
