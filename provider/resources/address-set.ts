/** AddressSet: networks with a name, given in the program or in a file, for the rules of any policy on the host. */
import * as z from "zod";
import { cidrSchema } from "../network-policy/model";
import type { TextContent } from "../protocol/policy";
import { SPEC_FORMAT } from "../protocol/spec";
import type { LinesSource } from "../sources/source";
import { commonInputs, type ResourceDefinition } from "./resource";
import { isKnown, UNKNOWN } from "./unknown";

/** Longest set. */
const MOST_NETWORKS = 1_000_000;

const inputs = z
  .strictObject({
    ...commonInputs,
    cidrs: z
      .array(cidrSchema)
      .max(MOST_NETWORKS)
      .optional()
      .meta({
        description:
          "Networks, IPv4 and IPv6. They lie in the state: give thousands in a file. Networks may overlap, and repeat.",
        example: ["198.51.100.0/24", "2001:db8:7::/48"],
      }),
    file: z
      .string()
      .min(1)
      .optional()
      .meta({
        description:
          "Path of a file of networks, relative to the program: one CIDR a line, `#` begins a comment, blank lines are " +
          `skipped, at most ${MOST_NETWORKS.toLocaleString("en-US")}. Only its digest lies in the state.`,
        example: "./blocklist.txt",
      }),
  })
  .superRefine(({ cidrs, file }, context) => {
    if ((cidrs === undefined) !== (file === undefined)) return;
    context.addIssue({ code: "custom", path: ["cidrs"], message: "give either cidrs or file" });
  });

export type AddressSetInputs = z.output<typeof inputs>;

export interface CheckedAddressSet extends AddressSetInputs {
  /** What the networks are, without them. */
  content: TextContent;
}

export const addressSet: ResourceDefinition<AddressSetInputs, CheckedAddressSet> = {
  kind: "AddressSet",
  inputs,
  sources(args) {
    const { cidrs = [], file } = args;
    if (file !== undefined) return [{ kind: "networks", property: "file", file, most: MOST_NETWORKS }];
    const { content } = args as Partial<CheckedAddressSet>;
    const made = content === undefined ? {} : { manifest: content.manifest };
    return [{ kind: "lines", property: "cidrs", what: "networks", lines: () => cidrs, ...made }];
  },
  resolve(args, [source]) {
    const { manifest, count } = source as LinesSource;
    return { checked: { ...args, content: { manifest, count } } };
  },
  compile: ({ specId, content }) => ({
    format: SPEC_FORMAT,
    id: specId,
    objects: [],
    maps: [],
    entries: [],
    links: [],
    addressSet: { networks: content },
  }),
  held: {
    cidrs: {
      content: ({ file, content }) => (file === undefined ? content : undefined),
      fromLines: (lines) => lines,
    },
  },
  changes({ content: before }, { content: after }) {
    if (!isKnown(before) || !isKnown(after) || before.manifest === after.manifest) return [];
    const [olds, news] = [before, after].map(({ count }) => count.toLocaleString("en-US"));
    return [
      before.count === after.count ? `other networks, ${news} as before` : `${news} networks, ${olds} before`,
    ];
  },
  outputs: (_checked, { addressSet }) => ({ status: addressSet ?? null }),
  preview: (checked) => ({ ...(checked === undefined ? { content: UNKNOWN } : {}), status: UNKNOWN }),
  refs: ({ specId }) => ({ ref: specId }),
  version: ({ cidrs: _cidrs, file: _file, ...checked }) => checked,
};
