/** The program that most scenarios deploy, fixtures/e2e/filter.bpf.c on eth0, and how the kernel is asked about it. */
import assert from "node:assert/strict";
import type { TestHost } from "../support/host";

export interface FilterOptions {
  /** UDP ports to drop. */
  ports: number[];
  version?: number;
  defines?: Record<string, string>;
  mapDataPolicy?: string;
  /** Text of more statements. */
  more?: string;
}

/** index.ts of a stack; config `connection` and `source`. */
export function filterProgram(options: FilterOptions): string {
  const { ports, version = 1, defines = {}, mapDataPolicy = "fail", more = "" } = options;
  const rows = ports.map((port) => ({ key: port, value: { action: "DROP", note: 0 } }));
  return `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const source = config.require("source");
const filter = new ebpf.Program("filter", {
  connection,
  source,
  defines: ${JSON.stringify(defines)},
  globals: { version: ${version} },
  mapDataPolicy: ${JSON.stringify(mapDataPolicy)},
});
const rows = new ebpf.MapEntries("ports", {
  map: filter.map("ports"),
  entries: ${JSON.stringify(rows)},
  mode: "authoritative",
});
const attachment = new ebpf.Attachment("filter-eth0", { program: filter, xdp: { interface: "eth0" } });
export const entrypoints = filter.entrypoints;
export const swappedLinks = filter.swappedLinks;
${more}
`;
}

/** Id of the XDP program on the host's eth0, as \`ip\` shows it. */
export async function programOnEth0(host: TestHost): Promise<number | undefined> {
  const [link] = await host.ip<{ xdp?: { prog?: { id: number } } }[]>("link", "show", "eth0");
  return link?.xdp?.prog?.id;
}

/** All pins of the host; `*.debug` are the kernel's own. */
export async function bpffsOf(host: TestHost): Promise<string[]> {
  const { stdout } = await host.exec(["find", "/sys/fs/bpf", "-type", "f", "!", "-name", "*.debug"]);
  return stdout.split("\n").filter((line) => line !== "");
}

/** For assert.rejects: the provider's errors, made a string, are their resource's name; the engine shows the message. */
export function says(pattern: RegExp): (error: Error) => true {
  return ({ message }) => {
    assert.match(message, pattern);
    return true;
  };
}
