/** A TCP relay on this machine that is slow, stops, or cuts its connections: a network that fails. */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export class CuttingProxy {
  /** Pieces of data still let through, of both directions together; Infinity: none is cut. */
  remaining = Infinity;
  /** Of each direction of each connection. */
  bytesPerSecond = Infinity;
  /** After so many bytes towards the host all is cut; and after so many nothing more is taken from who sends them. */
  cutAfter = Infinity;
  stopAfter = Infinity;
  /** Bytes towards the host since the last `restore`, and what was done to connections. */
  passed = 0;
  stopped = false;
  cut = false;
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async to(host: string, port: number): Promise<CuttingProxy> {
    const server = createServer();
    const proxy = new CuttingProxy(server);
    server.on("connection", (client) => proxy.relay(client, connect(port, host)));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** As at the start; connections stay as they are. */
  restore(): void {
    this.remaining = this.bytesPerSecond = this.cutAfter = this.stopAfter = Infinity;
    this.passed = 0;
    this.stopped = this.cut = false;
  }

  cutAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cutAll();
    await new Promise((done) => this.server.close(done));
  }

  private relay(client: Socket, host: Socket): void {
    client.on("data", (piece) => {
      const rest = Math.max(0, this.cutAfter - this.passed);
      this.passed += piece.length;
      if (this.passed >= this.stopAfter) {
        this.stopped = true;
        client.pause();
      }
      this.forward(piece.subarray(0, rest), client, host);
      if (this.passed >= this.cutAfter) this.end(client, host);
    });
    host.on("data", (piece) => this.forward(piece, host, client));
    for (const [from, to] of [
      [client, host],
      [host, client],
    ] as const) {
      this.sockets.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.sockets.delete(from);
        to.destroy();
      });
    }
  }

  private forward(piece: Buffer, from: Socket, to: Socket): void {
    if (this.remaining-- <= 0) return this.end(from, to);
    to.write(piece);
    if (this.bytesPerSecond === Infinity) return;
    from.pause();
    setTimeout(() => from.resume(), (1000 * piece.length) / this.bytesPerSecond);
  }

  /** What was written before still arrives. */
  private end(near: Socket, far: Socket): void {
    this.cut = true;
    near.destroySoon();
    far.destroySoon();
  }
}
