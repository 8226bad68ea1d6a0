import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../../src/base/bytes.ts';
import { capacitySat } from '../../src/channel/amounts.ts';
import { type ChainRpcServer, startChainRpcServer } from '../../src/devnet/chain/chain-rpc-server.ts';
import type { SpentOutput } from '../../src/devnet/chain/interpreter.ts';
import { verifyScripts } from '../../src/devnet/chain/interpreter.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { MemoryLedger } from '../ledger/memory-ledger.ts';
import { seedOf, until, World, type WorldOptions } from '../maker/world.ts';

const KINDS = [
  'proposal',
  'contract',
  'opening',
  'funding',
  'state',
  'channel',
  'delivery',
  'ack',
  'seal',
  'stream',
  'blob',
  'notices',
  'updates',
  'commitment',
];

export type Side = 'miner' | 'maker';

/** A channel with some states, its parties stopped, their ledgers and keys on disk, and a node to ask. */
export class Aftermath {
  readonly directory = mkdtempSync(join(tmpdir(), 'sharestream-cli-'));
  readonly world: World;
  rpc!: ChainRpcServer;

  constructor(options: WorldOptions = {}) {
    this.world = new World(options);
  }

  /** A short run: so many states after state 0. */
  async run(states = 3): Promise<void> {
    const { world } = this;
    await world.open();
    for (let n = 1; n <= states; n += 1) {
      await world.work(4);
      await until(`state ${n}`, () => world.miner.status.signed?.n === n);
      await until(`ack ${n}`, () => world.maker.status[0]!.ackedN === n);
      if (n === states - 1) await this.#keepOldCopy();
    }
    await world.stop();
    this.rpc = await startChainRpcServer({}, { chain: world.chain, log: silentLogger });
    for (const side of ['miner', 'maker'] as const) {
      this.writeHome(side, side);
      const store = side === 'miner' ? world.minerStore : world.makerStore;
      await copyLedger(store, join(this.directory, side, 'ledger.sqlite'));
    }
  }

  /** The miner's ledger before the last state, in a home of its own that `writeHome` completes. */
  async #keepOldCopy(): Promise<void> {
    mkdirSync(join(this.directory, 'old'), { mode: 0o700 });
    await copyLedger(this.world.minerStore, join(this.directory, 'old', 'ledger.sqlite'));
  }

  /** A data directory with a configuration, and keys unless told otherwise; the path of the configuration. */
  writeHome(
    name: string,
    side: Side,
    options: { keys?: boolean; makerPort?: number; httpPort?: number } = {},
  ): string {
    const home = join(this.directory, name);
    mkdirSync(home, { recursive: true, mode: 0o700 });
    if (options.keys !== false) {
      writeFileSync(join(home, 'seed'), `${toHex(seedOf(side))}\n`, { mode: 0o600 });
    }
    const file = join(home, 'config.toml');
    const role = side === 'miner' ? this.#proxyToml(options.makerPort ?? 1) : this.#makerToml();
    const head = 'network = "regtest"\ndata_dir = "."\n';
    const chain = `[chain]\nrpc_url = "${this.rpc.url}"\npoll = "100ms"\n`;
    const page = `[metrics]\nlisten = "127.0.0.1:${options.httpPort ?? 2}"\n`;
    writeFileSync(file, `${head}${role}\n${chain}\n${page}`);
    return file;
  }

  config(side: Side): string {
    return join(this.directory, side, 'config.toml');
  }

  path(...names: string[]): string {
    return join(this.directory, ...names);
  }

  /** The output a channel is. */
  get fundingOutput(): SpentOutput {
    const record = this.world.chain.transaction(this.fundingTxid)!.transaction;
    const output = record.outs[this.fundingVout]!;
    return { script: output.script, valueSat: output.value };
  }

  get fundingTxid(): string {
    return this.world.miner.status.fundingTxid!;
  }

  get fundingVout(): number {
    const { outs } = this.world.chain.transaction(this.fundingTxid)!.transaction;
    const capacity = capacitySat(this.world.terms);
    return outs.findIndex(({ script, value }) => script.length === 34 && value === capacity);
  }

  /** What the interpreter of the devnet says of a transaction that spends the channel. */
  verdict(hex: string): string | undefined {
    return verifyScripts(Transaction.fromHex(hex), [this.fundingOutput]);
  }

  async end(): Promise<void> {
    await this.rpc.close();
    rmSync(this.directory, { recursive: true });
  }

  #proxyToml(makerPort: number): string {
    const { terms } = this.world;
    return `
[[destination]]
name = "own"
url = "stratum+tcp://127.0.0.1:1"
worker = "w"
role = "contract"

[[destination]]
name = "fallback"
url = "stratum+tcp://127.0.0.1:1"
worker = "w"

[contract]
enabled = true
maker_url = "127.0.0.1:${makerPort}"
maker_node_id = "${terms.makerNodeId}"
price = "1 sat/EH"
work_total = "100 EH"

[payout]
script = "0014${'11'.repeat(20)}"
`;
  }

  #makerToml(): string {
    return `
[peer]
listen = "127.0.0.1:1"

[policy]
max_price = "1 sat/EH"
`;
  }
}

/** A ledger on disk with the documents of another. */
export async function copyLedger(store: MemoryLedger, path: string): Promise<void> {
  const ledger = await openSqliteLedger({ path }, { log: silentLogger });
  for (const kind of KINDS) {
    const entries = (await store.list(kind)).map(
      ({ id, body }) => ({ type: 'put', kind, id, body }) as const,
    );
    if (entries.length > 0) await ledger.appendNow(entries);
  }
  await ledger.close();
}
