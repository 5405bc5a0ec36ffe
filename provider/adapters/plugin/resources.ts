/** Check, diff, create, read, update and delete, as the engine asks for them. */
import {
  CheckFailure,
  type CheckRequest,
  CheckResponse,
  type CreateRequest,
  CreateResponse,
  type DeleteRequest,
  type DiffRequest,
  DiffResponse,
  PropertyDiff,
  type ReadRequest,
  ReadResponse,
  type UpdateRequest,
  UpdateResponse,
} from "@pulumi/pulumi/proto/provider_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import type { Struct } from "google-protobuf/google/protobuf/struct_pb";
import { isDeepStrictEqual } from "node:util";
import { EbpfError, type Problem } from "../../errors";
import {
  alikeHeld,
  type Call,
  type ChangeKind,
  type Diff,
  isUnreachable,
  PartialError,
  type Properties,
} from "../../lifecycle";
import { formatSpecId, parseSpecId } from "../../protocol/spec-id";
import type { Connection } from "../../transport/connection";
import { mayBePacked, withPacked } from "../packed";
import { PROVIDER_KEY } from "../provider-text";
import { fromEngine, REFERENCES, secret, unfitAssets } from "../wire";
import type { Calls, Subject } from "./calls";
import type { Core } from "./core";
import { withSecrets } from "./secrets";
import { HalfDone } from "./status";
import { fromStruct, rawOf, toStruct } from "./struct";
import { kindOf, parseUrn, type Urn } from "./urn";

type Pair = [Properties, Properties];

/** Known before and after every update of a resource that is not replaced. */
const STABLES = ["specId", "incarnation"];

