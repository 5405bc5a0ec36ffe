/** What an interface needs to have addresses and routes at all, by a real DHCP client and the kernel's own router discovery. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ethernet, frameOf } from "../../../../provider/network-policy/frames";
import { Daemon } from "../../../support/daemon";
import { until } from "../../../support/until";
import { internetChecksum, WireEnd } from "../../../support/wire";
import { closesEverything, ip } from "../../bpf/support";
import { PolicyHost } from "./support";

const LEASED = "10.98.0.100";
/** In seconds. */
const LEASE = 5;

describe("interfaces under a policy that allows nothing", function () {
  this.timeout(120_000);
  closesEverything();
  let at: PolicyHost;

  beforeEach(async () => {
    at = new PolicyHost();
    await apply(true);
  });
  afterEach(() => at.end());

  async function apply(infrastructure: boolean): Promise<void> {
    await at.apply(at.policy("nothing", { ingress: [], egress: [], infrastructure }));
    assert.ok(at.network.keptOut(80) && at.network.keptIn(80));
  }

  describe("with a DHCP server", () => {
    let folder: string;
    let server: Daemon;
    let client: Daemon | undefined;

    beforeEach(() => {
      folder = mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-dhcp-"));
      const settings = {
        ...{ start: LEASED, end: LEASED, interface: "veth1", lease_file: `${folder}/leases` },
        ...{
          pidfile: `${folder}/pid`,
          "option lease": LEASE,
          "option subnet": "255.255.255.0",
          min_lease: 1,
        },
      };
      const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}\n`);
      writeFileSync(path.join(folder, "udhcpd.conf"), lines.join(""));
      writeFileSync(path.join(folder, "leases"), "");
      const script =
        `case $1 in bound | renew)\n` +
        `  exec ip address replace $ip/$mask dev $interface valid_lft $lease preferred_lft $lease ;;\nesac\n`;
      writeFileSync(path.join(folder, "script"), `#!/bin/sh\n${script}`, { mode: 0o755 });
      serve();
    });
    afterEach(async () => {
      await client?.end();
      await server.end();
      rmSync(folder, { recursive: true });
    });

    function serve(): void {
      const config = path.join(folder, "udhcpd.conf");
      server = new Daemon((work) => at.network.outside(work), "busybox", "udhcpd", "-f", "-a", "100", config);
    }

    function ask(...options: string[]): Daemon {
      const script = path.join(folder, "script");
      const args = ["udhcpc", "-f", "-i", "veth0", "-s", script, "-t", "3", "-T", "1", "-A", "1", ...options];
      return (client = new Daemon((work) => at.network.inside(work), "busybox", ...args));
    }

    /** Seconds that the leased address has, as the kernel counts them; undefined: the address is not there. */
    function validSeconds(): number | undefined {
      const [shown] = at.network.inside(() => JSON.parse(ip("-j", "address", "show", "dev", "veth0"))) as [
        { addr_info: { local: string; valid_life_time: number }[] },
      ];
      return shown.addr_info.find(({ local }) => local === LEASED)?.valid_life_time;
    }

    it("49: a lease is had, runs out without the server, is had again, and renewed in time", async () => {
      const own = ask();
      const given = await until("the address is there", validSeconds);
      assert.ok(given <= LEASE, `${given} s`);
      await server.end();
      await until("the lease runs out", () => validSeconds() === undefined);
      serve();
      await until("the client asked whoever is there, and has its address back", validSeconds);
      const left = await until("some time passes", () => {
        const seconds = validSeconds() ?? 1;
        return seconds < LEASE && seconds;
      });
      // to the server alone, and from a socket of the kernel: broadcasts before went past it
      own.signal("SIGUSR1");
      await until("the lease is renewed", () => (validSeconds() ?? 0) > left);
      // which it also says, in its own time
      await until("the server has renewed it", () => server.count(/sending ACK to/g) >= 2);
    });

    it("50: with infrastructure: false there is none", async () => {
      await apply(false);
      assert.equal(await ask("-n", "-q").ended(), 1);
      assert.equal(validSeconds(), undefined);
      assert.equal(server.count(/sending OFFER/g), 0);
      await apply(true);
      assert.equal(await ask("-n", "-q").ended(), 0);
      assert.ok(validSeconds() !== undefined);
    });
  });

  describe("with others on the link", () => {
    let near: WireEnd;
    let far: WireEnd;

    beforeEach(async () => {
      near = await WireEnd.open((work) => at.network.inside(work), "veth0");
      far = await WireEnd.open((work) => at.network.outside(work), "veth1");
    });
    afterEach(async () => {
      await near.end();
      await far.end();
    });

    /** Whether it passes. The answer of the kernel is in `viaRouter`. */
    async function advertise(lifetime: number): Promise<boolean> {
      const [passed] = await far.send([routerAdvertisement(lifetime)], near);
      return passed!;
    }

    /** Whether the kernel would send by the router. */
    function viaRouter(): boolean {
      const routes = at.network.inside(() => JSON.parse(ip("-j", "-6", "route", "show", "default"))) as {
        gateway: string;
        protocol: string;
        expires?: number;
      }[];
      return routes.some(
        ({ gateway, protocol, expires = 0 }) => gateway === ROUTER && protocol === "ra" && expires > 0,
      );
    }

    it("48: the default route ends with the router's lifetime, and comes back with the next advertisement", async () => {
      assert.ok(!viaRouter());
      assert.equal(await advertise(2), true);
      await until("there is a default route", viaRouter);
      await until("the lifetime ends", () => !viaRouter());
      assert.equal(await advertise(1800), true);
      await until("the default route is back", viaRouter);
      assert.equal(await advertise(0), true);
      await until("the router says that it is none any more", () => !viaRouter());
    });

    it("49: a DHCPv6 client's messages get out and a server's in, and none the other way", async () => {
      const udp = { direction: "ingress", protocol: "UDP" } as const;
      const solicit = { source: "fe80::2", destination: "ff02::1:2", sourcePort: 546, destinationPort: 547 };
      const advertise = { source: ROUTER, destination: "fe80::2", sourcePort: 547, destinationPort: 546 };
      const ofClient = frameOf({ ...udp, ...solicit });
      const ofServer = frameOf({ ...udp, ...advertise });
      assert.deepEqual(await near.send([ofClient, ofServer], far), [true, false]);
      assert.deepEqual(await far.send([ofServer, ofClient], near), [true, false]);
      await apply(false);
      assert.deepEqual(await near.send([ofClient], far), [false]);
      assert.deepEqual(await far.send([ofServer], near), [false]);
    });

    it("50: with infrastructure: false no advertisement gets through", async () => {
      await apply(false);
      assert.equal(await advertise(1800), false);
      assert.ok(!viaRouter());
      await apply(true);
      assert.equal(await advertise(1800), true);
      await until("there is a default route", viaRouter);
    });
  });
});

const ROUTER = "fe80::9";

/** RFC 4861, 4.2. `lifetime` in seconds; 0: no default router. */
function routerAdvertisement(lifetime: number): Buffer {
  const message = Buffer.alloc(16);
  message.writeUInt8(134, 0);
  message.writeUInt8(64, 4);
  message.writeUInt16BE(lifetime, 6);
  const header = Buffer.alloc(40);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(message.length, 4);
  header.set([58, 255], 6);
  header.set([0xfe, 0x80], 8);
  header.writeUInt8(9, 23);
  header.set([0xff, 0x02], 24);
  header.writeUInt8(1, 39);
  // RFC 8200, 8.1: addresses, length and protocol, then the message
  const summed = Buffer.concat([
    header.subarray(8),
    Buffer.from([0, 0, 0, message.length, 0, 0, 0, 58]),
    message,
  ]);
  message.writeUInt16BE(internetChecksum(summed), 2);
  const frame = ethernet(0x86dd, Buffer.concat([header, message]));
  // to all nodes
  frame.set([0x33, 0x33, 0, 0, 0, 1]);
  return frame;
}
