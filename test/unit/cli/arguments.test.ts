import assert from "node:assert/strict";
import { readArguments } from "../../../provider/cli/arguments";
import type { Command } from "../../../provider/cli/command";
import { EbpfError } from "../../../provider/errors";
import { readSettings } from "../../../provider/lifecycle/credentials";

const command = (...operands: string[]): Command => ({
  operands,
  run: () => Promise.reject(new Error("not run here")),
});
const commands = {
  ls: command("HOST"),
  inspect: command("HOST", "ID"),
  types: command("OBJECT"),
  follow: command("HOST", "[HOST…]"),
};

function read(args: string, environment: NodeJS.ProcessEnv = {}) {
  return readArguments(
    args.split(" ").filter((word) => word !== ""),
    commands,
    readSettings(() => undefined, environment),
  );
}

function connectionOf(args: string, environment: NodeJS.ProcessEnv = {}): unknown {
  const line = read(args, environment);
  assert.ok(typeof line === "object");
  return line.connections[0];
}

/** `property: reason` of everything that is wrong. */
function problemsOf(args: string): string[] {
  try {
    read(args);
  } catch (error) {
    assert.ok(EbpfError.is(error, "invalid"));
    return error.context.problems!.map(({ property, reason }) => `${property}: ${reason}`);
  }
  return [];
}

describe("the command line", () => {
  it("names a host by address, user and port", () => {
    assert.deepEqual(connectionOf("ls edge"), { host: "edge" });
    assert.deepEqual(connectionOf("ls deploy@edge:2222"), { host: "edge", user: "deploy", port: 2222 });
    assert.deepEqual(connectionOf("ls deploy@[2001:db8::1]:2222"), {
      host: "2001:db8::1",
      user: "deploy",
      port: 2222,
    });
  });

  it("takes options before and after operands, and JSON at any place", () => {
    const line = read("--json inspect --transport openssh edge a/b/Program/c --identity ~/key");
    assert.deepEqual(line, {
      command: commands.inspect,
      operands: ["a/b/Program/c"],
      options: {},
      json: true,
      connections: [{ host: "edge", transport: "openssh", privateKey: "~/key" }],
    });
  });

  it("takes several hosts where a command does", () => {
    const line = read("follow edge deploy@[2001:db8::1] --identity key");
    assert.ok(typeof line === "object");
    assert.deepEqual(line.operands, []);
    assert.deepEqual(line.connections, [
      { host: "edge", privateKey: "key" },
      { host: "2001:db8::1", user: "deploy", privateKey: "key" },
    ]);
    assert.deepEqual(problemsOf("follow"), ["HOST: missing"]);
    assert.match(problemsOf("follow edge edge:0x1").join(), /^HOST: "edge:0x1" is not/);
  });

  it("takes credentials of the environment, after those of the command line", () => {
    const environment = {
      PULUMI_EBPF_PRIVATE_KEY: "/environment/key",
      PULUMI_EBPF_PRIVATE_KEY_PASSWORD: "secret",
      PULUMI_EBPF_PASSWORD: "word",
    };
    assert.deepEqual(connectionOf("ls edge", environment), {
      host: "edge",
      privateKey: "/environment/key",
      privateKeyPassword: "secret",
      password: "word",
    });
    const stated = connectionOf("ls edge --identity key", environment) as Record<string, string>;
    assert.equal(stated["privateKey"], "key");
    assert.equal(stated["privateKeyPassword"], "secret");
  });

  it("asks for help or the version whatever else is wrong", () => {
    for (const args of ["--help", "-h", "ls -h", "nonsense --help --foo"]) assert.equal(read(args), "help");
    assert.equal(read("ls --version"), "version");
  });

  it("tells all that is wrong at once", () => {
    assert.deepEqual(problemsOf("inspect edge --jsn --identity= --json=yes"), [
      "--jsn: unknown option; did you mean --json?",
      "--identity: needs a value",
      "--json: takes no value",
      "ID: missing",
    ]);
    assert.deepEqual(problemsOf("ls 2001:db8::1 more --transport tcp"), [
      "more: one operand too many",
      'HOST: "2001:db8::1" is not [user@]host[:port], an IPv6 address in brackets',
      "--transport: expected one of ssh2, openssh, local",
    ]);
    assert.match(problemsOf("ls edge:99999")[0]!, /^HOST: port: /);
  });

  it("names the commands, or the one that was probably meant", () => {
    assert.deepEqual(problemsOf(""), ["COMMAND: missing; there are ls, inspect, types, follow"]);
    assert.deepEqual(problemsOf("inspet edge x"), ['COMMAND: "inspet" is none; did you mean inspect?']);
    assert.deepEqual(problemsOf("toString"), [
      'COMMAND: "toString" is none; there are ls, inspect, types, follow',
    ]);
  });

  it("refuses options of a host where no host is asked", () => {
    const [problem = ""] = problemsOf("types filter.o --identity key");
    assert.match(problem, /^--identity: unknown option; there are --json/);
  });
});
