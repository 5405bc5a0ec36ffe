/** The provider's own configuration: `ebpf:…` of the stack, or the arguments of an explicit provider. */
import {
  CheckFailure,
  type CheckRequest,
  CheckResponse,
  DiffResponse,
  type DiffRequest,
  PropertyDiff,
} from "@pulumi/pulumi/proto/provider_pb";
import { isDeepStrictEqual } from "node:util";
import { invalid, type Problem } from "../../errors";
import type { Properties } from "../../lifecycle";
import { problemsOfInput } from "../../lifecycle";
import { decodeConfig, type ProviderConfig, providerConfigSchema } from "../../schema/config";
import { secret } from "../wire";
import { withSecrets } from "./secrets";
import { fromStruct, toStruct } from "./struct";

/** What the engine says of any provider; none of it is ours. */
const ENGINE_OWN = ["version", "pluginDownloadURL", "__internal"];

function decode(properties: Properties): Properties {
  const own = Object.entries(properties).filter(([name]) => !ENGINE_OWN.includes(name));
  return decodeConfig(Object.fromEntries(own));
}

/** Every problem at once; values that a preview does not know are none. */
export function problemsOfConfig(properties: Properties): Problem[] {
  const config = decode(properties);
  return [...problemsOfInput(providerConfigSchema, config), ...contradictions(config)];
}

/** Between values that are each well-formed. */
function contradictions({ autoRefresh, preview, connection }: Properties): Problem[] {
  const problems: Problem[] = [];
  if (autoRefresh === true && preview === "offline") {
    const reason = "asks the hosts in each preview, but preview is offline: choose one";
    problems.push({ property: "autoRefresh", reason });
  }
  const { transport, proxy } = (connection ?? {}) as Properties;
  if (transport === "local" && proxy !== undefined) {
    const reason = "leads to another machine, but transport is local: choose one";
    problems.push({ property: "connection.proxy", reason });
  }
  return problems;
}

/** Fails with `invalid` and every problem. */
export function readConfig(properties: Properties): ProviderConfig {
  const problems = problemsOfConfig(properties);
  if (problems.length > 0) throw invalid("read the provider's configuration", problems);
  return providerConfigSchema.parse(decode(properties));
}

export function checkConfig(request: CheckRequest): CheckResponse {
  const news = fromStruct(request.getNews()) ?? {};
  const failures = problemsOfConfig(news).map(({ property, reason }) =>
    new CheckFailure().setReason(property === "" ? reason : `ebpf:${property}: ${reason}`),
  );
  return new CheckResponse().setInputs(toStruct(marked(news))).setFailuresList(failures);
}

/** A connection in a text is a secret as a whole when it holds one. */
function marked(properties: Properties): Properties {
  const { connection } = properties;
  const result = withSecrets(providerConfigSchema, properties);
  if (typeof connection !== "string") return result;
  const decoded = decode({ connection });
  const holdsSecret = !isDeepStrictEqual(withSecrets(providerConfigSchema, decoded), decoded);
  return { ...result, connection: holdsSecret ? secret(connection) : connection };
}

/** Never a replacement: resources find out for themselves that they are to move to another host. */
export function diffConfig(request: DiffRequest): DiffResponse {
  const before = decode(fromStruct(request.getOlds()) ?? {});
  const after = decode(fromStruct(request.getNews()) ?? {});
  const response = new DiffResponse().setHasdetaileddiff(true);
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (isDeepStrictEqual(before[name], after[name])) continue;
    const { ADD, DELETE, UPDATE } = PropertyDiff.Kind;
    const kind = before[name] === undefined ? ADD : after[name] === undefined ? DELETE : UPDATE;
    response.addDiffs(name);
    response.getDetaileddiffMap().set(name, new PropertyDiff().setKind(kind).setInputdiff(true));
  }
  const { DIFF_NONE, DIFF_SOME } = DiffResponse.DiffChanges;
  return response.setChanges(response.getDiffsList().length === 0 ? DIFF_NONE : DIFF_SOME);
}
