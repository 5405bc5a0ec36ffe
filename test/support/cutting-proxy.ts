/** A TCP relay on this machine that is slow, or cuts its connections after so many pieces of data: a network that fails. */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export class CuttingProxy {
  /** Pieces still let through, of both directions together; Infinity: none is cut. */
  remaining = Infinity;
  /** Of each direction of each connection. */
  bytesPerSecond = Infinity;
  /** Whether it cut anything since `remaining` was set by hand. */
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

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((done) => this.server.close(done));
  }

  private relay(client: Socket, host: Socket): void {
    for (const [from, to] of [
      [client, host],
      [host, client],
    ] as const) {
      this.sockets.add(from);
      from.on("data", (piece) => {
        if (this.remaining-- > 0) {
          to.write(piece);
          return void this.slowDown(from, piece.length);
        }
        this.cut = true;
        client.destroy();
        host.destroy();
      });
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.sockets.delete(from);
        to.destroy();
      });
    }
  }

  private slowDown(from: Socket, bytes: number): void {
    if (this.bytesPerSecond === Infinity) return;
    from.pause();
    setTimeout(() => from.resume(), (1000 * bytes) / this.bytesPerSecond);
  }
}
