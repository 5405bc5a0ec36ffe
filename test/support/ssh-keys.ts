/** Ed25519 keys in OpenSSH's format, made without a process. */
import { utils } from "ssh2";

export interface SshKey {
  /** PEM text of the private key. */
  privateKey: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  publicKey: string;
}

export function makeSshKey(): SshKey {
  const { private: privateKey, public: publicKey } = utils.generateKeyPairSync("ed25519");
  return { privateKey, publicKey: publicKey.trim() };
}
