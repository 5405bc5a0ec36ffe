/**
 * `policy test FILE`: policies and what packets shall meet, in one JSON file, judged by the evaluator; needs no host.
 * `policy verify HOST FILE`: the tests of such a file, judged by what runs on the host.
 */
import { readFileSync } from "node:fs";
import * as z from "zod";
import { EbpfError, invalid } from "../../errors";
import { problemsOf } from "../../lifecycle/problems";
import { applyPolicy, evaluate, policySchema } from "../../network-policy";
import type { PolicyTest } from "../../protocol/policy";
import { type Command, type Outcome } from "../command";
import { openHost } from "../host";
import { onlyInterface } from "./explain";
import { type Answer, answerText, packetFor, readTests, testText } from "./words";

const fileSchema = z.strictObject({
  /** By name, as a NetworkPolicy takes them; their `addressSet` is a name of `sets`. */
  policies: z.record(z.string(), policySchema).default({}),
  sets: z.record(z.string(), z.array(z.string())).default({}),
  /** Addresses that `self` stands for. */
  self: z.array(z.string()).default([]),
  tests: z.array(z.unknown()).min(1),
});

export const test: Command = {
  operands: ["FILE"],
  run({ operands: [file] }) {
    const { policies, sets, self, tests } = readPolicyFile(file!);
    const surroundings = { sets: new Map(Object.entries(sets)), self };
    const applied = Object.entries(policies).map(([name, policy]) => {
      const result = applyPolicy({ stack: file!, name }, policy, surroundings);
      if ("policy" in result) return result.policy;
      throw invalid(
        `read ${file}`,
        result.problems.map(({ property, reason }) => ({ property: `policies.${name}.${property}`, reason })),
      );
    });
    return Promise.resolve(
      outcome(
        file!,
        tests.map((one) => [one, evaluate(applied, [], packetFor(one))]),
      ),
    );
  },
};

export const verify: Command = {
  operands: ["HOST", "FILE"],
  options: ["interface", "netns"],
  async run(invocation) {
    const { tests } = readPolicyFile(invocation.operands[0]!);
    const session = await openHost(invocation);
    const { netns } = invocation.options;
    const name = invocation.options["interface"] ?? (await onlyInterface(session, netns));
    const at = { interface: name, ...(netns === undefined ? {} : { netns }) };
    const answers: [PolicyTest, Answer][] = [];
    for (const one of tests)
      answers.push([one, await session.call("policy.explain", { ...at, packet: packetFor(one) })]);
    return outcome(`${session.host} ${name}`, answers);
  },
};

function readPolicyFile(file: string) {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const reason = error instanceof SyntaxError ? `it is not JSON: ${error.message}` : "it cannot be read";
    throw new EbpfError("invalid", `read ${file}: ${reason}`, {}, { cause: error });
  }
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) throw invalid(`read ${file}`, problemsOf(fileSchema, parsed.error.issues));
  return { ...parsed.data, tests: readTests(`tests of ${file}`, parsed.data.tests) };
}

function outcome(where: string, answers: readonly (readonly [PolicyTest, Answer])[]): Outcome {
  const results = answers.map(([one, { verdict, reason, rule }]) => {
    const well = verdict === one.expect && (one.rule === undefined || one.rule === rule?.name);
    return { test: one, well, verdict, reason, ...(rule === undefined ? {} : { rule }) };
  });
  const failed = results.filter(({ well }) => !well);
  const lines = failed.map(({ test: one, ...answer }) => {
    const wanted = one.rule === undefined ? one.expect : `${one.expect} by rule "${one.rule}"`;
    return `${testText(one)}: expected ${wanted}, got ${answerText(answer)}`;
  });
  return {
    well: failed.length === 0,
    text: [...lines, `${where}: ${results.length - failed.length} as expected, ${failed.length} not`].join(
      "\n",
    ),
    json: { results },
  };
}
