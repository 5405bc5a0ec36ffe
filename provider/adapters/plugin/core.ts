/** What the plugin is once it is configured. Loaded after the start, which it would slow down. */
import {
  createLifecycle,
  type Lifecycle,
  type Properties,
  readSettings,
  withCredentials,
  withoutCredentials,
} from "../../lifecycle";
import { definitions } from "../../resources";
import type { ResourceDefinition } from "../../resources/resource";
import type { ProviderConfig } from "../../schema/config";
import { openSources } from "../../sources";
import type { OpenSources } from "../../sources/source";
import type { Connection } from "../../transport/connection";
import { openSession } from "../../transport/pool";
import type { AgentSession, OpenSession } from "../../transport/session";
import { readConfig } from "./configuration";

export { checkConfig, diffConfig } from "./configuration";

export interface Core {
  config: ProviderConfig;
  lifecycle: Lifecycle;
  /** Connection of the resources that give none. Its credentials stay with the provider. */
  connection: Connection | undefined;
  definitionOf(kind: string): ResourceDefinition | undefined;
  /** With the credentials of the moment. */
  open(connection: Connection, signal: AbortSignal | undefined): Promise<AgentSession>;
  openSources: OpenSources;
}

export interface CoreOptions {
  environment: NodeJS.ProcessEnv;
  /** Default: the pool of sessions. */
  openSession?: OpenSession | undefined;
}

/** Fails with `invalid` and every problem of the configuration. */
export function createCore(properties: Properties, options: CoreOptions): Core {
  const config = readConfig(properties);
  const { connection } = config;
  const setting = (key: string) => {
    const value = config[key.replace(/^ebpf:/, "") as keyof ProviderConfig];
    return typeof value === "string" ? value : undefined;
  };
  const settings = { ...readSettings(setting, options.environment), connection };
  const open = options.openSession ?? openSession;
  const lifecycle = createLifecycle({
    definitions,
    openSession: open,
    openSources,
    settings,
    planAt: "preview",
    report: () => undefined, // each call brings its own way
  });
  return {
    config,
    lifecycle,
    connection: connection && withoutCredentials(connection),
    definitionOf: (kind) => definitions[kind],
    open: (way, signal) => open(withCredentials(way, settings), signal === undefined ? {} : { signal }),
    openSources,
  };
}
