/** How the stand-in dials. Does not own: what is run then (plugin.ts). */
import { Client, type ClientChannel, utils } from "ssh2";

export interface Connection {
  host: string;
  port?: number;
  user?: string;
  password?: string;
  privateKey?: string;
  privateKeyPassword?: string;
  dialErrorLimit?: number;
  hostKey?: string;
  /** A bastion. */
  proxy?: Omit<Connection, "proxy">;
}

/** As often as `dialErrorLimit` says, a second apart; through the proxy if there is one. */
export async function dial(connection: Connection): Promise<Client> {
  const { hostKey, proxy, dialErrorLimit = 10 } = connection;
  if (hostKey === undefined) throw new Error("the connection has no hostKey: it would trust any host");
  const known = utils.parseKey(hostKey);
  if (known instanceof Error) throw known;
  for (let failures = 1; ; failures++) {
    const bastion = proxy === undefined ? undefined : await dial(proxy);
    try {
      const client = await attempt(
        connection,
        known.getPublicSSH(),
        bastion && (await through(bastion, connection)),
      );
      return client.once("close", () => bastion?.end());
    } catch (error) {
      bastion?.end();
      if (failures >= dialErrorLimit || !/ECONNREFUSED|ETIMEDOUT|EHOSTUNREACH|Timed out/.test(String(error)))
        throw error;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

/** A channel from the bastion to the host. */
function through(bastion: Client, { host, port = 22 }: Connection): Promise<ClientChannel> {
  return new Promise((resolve, reject) =>
    bastion.forwardOut("127.0.0.1", 0, host, port, (error, channel) =>
      error === undefined ? resolve(channel) : reject(error),
    ),
  );
}

function attempt(connection: Connection, hostKey: Buffer, sock?: ClientChannel): Promise<Client> {
  const { host, port = 22, user = "root", password, privateKey, privateKeyPassword } = connection;
  return new Promise((resolve, reject) => {
    const client = new Client();
    let mismatch = false;
    client.on("ready", () => resolve(client));
    client.on("error", (error) =>
      reject(mismatch ? new Error("ssh: handshake failed: ssh: host key mismatch") : error),
    );
    client.connect({
      ...(sock === undefined ? { host, port } : { sock }),
      username: user,
      ...(password === undefined ? {} : { password }),
      ...(privateKey === undefined ? {} : { privateKey }),
      ...(privateKeyPassword === undefined ? {} : { passphrase: privateKeyPassword }),
      readyTimeout: 15_000,
      hostVerifier: (key: Buffer) => !(mismatch = !key.equals(hostKey)),
    });
  });
}