export function createResources(core: Core, calls: Calls) {
  const { lifecycle, config } = core;
  const autoRefresh = config.autoRefresh;
  /** Spec id → URN, as this process checked them. */
  const named = new Map<string, string>();
  /** URNs of the Node SDK: it says the name, and makes references itself, which double the size of a Program's state. */
  const ownSdk = new Set<string>();

  /** Runs one call; what is half done goes to the engine with the resource's state. */
  async function run<T>(
    urn: string,
    verb: string,
    work: (kind: string, call: Call) => Promise<T>,
    timeout?: Subject["timeout"],
  ): Promise<T> {
    const { type, name } = parseUrn(urn);
    const kind = kindOf(type);
    try {
      const subject = { urn, text: `${verb} ${kind} "${name}"`, ...(timeout && { timeout }) };
      return await calls.run(subject, (call) => work(kind, call));
    } catch (thrown) {
      if (!(thrown instanceof PartialError)) throw thrown;
      throw new HalfDone(thrown.cause.render(), thrown.id, encode(urn, kind, thrown.properties), autoRefresh);
    }
  }

  /** State for the engine: with references for other languages, secrets marked. */
  function encode(urn: string, kind: string, outputs: Properties): Struct {
    const refs = ownSdk.has(urn) ? {} : core.definitionOf(kind)?.refs?.(outputs as never);
    return encodeInputs(urn, kind, { ...outputs, ...refs });
  }

  function encodeInputs(urn: string, kind: string, inputs: Properties): Struct {
    const definition = core.definitionOf(kind);
    const marked = definition === undefined ? inputs : withSecrets(definition.inputs, inputs);
    return toStruct(ownSdk.has(urn) ? withPacked(marked) : marked);
  }

  /** Whether a state is as `encode` would write it: by this adapter, and with nothing to mark as a secret. */
  function isAsEncoded(kind: string, state: Properties, outputs: Properties): boolean {
    const definition = core.definitionOf(kind);
    const isOwn = !(PROVIDER_KEY in state);
    return isOwn && definition !== undefined && withSecrets(definition.inputs, outputs) === outputs;
  }

  /** With what the Node SDK sends and other languages leave to us; without what an import has of check's own. */
  function completed(urn: Urn, kind: string, given: Properties): Properties {
    const { project, stack, name } = urn;
    const { owner } = config;
    const specId = formatSpecId({ ...(owner === undefined ? {} : { owner }), project, stack, kind, name });
    const definition = core.definitionOf(kind);
    const computed = definition === undefined ? {} : definition.preview(undefined, undefined);
    const news = Object.fromEntries(Object.entries(given).filter(([property]) => !(property in computed)));
    const { connection = null, hosts = null } = news;
    const lacksPlace = connection === null && hosts === null && core.connection !== undefined;
    return { specId, ...news, ...(lacksPlace ? { connection: core.connection } : {}) };
  }

  return {
    check(request: CheckRequest): Promise<CheckResponse> {
      const urn = request.getUrn();
      return run(urn, "check", async (kind, call) => {
        const olds = fromStruct(request.getOlds(), heldBy(kind)) ?? {};
        const news = fromStruct(request.getNews()) ?? {};
        const known = Object.keys(olds).length === 0 ? undefined : olds;
        if (news["specId"] !== undefined) ownSdk.add(urn);
        const wanted = completed(parseUrn(urn), kind, news);
        const better = [...unfitAssets(news), ...missingPlace(wanted)];
        const { inputs, failures } = await lifecycle.check(kind, known, wanted, call);
        const problems = [
          ...better,
          ...failures.filter(({ property }) => !better.some((known) => known.property === property)),
        ];
        const specId = String(inputs["specId"]);
        const owner = named.get(specId) ?? urn;
        if (owner === urn) named.set(specId, urn);
        else problems.push({ property: "", reason: sameName(kind, owner, specId) });
        return new CheckResponse()
          .setInputs(encodeInputs(urn, kind, inputs))
          .setFailuresList(problems.map(({ property, reason }) => asFailure(property, reason)));
      });
    },

    diff(request: DiffRequest): Promise<DiffResponse> {
      return run(request.getUrn(), "compare", async (kind) => {
        const [olds, news] = different(kind, request.getOlds(), request.getNews());
        const found = lifecycle.diff(kind, request.getId(), olds, news, request.getIgnorechangesList());
        const diff = ownSdk.has(request.getUrn()) ? withPackedPaths(found) : found;
        const { DIFF_NONE, DIFF_SOME } = DiffResponse.DiffChanges;
        const response = new DiffResponse()
          .setChanges(diff.changes ? DIFF_SOME : DIFF_NONE)
          .setReplacesList(diff.replaces)
          .setStablesList(diff.replaces.length === 0 ? STABLES : [])
          .setDeletebeforereplace(false)
          .setDiffsList([...new Set(Object.keys(diff.paths).map(headOf))])
          .setHasdetaileddiff(true);
        if (!diff.changes) return response;
        const oldInputs = fromStruct(request.getOldInputs());
        for (const [path, kindOfChange] of Object.entries(diff.paths)) {
          // a difference that only the outputs have is the host's, not the program's
          const ofInputs =
            oldInputs !== undefined && !isDeepStrictEqual(valueAt(oldInputs, path), valueAt(news, path));
          const change = new PropertyDiff().setKind(kinds[kindOfChange]).setInputdiff(ofInputs);
          response.getDetaileddiffMap().set(path, change);
        }
        return response;
      });
    },

    create(request: CreateRequest): Promise<CreateResponse> {
      const preview = request.getPreview();
      const response = new CreateResponse().setRefreshBeforeUpdate(autoRefresh);
      const work = async (kind: string, call: Call) => {
        const inputs = fromStruct(request.getProperties()) ?? {};
        if (preview) {
          const outputs = await lifecycle.preview(kind, undefined, undefined, inputs, call);
          return response.setProperties(encode(request.getUrn(), kind, outputs));
        }
        const { id, outputs } = await lifecycle.create(kind, inputs, call);
        return response.setId(id).setProperties(encode(request.getUrn(), kind, outputs));
      };
      return run(request.getUrn(), "create", work, timeoutOf("create", preview ? 0 : request.getTimeout()));
    },

    update(request: UpdateRequest): Promise<UpdateResponse> {
      const preview = request.getPreview();
      const work = async (kind: string, call: Call) => {
        const olds = fromStruct(request.getOlds()) ?? {};
        const news = fromStruct(request.getNews()) ?? {};
        const act = preview ? lifecycle.preview : lifecycle.update;
        const outputs = await act(kind, request.getId(), olds, news, call);
        return new UpdateResponse()
          .setProperties(encode(request.getUrn(), kind, outputs))
          .setRefreshBeforeUpdate(autoRefresh);
      };
      return run(request.getUrn(), "update", work, timeoutOf("update", preview ? 0 : request.getTimeout()));
    },

    read(request: ReadRequest): Promise<ReadResponse> {
      const urn = request.getUrn();
      const id = request.getId();
      const work = async (kind: string, call: Call) => {
        const properties = request.getProperties();
        const raw = properties === undefined ? {} : rawOf(properties);
        const state = properties === undefined ? undefined : fromEngine(raw);
        const isOwnSdk = state?.["specId"] !== undefined && !REFERENCES.some((name) => name in raw);
        if (isOwnSdk) ownSdk.add(urn);
        const found =
          state?.["specId"] === undefined
            ? await lookUp(urn, kind, id, state, call)
            : await refresh(kind, id, state, request.getInputs(), call);
        if (found === null) return new ReadResponse();
        const response = new ReadResponse().setId(id).setRefreshBeforeUpdate(autoRefresh);
        // as it came; inputs that are not given stay as the engine has them
        if (found.unchanged && isAsEncoded(kind, raw, found.outputs)) {
          return response.setProperties(properties);
        }
        return response
          .setProperties(encode(urn, kind, found.outputs))
          .setInputs(encodeInputs(urn, kind, found.inputs));
      };
      return run(urn, "read", work, timeoutOf("read", request.getTimeout()));
    },

    delete(request: DeleteRequest): Promise<Empty> {
      const work = async (kind: string, call: Call) => {
        const state = fromStruct(request.getProperties(), heldBy(kind)) ?? {};
        await lifecycle.delete(kind, request.getId(), state, call);
        return new Empty();
      };
      return run(request.getUrn(), "delete", work, timeoutOf("delete", request.getTimeout()));
    },
  };

  /** Names of the inputs whose digests stand beside them: long lists. */
  function heldBy(kind: string): string[] {
    return Object.keys(core.definitionOf(kind)?.held ?? {});
  }

  /** Two versions to compare; a hundred thousand rules are not even decoded where their digests are the same. */
  function different(kind: string, one: Struct | undefined, other: Struct | undefined) {
    const definition = core.definitionOf(kind);
    const read = (names: string[]) => [one, other].map((struct) => fromStruct(struct, names) ?? {}) as Pair;
    const held = heldBy(kind);
    if (definition === undefined || held.length === 0) return read([]);
    const alike = alikeHeld(definition, ...read(held));
    return read(alike);
  }

  /** Every `up` reads in this mode: a host that is down must not stop the others' work. */
  async function refresh(
    kind: string,
    id: string,
    state: Properties,
    inputs: Struct | undefined,
    call: Call,
  ) {
    try {
      return await lifecycle.read(kind, id, state, call);
    } catch (thrown) {
      if (!autoRefresh || !isUnreachable(EbpfError.from(thrown))) throw thrown;
      call.report(`${EbpfError.from(thrown).message}: not refreshed, autoRefresh goes on without`, "warning");
      return { inputs: fromStruct(inputs) ?? {}, outputs: state, unchanged: false };
    }
  }

  /** Import sends no properties at all; `get` those that it was given, and may read another stack's. */
  async function lookUp(urn: string, kind: string, id: string, given: Properties | undefined, call: Call) {
    if (given === undefined) refuseForeign(parseUrn(urn), kind, id, config.owner);
    const found = await lifecycle.find(kind, id, given?.["connection"] as Connection | undefined, call);
    if (found === null) return null;
    const { inputs, outputs } = found;
    return { inputs: withHiddenGlobals(inputs), outputs: withHiddenGlobals(outputs), unchanged: false };
  }
}

