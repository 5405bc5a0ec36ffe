/** Interfaces that policies select, resolved now: names, globs and `defaultRoute`, in the host's or another namespace. */
import fs from "node:fs";
import {
  HARDWARE_TYPES,
  defaultRouteInterfaces,
  interfaceAddresses,
  networkInterfaces,
  type NetworkInterface,
} from "../../bpf";
import { formatAddress } from "../../btf";
import { EbpfError } from "../../errors";
import { inNetns, netnsPath } from "../hooks/netns";

/** A network namespace as it is now. */
export interface Namespace {
  /** Path; absent: the host's. */
  netns?: string;
  interfaces: NetworkInterface[];
  defaultRoutes: number[];
  /** Addresses of the host there, sorted text; without those of 127.0.0.0/8 and ::1, which never leave it. */
  self: string[];
}

/** One path for every spelling of a namespace; `undefined` for the host's own. */
export function canonicalNetns(netns: string | undefined): string | undefined {
  if (netns === undefined) return undefined;
  const path = netnsPath(netns);
  const [own, other] = ["/proc/self/ns/net", path].map((file) =>
    fs.statSync(file, { throwIfNoEntry: false }),
  );
  return own !== undefined && own.ino === other?.ino && own.dev === other.dev ? undefined : path;
}

/** Fails with `not-found` where there is no such namespace. */
export function readNamespace(netns: string | undefined): Namespace {
  return inNetns(netns === undefined ? {} : { netns }, () => ({
    ...(netns === undefined ? {} : { netns }),
    interfaces: networkInterfaces(),
    defaultRoutes: defaultRouteInterfaces(),
    self: [
      ...new Set(
        interfaceAddresses()
          .map(({ address }) => formatAddress(address))
          .filter((address) => address !== "::1" && !address.startsWith("127.")),
      ),
    ].sort(),
  }));
}

/** Addresses on some interfaces of a namespace. */
export function addressesOf(netns: string | undefined, names: readonly string[]): string[] {
  return inNetns(netns === undefined ? {} : { netns }, () => {
    const chosen = networkInterfaces().filter(({ name }) => names.includes(name));
    return interfaceAddresses()
      .filter(({ ifindex }) => chosen.some((one) => one.ifindex === ifindex))
      .map(({ address }) => formatAddress(address));
  });
}

/** What one selector matches; loopback interfaces only by their name. */
export function matching(selector: string, { interfaces, defaultRoutes }: Namespace): NetworkInterface[] {
  if (selector === "defaultRoute") {
    return interfaces.filter((one) => defaultRoutes.includes(one.ifindex) && !isLoopback(one));
  }
  if (!isGlob(selector)) return interfaces.filter(({ name }) => name === selector);
  const escaped = selector.replace(/[\\^$.+()|[\]{}]/g, "\\$&");
  const pattern = new RegExp(`^${escaped.replace(/\*/g, ".*").replace(/\?/g, ".")}$`, "su");
  return interfaces.filter((one) => pattern.test(one.name) && !isLoopback(one));
}

export function isGlob(selector: string): boolean {
  return /[*?]/.test(selector);
}

export function isLoopback({ hardwareType }: NetworkInterface): boolean {
  return hardwareType === HARDWARE_TYPES.loopback;
}

/** Whether its frames begin with an Ethernet header: tunnels, WireGuard and PPP have none. */
export function hasLinkHeader({ hardwareType }: NetworkInterface): boolean {
  return hardwareType === HARDWARE_TYPES.ether;
}

/** Everything that is wrong with what a policy selects. */
export function selectorProblems(
  id: string,
  selectors: readonly string[],
  namespace: Namespace,
): EbpfError[] {
  const where = namespace.netns === undefined ? "" : ` in network namespace ${namespace.netns}`;
  const problems = selectors.flatMap((selector, index): EbpfError[] => {
    const found = matching(selector, namespace);
    const property = `interfaces[${index}]`;
    if (found.some(isLoopback)) {
      const message = `judge ${selector} by ${id}: packets of a loopback interface are never judged`;
      return [new EbpfError("invalid", message, {}, { property, remedy: "name another interface" })];
    }
    if (found.length > 0 || isGlob(selector)) return [];
    const what = selector === "defaultRoute" ? "there is no default route" : "no such interface";
    return [
      new EbpfError(
        "not-found",
        `judge ${selector}${where} by ${id}: ${what}`,
        { what: "interface", name: selector },
        { property },
      ),
    ];
  });
  if (problems.length > 0 || selectors.some((selector) => matching(selector, namespace).length > 0))
    return problems;
  const names = namespace.interfaces.map(({ name }) => name).join(", ");
  return [
    new EbpfError(
      "not-found",
      `judge ${selectors.join(", ")}${where} by ${id}: no interface matches; there are ${names}`,
      { what: "interface", name: selectors.join(", ") },
      { property: "interfaces" },
    ),
  ];
}
