/**
 * One resource as the engine handles it, without the engine: check, diff, create, update, read and delete in the
 * engine's order, on the dynamic provider that the state names. For scenarios that the CLI's three seconds a step
 * would make too slow; test/support/pulumi.ts drives the real engine.
 */
import assert from "node:assert/strict";
import { provider } from "../../provider/adapters/dynamic";
import { providerText } from "../../provider/adapters/provider-text";
import { formatSpecId } from "../../provider/protocol/spec-id";

type Properties = Record<string, unknown>;
type Provider = ReturnType<typeof provider>;

const providers = new Map<string, Promise<Provider>>();

/** `settings` are stack configuration, e.g. `{ "ebpf:preview": "offline" }`; those of the first use count. */
async function providerOf(kind: string): Promise<Provider> {
  const found = providers.get(kind) ?? configured(kind);
  providers.set(kind, found);
  return found;
}

async function configured(kind: string): Promise<Provider> {
  const made = provider(kind);
  const config = { get: () => undefined, require: (key: string) => assert.fail(`no config ${key}`) };
  await made.configure?.({ config } as unknown as Parameters<NonNullable<Provider["configure"]>>[0]);
  return made;
}

/** What check refused: `property: reason`, one a line. */
export class CheckFailed extends Error {}

export class ManagedResource {
  private constructor(
    readonly kind: string,
    readonly id: string,
    /** What the state would hold. */
    public state: Properties,
  ) {}

  static specId(kind: string, name: string): string {
    return formatSpecId({ project: "test", stack: "dev", kind, name });
  }

  /** Fails with CheckFailed, or as the provider's create does. */
  static async create(kind: string, name: string, args: Properties): Promise<ManagedResource> {
    const core = await providerOf(kind);
    const inputs = await ManagedResource.check(
      kind,
      {},
      { ...args, specId: ManagedResource.specId(kind, name) },
    );
    const { id, outs } = await core.create(inputs);
    return new ManagedResource(kind, id, { ...outs, __provider: providerText(kind) });
  }

  static async check(kind: string, olds: Properties, news: Properties): Promise<Properties> {
    const { inputs, failures } = await (await providerOf(kind)).check(olds, news);
    if (failures !== undefined && failures.length > 0) {
      throw new CheckFailed(failures.map(({ property, reason }) => `${property}: ${reason}`).join("\n"));
    }
    return inputs as Properties;
  }

  /** An update with new arguments; resolves to whether anything changed. Fails where the engine would replace. */
  async update(args: Properties): Promise<boolean> {
    const core = await providerOf(this.kind);
    const inputs = await ManagedResource.check(this.kind, this.state, {
      ...args,
      specId: this.state["specId"],
    });
    const { changes, replaces } = await core.diff(this.id, this.state, inputs);
    assert.deepEqual(replaces ?? [], [], "an update, no replacement");
    if (changes !== true) return false;
    const { outs } = await core.update(this.id, this.state, inputs);
    this.state = { ...outs, __provider: providerText(this.kind) };
    return true;
  }

  /** Reads the host into the state; resolves to the drift, or to null when nothing is there any more. */
  async refresh(): Promise<string[] | null> {
    const { id, props } = await (await providerOf(this.kind)).read(this.id, this.state);
    if (id === "") return null;
    this.state = { ...props, __provider: providerText(this.kind) };
    return this.state["drift"] as string[];
  }

  async delete(): Promise<void> {
    await (await providerOf(this.kind)).delete(this.id, this.state);
  }

  /** The Program's entrypoint as the SDK would lift it into an Attachment's `program`. */
  entrypoint(name: string): Properties {
    const { entrypoints } = this.state["object"] as { entrypoints: Record<string, Properties> };
    return { spec: this.state["specId"], entrypoint: name, ...entrypoints[name] };
  }

  /** The Map itself as the SDK would lift it into `map`. */
  asMap(): Properties {
    const { name, type, keySize, valueSize, maxEntries, keyLayout, valueLayout } = this.state[
      "shape"
    ] as Properties;
    const sizes = { type, keySize, valueSize, maxEntries };
    return { spec: this.state["specId"], map: name, ...sizes, keyLayout, valueLayout };
  }

  /** The map of a Program as the SDK would lift it into `map`. */
  map(name: string): Properties {
    const { maps } = this.state["object"] as { maps: Record<string, Properties> };
    return { spec: this.state["specId"], map: name, ...maps[name] };
  }
}
