/** How the stand-in dials. Does not own: what is run then (plugin.ts). */
import { Client, utils } from "ssh2";

export interface Connection {
  host: string;
  port?: number;
  user?: string;
  password?: string;
  privateKey?: string;
  privateKeyPassword?: string;
  dialErrorLimit?: number;
  hostKey?: string;
  proxy?: unknown;
}

/** As often as `dialErrorLimit` says, a second apart. */
export async function dial(connection: Connection): Promise<Client> {
  const { hostKey, proxy, dialErrorLimit = 10 } = connection;
  if (hostKey === undefined) throw new Error("the connection has no hostKey: it would trust any host");
  if (proxy !== undefined) throw new Error("this stand-in knows no proxy");
  const known = utils.parseKey(hostKey);
  if (known instanceof Error) throw known;
  for (let failures = 1; ; failures++) {
    try {
      return await attempt(connection, known.getPublicSSH());
    } catch (error) {
      if (failures >= dialErrorLimit || !/ECONNREFUSED|ETIMEDOUT|EHOSTUNREACH|Timed out/.test(String(error)))
        throw error;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

function attempt(connection: Connection, hostKey: Buffer): Promise<Client> {
  const { host, port = 22, user = "root", password, privateKey, privateKeyPassword } = connection;
  return new Promise((resolve, reject) => {
    const client = new Client();
    let mismatch = false;
    client.on("ready", () => resolve(client));
    client.on("error", (error) =>
      reject(mismatch ? new Error("ssh: handshake failed: ssh: host key mismatch") : error),
    );
    client.connect({
      host,
      port,
      username: user,
      ...(password === undefined ? {} : { password }),
      ...(privateKey === undefined ? {} : { privateKey }),
      ...(privateKeyPassword === undefined ? {} : { passphrase: privateKeyPassword }),
      readyTimeout: 15_000,
      hostVerifier: (key: Buffer) => !(mismatch = !key.equals(hostKey)),
    });
  });
}
