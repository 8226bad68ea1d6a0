import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { Switchboard } from '../base/switchboard.ts';
import { btcdProgram } from './btcd-program.ts';
import { type NodeAccess, TestNode } from './node.ts';
import { NodeProcess } from './node-process.ts';

const LISTENING = /RPC server listening on 127\.0\.0\.1:([0-9]+)/;
const USER = 'suite';
const PASSWORD = 'suite';
const COPIED_AT_ONCE = 500;

/** A btcd of this process: regtest, no peers, data in a temporary directory, killed at the end by its pid. */
export class BtcdNode extends TestNode {
  readonly kind = 'btcd';
  readonly #board: Switchboard;
  readonly #extra: readonly string[];
  #process: BtcdProcess;

  private constructor(
    access: NodeAccess,
    board: Switchboard,
    extra: readonly string[],
    process: BtcdProcess,
  ) {
    super(access);
    this.#board = board;
    this.#extra = extra;
    this.#process = process;
    board.targetPort = process.port;
  }

  /** @param extra more options of btcd, the last one given counting */
  static async start(extra: readonly string[] = []): Promise<BtcdNode> {
    const board = await Switchboard.listen();
    const process = await BtcdProcess.start(extra);
    const url = `http://127.0.0.1:${board.port}`;
    const node = new BtcdNode({ url, user: USER, password: PASSWORD }, board, extra, process);
    await node.grow();
    return node;
  }

  async generate(count: number): Promise<void> {
    if (count > 0) await this.call('generate', count);
  }

  async minimumSatPerKvb(): Promise<number> {
    const { relayfee } = (await this.call('getinfo')) as { relayfee: string | number };
    return Math.round(Number(relayfee) * 1e8);
  }

  /** btcd clears its regtest data when it starts: another one is given the blocks, then takes its place. */
  async restart(options: { readonly minRelayBtcPerKvb?: string } = {}): Promise<void> {
    const { minRelayBtcPerKvb } = options;
    const extra = minRelayBtcPerKvb === undefined ? [] : [`--minrelaytxfee=${minRelayBtcPerKvb}`];
    const old = this.#process;
    this.#process = await BtcdProcess.start([...this.#extra, ...extra]);
    await this.#process.copyBlocks(old);
    this.#board.targetPort = this.#process.port;
    await old.close();
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#board.close();
    await this.#process.close();
  }
}

class BtcdProcess {
  readonly port: number;
  readonly #process: NodeProcess;
  readonly #directory: string;

  private constructor(process: NodeProcess, directory: string, port: number) {
    this.#process = process;
    this.#directory = directory;
    this.port = port;
  }

  static async start(extra: readonly string[]): Promise<BtcdProcess> {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'btcd-'));
    const options = [...optionsOf(directory), ...extra];
    const { process, match } = await NodeProcess.start(btcdProgram(), options, LISTENING);
    return new BtcdProcess(process, directory, Number(match[1]));
  }

  /** The best chain of another process, without what waits in its mempool. */
  async copyBlocks(from: BtcdProcess): Promise<void> {
    const [height] = await from.#batch([['getblockcount']]);
    for (let next = 1; next <= Number(height); next += COPIED_AT_ONCE) {
      const count = Math.min(COPIED_AT_ONCE, Number(height) - next + 1);
      const heights = Array.from({ length: count }, (_, index) => next + index);
      const hashes = await from.#batch(heights.map((each) => ['getblockhash', each]));
      const blocks = await from.#batch(hashes.map((hash) => ['getblock', hash, 0]));
      const refusals = await this.#batch(blocks.map((block) => ['submitblock', block]));
      const refusal = refusals.find((answer) => answer !== null);
      if (refusal !== undefined) throw new Error(`submitblock: ${String(refusal)}`);
    }
  }

  /** Many calls in one request, each a method and its parameters; the results in their order. */
  async #batch(calls: readonly (readonly [string, ...unknown[]])[]): Promise<readonly unknown[]> {
    const response = await fetch(`http://127.0.0.1:${this.port}`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}` },
      body: JSON.stringify(
        calls.map(([method, ...params], id) => ({ jsonrpc: '2.0', id, method, params })),
      ),
    });
    const answers = (await response.json()) as { id: number; result?: unknown; error?: unknown }[];
    return answers
      .sort((one, other) => one.id - other.id)
      .map(({ result, error }) => {
        if (error !== undefined && error !== null) throw new Error(JSON.stringify(error));
        return result;
      });
  }

  async close(): Promise<void> {
    await this.#process.stop();
    await fs.rm(this.#directory, { recursive: true, force: true });
  }
}

function optionsOf(directory: string): readonly string[] {
  return [
    '--regtest',
    `--configfile=${path.join(directory, 'none.conf')}`,
    `--datadir=${path.join(directory, 'data')}`,
    `--logdir=${path.join(directory, 'logs')}`,
    '--notls',
    `--rpcuser=${USER}`,
    `--rpcpass=${PASSWORD}`,
    '--rpclisten=127.0.0.1:0',
    '--rpcmaxclients=200',
    '--nolisten',
    '--nodnsseed',
    '--txindex',
    '--addrindex',
    '--nocfilters',
    `--miningaddr=${TestNode.bankAddress}`,
  ];
}
