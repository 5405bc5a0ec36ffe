/**
 * The product driven in this process, the way its adapters drive it: check, then create, update or delete. What a row
 * times is then the provider's call alone, without the engine.
 *
 * Owns: that way, and references as the SDK would lift them. Does not own: the engine (deployment.ts).
 */
import { createLifecycle, type Lifecycle, type Properties, readSettings } from "../../provider/lifecycle";
import { definitions } from "../../provider/resources";
import { openSources } from "../../provider/sources";
import { openSession } from "../../provider/transport/pool";
import { type Connection } from "../support/host.js";

export type Kind = "Program" | "Map" | "MapEntries" | "Attachment" | "NetworkPolicy" | "AddressSet";

/** As in a provider process of its own, except that all share one pool of sessions. */
function newLifecycle(): Lifecycle {
  const settings = readSettings(() => undefined, {});
  return createLifecycle({ definitions, openSession, openSources, settings, report: () => undefined });
}

/** Of the operation `up`, which all resources of the bench belong to. */
const lifecycle = newLifecycle();

export class Resource {
  private outputs: Properties = {};
  private id = "";
  private inputs?: Properties;

  constructor(
    private readonly kind: Kind,
    private readonly name: string,
    private readonly connection: Connection,
  ) {}

  /** Checked and created. Fails with every problem of the inputs. */
  static async create(kind: Kind, name: string, connection: Connection, args: Properties): Promise<Resource> {
    const resource = new Resource(kind, name, connection);
    await resource.check(args);
    await resource.create();
    return resource;
  }

  /** What the next `create` or `update` takes. */
  async check(args: Properties): Promise<void> {
    const { inputs, failures } = await lifecycle.check(this.kind, this.inputs, this.news(args));
    if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
    this.inputs = inputs;
  }

  /** What a preview says against these inputs; nothing when it is content. */
  async preview(args: Properties): Promise<string[]> {
    const { failures } = await newLifecycle().check(this.kind, this.inputs, this.news(args));
    return failures.map(({ reason }) => reason);
  }

  async create(): Promise<void> {
    ({ id: this.id, outputs: this.outputs } = await lifecycle.create(this.kind, this.checked));
  }

  async update(): Promise<void> {
    this.outputs = await lifecycle.update(this.kind, this.id, this.outputs, this.checked);
  }

  async delete(): Promise<void> {
    await lifecycle.delete(this.kind, this.id, this.outputs);
  }

  output<T>(name: string): T {
    return this.outputs[name] as T;
  }

  /** Of a Program: what `program:` of an Attachment takes. */
  entrypoint(name: string): Properties {
    return { spec: this.specId, entrypoint: name, ...this.part("entrypoints", name) };
  }

  /** Of a Program: what `map:` of MapEntries takes. */
  map(name: string): Properties {
    return { spec: this.specId, map: name, ...this.part("maps", name) };
  }

  /** Of a Map: what `map:` of MapEntries takes. */
  get ref(): Properties {
    const { name, type, keySize, valueSize, maxEntries, keyLayout, valueLayout } = this.checked[
      "shape"
    ] as Properties;
    return { spec: this.specId, map: name, type, keySize, valueSize, maxEntries, keyLayout, valueLayout };
  }

  get specId(): string {
    return `bench/bench/${this.kind}/${this.name}`;
  }

  private get checked(): Properties {
    if (this.inputs === undefined) throw new Error(`${this.name} was not checked`);
    return this.inputs;
  }

  private news(args: Properties): Properties {
    return { ...args, connection: this.connection, specId: this.specId };
  }

  private part(parts: "entrypoints" | "maps", name: string): Properties {
    const object = this.checked["object"] as Record<typeof parts, Record<string, Properties>>;
    const found = object[parts][name];
    if (found === undefined) throw new Error(`${this.name} has no ${name} among its ${parts}`);
    return found;
  }
}