/** A host does not know which of them are secret. */
function withHiddenGlobals(properties: Properties): Properties {
  const { globals } = properties;
  return globals === undefined ? properties : { ...properties, globals: secret(globals) };
}

/** Two stacks that manage one thing on a host would undo each other's work. */
function refuseForeign({ project, stack }: Urn, kind: string, id: string, owner: string | undefined): void {
  const text = id.slice(id.indexOf("/") + 1);
  let spec: ReturnType<typeof parseSpecId>;
  try {
    spec = parseSpecId(text);
  } catch {
    return; // the look-up says what is wrong with it
  }
  const sameOwner = owner === undefined || spec.owner === owner;
  if (spec.project === project && spec.stack === stack && sameOwner) return;
  const whose = `${spec.owner === undefined ? "" : `${spec.owner}:`}${spec.project}/${spec.stack}`;
  throw new EbpfError(
    "conflict",
    `import ${kind} "${id}": it belongs to the stack ${whose}`,
    { owner: whose },
    {
      remedy: `import it there, or read it here by ${kind}.get`,
    },
  );
}

function sameName(kind: string, other: string, specId: string): string {
  return (
    `${specId} is the name of ${other} on the host too: give each ${kind} of a stack a name of its own, ` +
    "also under different parents"
  );
}

