import * as fs from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { address } from 'bitcoinjs-lib';
import { sha256 } from '../../src/base/hash.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { Switchboard } from '../base/switchboard.ts';
import { fetchBitcoind } from './bitcoind-program.ts';
import { type NodeAccess, TestNode } from './node.ts';
import { NodeProcess } from './node-process.ts';

const USER = 'suite';
const PASSWORD = 'suite';
const START_ATTEMPTS = 5;

/** What the node does about version 3: the rules of Bitcoin Core, none at all, or it takes none of it. */
export type TrucPolicy = 'enforce' | 'accept' | 'reject';

/** A bitcoind of this process: regtest, no peers, data in a temporary folder, ended by its pid. */
export class BitcoindNode extends TestNode {
  readonly kind = 'bitcoind';
  readonly #board: Switchboard;
  readonly #directory: string;
  readonly #options: readonly string[];
  #process: NodeProcess | undefined;
  #forks = 0;

  private constructor(
    access: NodeAccess,
    board: Switchboard,
    directory: string,
    options: readonly string[],
  ) {
    super(access);
    this.#board = board;
    this.#directory = directory;
    this.#options = options;
  }

  static async start(truc: TrucPolicy = 'enforce', more: readonly string[] = []): Promise<BitcoindNode> {
    const board = await Switchboard.listen();
    const access = { url: `http://127.0.0.1:${board.port}`, user: USER, password: PASSWORD };
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'bitcoind-'));
    const node = new BitcoindNode(access, board, directory, [`-mempooltruc=${truc}`, ...more]);
    await node.#launch([]);
    await node.grow();
    return node;
  }

  /** After blocks were taken off, those mined differ from them: the same ones would be refused. */
  async generate(count: number): Promise<void> {
    if (count > 0) await this.call('generatetoaddress', count, this.#payee());
  }

  override async invalidate(count: number): Promise<string> {
    this.#forks += 1;
    return super.invalidate(count);
  }

  async minimumSatPerKvb(): Promise<number> {
    const { mempoolminfee } = (await this.call('getmempoolinfo')) as { mempoolminfee: string };
    return Math.round(Number(mempoolminfee) * 1e8);
  }

  async restart(options: { readonly minRelayBtcPerKvb?: string } = {}): Promise<void> {
    const { minRelayBtcPerKvb } = options;
    await this.#process?.stop();
    await this.#launch(minRelayBtcPerKvb === undefined ? [] : [`-minrelaytxfee=${minRelayBtcPerKvb}`]);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#board.close();
    await this.#process?.stop();
    await fs.rm(this.#directory, { recursive: true, force: true });
  }

  #payee(): string {
    if (this.#forks === 0) return TestNode.bankAddress;
    const program = sha256(new TextEncoder().encode(`blocks of fork ${this.#forks}`));
    return address.toBech32(program, 0, NETWORKS.regtest.params.bech32);
  }

  /** It does not say which port it took, so it is given one; somebody else may take that meanwhile. */
  async #launch(extra: readonly string[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      const options = [...optionsOf(this.#directory, port), ...this.#options, ...extra];
      try {
        const { process } = await NodeProcess.start(fetchBitcoind(), options, /Done loading/);
        this.#process = process;
        this.#board.targetPort = port;
        return;
      } catch (error) {
        if (attempt === START_ATTEMPTS || !/Unable to bind/.test(String(error))) throw error;
      }
    }
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

function optionsOf(directory: string, port: number): readonly string[] {
  return [
    '-regtest',
    `-datadir=${directory}`,
    '-noconf',
    '-printtoconsole=1',
    '-nodebuglogfile',
    `-rpcuser=${USER}`,
    `-rpcpassword=${PASSWORD}`,
    '-rpcbind=127.0.0.1',
    '-rpcallowip=127.0.0.1',
    `-rpcport=${port}`,
    '-rpcthreads=8',
    '-rpcworkqueue=200',
    '-listen=0',
    '-connect=0',
    '-dnsseed=0',
    '-txindex=1',
    '-acceptnonstdtxn=0',
    // A node that starts again has forgotten what waited.
    '-persistmempool=0',
    // What a wallet pays where there is no estimate.
    '-fallbackfee=0.00002',
  ];
}
