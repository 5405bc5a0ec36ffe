/**
 * A kind of resource in either mode, by the calls that the engine makes: the dynamic provider that a state names, or
 * the plugin's handlers with protobuf messages. Values are plain JSON, secrets unwrapped, as a state in clear.
 */
import assert from "node:assert/strict";
import {
  CheckRequest,
  ConfigureRequest,
  CreateRequest,
  DeleteRequest,
  DiffRequest,
  DiffResponse,
  ReadRequest,
  UpdateRequest,
} from "@pulumi/pulumi/proto/provider_pb";
import { provider as dynamicProvider } from "../../provider/adapters/dynamic";
import { createHandlers, type Handlers } from "../../provider/adapters/plugin/server";
import { toServiceError } from "../../provider/adapters/plugin/status";
import { fromStruct, toStruct } from "../../provider/adapters/plugin/struct";
import { pluginToken, PROVIDER_KEY, providerText } from "../../provider/adapters/provider-text";
import type { Mode } from "./modes";

export type Properties = Record<string, unknown>;

export interface ProviderUnderTest {
  check(
    name: string,
    olds: Properties,
    news: Properties,
  ): Promise<{ inputs: Properties; failures: { property: string; reason: string }[] }>;
  /** What a preview asks besides; without an id of a create. */
  preview(name: string, inputs: Properties, current?: { id: string; state: Properties }): Promise<void>;
  diff(
    name: string,
    id: string,
    state: Properties,
    inputs: Properties,
  ): Promise<{ changes: boolean; replaces: string[] }>;
  create(name: string, inputs: Properties): Promise<{ id: string; state: Properties }>;
  update(name: string, id: string, state: Properties, inputs: Properties): Promise<Properties>;
  /** `null`: gone. */
  read(name: string, id: string, state: Properties): Promise<Properties | null>;
  delete(name: string, id: string, state: Properties): Promise<void>;
}

const known = new Map<string, Promise<ProviderUnderTest>>();

/** Without stack configuration; one of each for the whole process, as in the engine's. */
export function providerOf(mode: Mode, kind: string): Promise<ProviderUnderTest> {
  const key = `${mode} ${kind}`;
  const found = known.get(key) ?? (mode === "dynamic" ? dynamic(kind) : plugin(kind));
  known.set(key, found);
  return found;
}

async function dynamic(kind: string): Promise<ProviderUnderTest> {
  const core = dynamicProvider(kind);
  const config = { get: () => undefined, require: (key: string) => assert.fail(`no config ${key}`) };
  await core.configure?.({ config } as unknown as Parameters<NonNullable<typeof core.configure>>[0]);
  const stateOf = (outputs: Properties): Properties => ({ ...outputs, [PROVIDER_KEY]: providerText(kind) });
  return {
    async check(_name, olds, news) {
      const { inputs, failures = [] } = await core.check(olds, news);
      return { inputs: inputs as Properties, failures };
    },
    preview: async () => undefined, // check does it all
    async diff(_name, id, state, inputs) {
      const { changes = true, replaces = [] } = await core.diff(id, state, inputs);
      return { changes, replaces };
    },
    async create(_name, inputs) {
      const { id, outs = {} } = await core.create(inputs);
      return { id, state: stateOf(outs) };
    },
    async update(_name, id, state, inputs) {
      return stateOf((await core.update(id, state, inputs)).outs ?? {});
    },
    async read(_name, id, state) {
      const found = await core.read(id, state);
      return found.id === "" ? null : stateOf(found.props ?? {});
    },
    delete: (_name, id, state) => core.delete(id, state),
  };
}

let handlers: Promise<Handlers> | undefined;

/** One process serves all kinds. */
async function configuredHandlers(): Promise<Handlers> {
  const made = createHandlers({ environment: process.env });
  await made.configure(new ConfigureRequest().setArgs(toStruct({})));
  return made;
}

async function plugin(kind: string): Promise<ProviderUnderTest> {
  const core = await (handlers ??= configuredHandlers());
  const urn = (name: string) => `urn:pulumi:dev::test::${pluginToken(kind)}::${name}`;
  return {
    async check(name, olds, news) {
      const request = new CheckRequest().setUrn(urn(name)).setOlds(toStruct(olds)).setNews(toStruct(news));
      const response = await answered(core.check(request));
      const failures = response
        .getFailuresList()
        .map((failure) => ({ property: failure.getProperty(), reason: failure.getReason() }));
      return { inputs: fromStruct(response.getInputs()) ?? {}, failures };
    },
    async preview(name, inputs, current) {
      if (current === undefined) {
        const request = new CreateRequest().setUrn(urn(name)).setProperties(toStruct(inputs));
        await answered(core.create(request.setPreview(true)));
      } else {
        await answered(core.update(updateRequest(name, current.id, current.state, inputs).setPreview(true)));
      }
    },
    async diff(name, id, state, inputs) {
      const request = new DiffRequest().setUrn(urn(name)).setId(id);
      const response = await answered(core.diff(request.setOlds(toStruct(state)).setNews(toStruct(inputs))));
      const changes = response.getChanges() === DiffResponse.DiffChanges.DIFF_SOME;
      return { changes, replaces: response.getReplacesList() };
    },
    async create(name, inputs) {
      const request = new CreateRequest().setUrn(urn(name)).setProperties(toStruct(inputs));
      const response = await answered(core.create(request));
      return { id: response.getId(), state: fromStruct(response.getProperties()) ?? {} };
    },
    async update(name, id, state, inputs) {
      const response = await answered(core.update(updateRequest(name, id, state, inputs)));
      return fromStruct(response.getProperties()) ?? {};
    },
    async read(name, id, state) {
      const request = new ReadRequest().setUrn(urn(name)).setId(id).setProperties(toStruct(state));
      const response = await answered(core.read(request));
      return response.getId() === "" ? null : (fromStruct(response.getProperties()) ?? {});
    },
    async delete(name, id, state) {
      await answered(
        core.delete(new DeleteRequest().setUrn(urn(name)).setId(id).setProperties(toStruct(state))),
      );
    },
  };

  function updateRequest(name: string, id: string, state: Properties, inputs: Properties): UpdateRequest {
    const request = new UpdateRequest().setUrn(urn(name)).setId(id);
    return request.setOlds(toStruct(state)).setNews(toStruct(inputs));
  }
}

/** Fails with what the engine would show. */
async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (thrown) {
    throw new Error(toServiceError(thrown).details);
  }
}
