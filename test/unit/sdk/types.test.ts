/** What the compiler holds: these tests fail in `tsc`, and run only so that the file is not forgotten. */
import assert from "node:assert/strict";
import type { types as command } from "@pulumi/command";
import type * as pulumi from "@pulumi/pulumi";
import type * as z from "zod";
import type { AttachmentInputs } from "../../../provider/resources/attachment";
import type { CommonInputs } from "../../../provider/resources/resource";
import type { MapInputs } from "../../../provider/resources/map";
import type { MapEntriesInputs } from "../../../provider/resources/map-entries";
import type { CheckedMapRef, CheckedProgramRef } from "../../../provider/resources/references";
import type { ProgramInputs } from "../../../provider/resources/program";
import type { hooks } from "../../../provider/resources/attachments";
import type { connectionSchema, proxySchema } from "../../../provider/transport/connection";
import type {
  AttachmentArgs,
  CgroupArgs,
  ConnectionArgs,
  EntrypointRef,
  MapArgs,
  MapEntriesArgs,
  MapRef,
  ProgramArgs,
  ProxyConnectionArgs,
  RawTracepointArgs,
  TcArgs,
  TcxArgs,
  TracepointArgs,
  XdpArgs,
} from "../../../sdk/nodejs";

type Same<A, B> = [A] extends [B]
  ? [B] extends [A]
    ? true
    : { missing: Exclude<B, A> }
  : { extra: Exclude<A, B> };
const holds = <Claim extends true>(_claim?: Claim): void => undefined;

/** Inputs that users write: not those that the SDK sends by itself. */
type Written<Inputs, Own extends string = never> = Exclude<keyof Inputs, "specId" | "drift" | Own>;
type HookInputs<Name extends keyof typeof hooks> = keyof z.output<(typeof hooks)[Name]["inputs"]>;

describe("types of the SDK", () => {
  it("take the connection of @pulumi/command as it is", () => {
    type Theirs = command.input.remote.ConnectionArgs;
    const give = (connection: Theirs): ConnectionArgs => connection;
    const giveInput = (connection: pulumi.Input<Theirs>): pulumi.Input<ConnectionArgs> => connection;
    assert.deepEqual(
      [give, giveInput].map((identity) => identity({ host: "edge-1" })),
      [{ host: "edge-1" }, { host: "edge-1" }],
    );
  });

  it("have the properties of the schemas", () => {
    holds<Same<keyof ProgramArgs, Written<ProgramInputs>>>();
    holds<Same<keyof MapArgs, Written<MapInputs>>>();
    // the SDK knows by itself whether rows are secret, and takes the connection from the map or program
    holds<Same<keyof MapEntriesArgs, Written<MapEntriesInputs, "connection" | "hosts" | "secret">>>();
    holds<Same<keyof AttachmentArgs, Written<AttachmentInputs, "connection" | "hosts">>>();
    holds<Same<keyof ConnectionArgs, keyof z.output<typeof connectionSchema>>>();
    holds<Same<keyof ProxyConnectionArgs, keyof z.output<typeof proxySchema>>>();
    holds<Same<keyof XdpArgs, HookInputs<"xdp">>>();
    holds<Same<keyof TcxArgs, HookInputs<"tcx">>>();
    holds<Same<keyof TcArgs, HookInputs<"tc">>>();
    holds<Same<keyof CgroupArgs, HookInputs<"cgroup">>>();
    holds<Same<keyof TracepointArgs, HookInputs<"tracepoint">>>();
    holds<Same<keyof RawTracepointArgs, HookInputs<"rawTracepoint">>>();
    holds<Same<keyof EntrypointRef, keyof CheckedProgramRef | "connection" | "hosts">>();
    holds<Same<keyof MapRef, keyof CheckedMapRef | "connection" | "hosts">>();
    holds<
      Same<
        keyof CommonInputs,
        "connection" | "hosts" | "specId" | "drift" | "onUnreachable" | "onUnreachableReason" | "confirm"
      >
    >();
  });
});
