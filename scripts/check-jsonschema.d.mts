/** Words to put before check-jsonschema's arguments, and the environment that it needs. Installs it the first time. */
export function checkJsonschema(): Promise<{ command: string[]; env: NodeJS.ProcessEnv }>;
