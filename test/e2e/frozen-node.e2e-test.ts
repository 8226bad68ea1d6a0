import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { expectClosedBy, ladderOf, paidLife } from './close-by-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'sharestream-frozen-'));
const cleanups: (() => Promise<unknown>)[] = [
  () => Promise.resolve(rmSync(directory, { recursive: true, force: true })),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

/** A way to a bitcoin node that can be frozen: then it takes connections and questions, and answers none. */
class Way {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#accept(socket));
  #to = 0;
  #isFrozen = false;

  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** Sets the port of the node behind it. */
  leadTo(port: number): void {
    this.#to = port;
  }

  freeze(): void {
    this.#isFrozen = true;
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #accept(socket: Socket): void {
    this.#keep(socket);
    if (this.#isFrozen) return void socket.pause();
    const node = connect(this.#to, '127.0.0.1');
    this.#keep(node);
    socket.pipe(node).pipe(socket);
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
  }
}

/** A paid life whose proxy reaches its first node over a way that can be frozen. */
async function lifeBehind(name: string, others: (rpcUrl: string) => string) {
  const way = new Way();
  cleanups.push(() => way.close());
  const port = await way.open();
  let rpcUrl = '';
  const { life, contract } = await paidLife(
    join(directory, name),
    (step) => cleanups.push(step),
    (toml) =>
      toml.replace(
        /(\[chain\]\nrpc_url = ")([^"]+)"([^[]*)/,
        (_all, head: string, url: string, rest: string) => {
          rpcUrl = url;
          way.leadTo(Number(new URL(url).port));
          return `${head}http://127.0.0.1:${port}"${rest}\n${others(url)}`;
        },
      ),
  );
  await life.kill('maker');
  return { life, contract, way, rpcUrl };
}

async function startWatch(words: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [MAIN, 'watch', ...words, '--json', '--with-parent'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  cleanups.push(async () => void child.kill('SIGKILL'));
  for await (const line of createInterface({ input: child.stdout })) {
    expect(JSON.parse(line)).toMatchObject({ channels: 1 });
    return child;
  }
  throw new Error('the watch did not start');
}

describe('a bitcoin node that answers nothing across the deadline (F7), with real processes', () => {
  it('is no trouble where the proxy has a second one', async () => {
    const { life, contract, way } = await lifeBehind('second', (url) => {
      const access = 'user = "devnet"\npassword_file = "rpc-password"';
      return `[[chain.nodes]]\nrpc_url = "${url}"\n${access}\n`;
    });
    way.freeze();
    await sleep(500);
    await expectClosedBy(life, ladderOf(life, contract));
  }, 240_000);

  it('is no trouble where a watch runs elsewhere', async () => {
    const { life, contract, way, rpcUrl } = await lifeBehind('watch', () => '');
    way.freeze();
    const { dataDir } = life.stage.proxy;
    const access = ['--rpc-user', 'devnet', '--rpc-password-file', join(dataDir, 'rpc-password')];
    await startWatch([
      ...[join(dataDir, 'close'), '--network', 'regtest', '--rpc-url', rpcUrl, ...access],
      ...['--listen', '127.0.0.1:0', '--read', '1'],
    ]);
    await expectClosedBy(life, ladderOf(life, contract));
  }, 240_000);
});