function missingPlace({ connection = null, hosts = null }: Properties): Problem[] {
  if (connection !== null || hosts !== null) return [];
  const reason =
    "is missing: give it here, to the provider, or for all of the stack as config `ebpf:connection`";
  return [{ property: "connection", reason }];
}

/** The engine would print the value of the property, a secret in clear: so the text names it. */
function asFailure(property: string, reason: string): CheckFailure {
  return new CheckFailure().setReason(property === "" ? reason : `${property}: ${reason}`);
}

function timeoutOf(name: "create" | "update" | "delete" | "read", seconds: number): Subject["timeout"] {
  return seconds > 0 ? { name, seconds } : undefined;
}

const kinds: Record<ChangeKind, PropertyDiff.Kind> = {
  add: PropertyDiff.Kind.ADD,
  delete: PropertyDiff.Kind.DELETE,
  update: PropertyDiff.Kind.UPDATE,
  "add-replace": PropertyDiff.Kind.ADD_REPLACE,
  "delete-replace": PropertyDiff.Kind.DELETE_REPLACE,
  "update-replace": PropertyDiff.Kind.UPDATE_REPLACE,
};

function headOf(path: string): string {
  return /^[^.[]*/.exec(path)![0];
}

/** What is one text to the engine differs for it as a whole. */
function withPackedPaths({ changes, paths, replaces }: Diff): Diff {
  const whole = (path: string) => (mayBePacked(headOf(path)) ? headOf(path) : path);
  const found: Diff = { changes, paths: {}, replaces: [...new Set(replaces.map(whole))] };
  for (const [path, kind] of Object.entries(paths)) {
    const inner = path !== whole(path);
    const update = found.replaces.includes(whole(path)) ? "update-replace" : "update";
    found.paths[whole(path)] = inner ? update : kind;
  }
  return found;
}

/** Of a property path as diff makes them. */
function valueAt(properties: Properties, path: string): unknown {
  const parts = [...path.matchAll(/\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.[\]]+)/g)];
  return parts.reduce<unknown>(
    (value, [, quoted, index, plain]) =>
      (value as Properties | undefined)?.[
        quoted === undefined ? (index ?? plain)! : String(JSON.parse(`"${quoted}"`))
      ],
    properties,
  );
}
