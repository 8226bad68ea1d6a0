import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { until } from './evidence.ts';
import {
  CURRENT,
  command,
  layOldVersion,
  textOf,
  type Version,
  VersionDaemon,
  whyNoOldVersion,
} from './old-version.ts';
import { payOf, recompute } from './recompute.ts';

const PRICE = 2n * 10n ** 18n;
const STEP_HASHES = 2n ** 14n;
/** 2^240 as the nBits of a block. */
const BLOCK_BITS = 0x1f010000;
const MINER_RESERVE_SAT = 6000n;

const missing = whyNoOldVersion();
const directory = mkdtempSync(join(tmpdir(), 'sharestream-old-'));
const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

let old: Version;
beforeAll(() => {
  if (missing === undefined) old = layOldVersion(join(directory, 'old'));
});
beforeEach(({ skip }) => skip(missing !== undefined, missing));

type Role = 'proxy' | 'maker';
const ROLES = ['maker', 'proxy'] as const;

/** What the tests read of a status page: the page is the same in both versions. */
type Contract = {
  readonly id: string;
  readonly live: boolean;
  readonly channel: {
    readonly state_number: number;
    readonly signed_work_hashes: string;
    readonly paid_sat: string;
    readonly funding_tx_hex: string;
    readonly close_tx_hex: string;
    readonly close_confirmations: number;
  };
};

type Row = {
  readonly contract: string;
  readonly status: string;
  readonly state_number: number;
  readonly paid_sat: string;
};

/** A proxy and a maker, each of the version it is started with, and miners that go on. */
class Pair {
  readonly stage: Stage;
  readonly #running = new Map<Role, { readonly daemon: VersionDaemon; readonly version: Version }>();

  private constructor(stage: Stage) {
    this.stage = stage;
  }

  static async start(name: string, versions: Readonly<Record<Role, Version>>): Promise<Pair> {
    const folder = join(directory, name);
    mkdirSync(folder);
    const random = { bytes: (size: number) => new Uint8Array(randomBytes(size)) };
    const stage = await startStage(
      {
        directory: folder,
        stratum: { host: '127.0.0.1', port: 0 },
        bits: BLOCK_BITS,
        blockIntervalMs: 1_000,
        shareDifficulty: 2 ** -20,
        stepHashes: STEP_HASHES,
        workTotalHashes: STEP_HASHES * 100_000n,
        priceMsatPerEh: PRICE,
        isPlain: true,
      },
      { clock: systemClock, random, log: silentLogger },
    );
    cleanups.push(() => stage.close());
    const pair = new Pair(stage);
    // A proxy of today asks a maker of before in the terms that this one knows.
    if (versions.proxy === CURRENT) asksFor(stage.proxy.configFile, 'terms_version = 2');
    await pair.run(versions);
    const fleet = await startAsics([{ ...stage.stratum, worker: 'farm.one', hashesPerSecond: 40_000 }]);
    cleanups.push(() => fleet.stop());
    return pair;
  }

  async run(versions: Readonly<Record<Role, Version>>): Promise<void> {
    for (const role of ROLES) {
      const daemon = await VersionDaemon.start(versions[role], role, this.stage[role].configFile);
      cleanups.push(() => daemon.kill());
      this.#running.set(role, { daemon, version: versions[role] });
    }
  }

  async stop(): Promise<void> {
    for (const role of ROLES) expect(await this.#running.get(role)!.daemon.stop(), role).toBe(0);
  }

  /** The contract once so many states more than `after` are signed. */
  earn(states: number, after = 0): Promise<Contract> {
    return until(`state ${after + states}`, async () => {
      const contract = await this.#contract();
      const isPaid = contract?.live === true && contract.channel.state_number >= after + states;
      return isPaid ? contract : undefined;
    });
  }

  /** The contract when a block has its close. */
  async close({ id }: Contract): Promise<Contract> {
    const { configFile } = this.stage.proxy;
    const words = ['channel', 'close', id, '--config', configFile, '--yes', '--wait', '60'];
    await command(this.#running.get('proxy')!.version, ...words);
    const closed = await until('the close in a block', async () => {
      const contract = await this.#contract();
      return contract?.id === id && contract.channel.close_confirmations > 0 ? contract : undefined;
    });
    await until('the close on both disks', async () => {
      const rows = await Promise.all(ROLES.map((role) => this.row(role, id)));
      return rows.every(({ status }) => status === 'closed') || undefined;
    });
    return closed;
  }

  /** Of the ledgers of both, read by the current version: they are sound, and agree to the sat. */
  async check({ id, channel }: Contract): Promise<void> {
    for (const role of ROLES) {
      const path = this.#ledger(role);
      expect(await command(CURRENT, 'ledger', 'verify', '--path', path)).toMatchObject({ ok: true });
    }
    const [maker, miner] = await Promise.all(ROLES.map((role) => this.row(role, id)));
    for (const row of [maker!, miner!])
      expect([row.state_number, row.paid_sat]).toEqual([channel.state_number, channel.paid_sat]);
    const workHashes = BigInt(channel.signed_work_hashes);
    const evidence = recompute(
      await textOf(CURRENT, 'ledger', 'evidence', '--path', this.#ledger('proxy'), '--stream', id),
    );
    expect(new Set(evidence.hashes).size).toBe(evidence.shares);
    expect(workHashes).toBeLessThanOrEqual(evidence.workHashes);
    const paidSat = BigInt(channel.paid_sat);
    expect(paidSat).toBe(payOf(workHashes, PRICE));
    expect(paidSat).toBeGreaterThan(0n);
  }

  /** The same of a contract that is over: what was bought is what was paid, and the chain has it. */
  async checkClosed(contract: Contract): Promise<void> {
    await this.check(contract);
    const { channel, id } = contract;
    const streams = await command<{ stream: string; work_hashes: string }[]>(
      CURRENT,
      ...['ledger', 'streams', '--path', this.#ledger('maker')],
    );
    expect(streams.find(({ stream }) => stream === id)?.work_hashes).toBe(channel.signed_work_hashes);
    const [funding, close] = [channel.funding_tx_hex, channel.close_tx_hex].map(Transaction.fromHex);
    const [input] = close!.ins;
    expect(Buffer.from(input!.hash).reverse().toString('hex')).toBe(funding!.getId());
    const [minerSat, makerSat] = close!.outs.map(({ value }) => value);
    const fundedSat = funding!.outs[input!.index]!.value;
    const feeSat = fundedSat - minerSat! - makerSat!;
    expect(close!.outs).toHaveLength(2);
    expect(minerSat).toBe(MINER_RESERVE_SAT + BigInt(channel.paid_sat) - feeSat);
    expect(makerSat).toBe(fundedSat - MINER_RESERVE_SAT - BigInt(channel.paid_sat));
    expect(this.stage.chain.transaction(close!.getId())?.block).toBeDefined();
  }

  async row(role: Role, id: string): Promise<Row> {
    const answer = await command<Row[] | { channels: Row[] }>(
      CURRENT,
      ...['channel', 'list', '--ledger', this.#ledger(role)],
    );
    const rows = Array.isArray(answer) ? answer : answer.channels;
    return rows.find(({ contract }) => contract === id)!;
  }

  #ledger(role: Role): string {
    return join(this.stage[role].dataDir, 'ledger.sqlite');
  }

  async #contract(): Promise<Contract | undefined> {
    try {
      const response = await fetch(`${this.stage.proxy.metricsUrl}/api/v1/status`);
      return ((await response.json()) as { contract: Contract | null }).contract ?? undefined;
    } catch {
      return undefined;
    }
  }
}

describe.concurrent('the version before', () => {
  it('leaves ledgers that the current one opens, verifies and takes to the end of the channel', async () => {
    const both = { proxy: old, maker: old };
    const pair = await Pair.start('ledger', both);
    const over = await pair.close(await pair.earn(3));
    await pair.stop();
    await pair.run(both);
    const running = await pair.earn(5);
    expect(running.id).not.toBe(over.id);
    await pair.stop();
    await pair.checkClosed(over);
    const before = await pair.row('proxy', running.id);
    expect(await pair.row('maker', running.id)).toMatchObject({ state_number: before.state_number });

    await pair.run({ proxy: CURRENT, maker: CURRENT });
    const later = await pair.earn(5, before.state_number);
    expect(later.id).toBe(running.id);
    const closed = await pair.close(later);
    await pair.stop();
    await pair.checkClosed(over);
    await pair.checkClosed(closed);
  }, 240_000);

  it('is a good peer: a maker of it serves a current proxy for a whole contract', async () => {
    const pair = await Pair.start('maker', { proxy: CURRENT, maker: old });
    const closed = await pair.close(await pair.earn(5));
    await pair.stop();
    await pair.checkClosed(closed);
  }, 240_000);

  it('finds no buyer for its unbound work, is told why, and mines to its own pool', async () => {
    const pair = await Pair.start('proxy', { proxy: old, maker: CURRENT });
    const log = `${pair.stage.proxy.configFile}.log`;
    await until(
      'the refusal',
      async () => /bad_terms.*must be 3/.test(readFileSync(log, 'utf8')) || undefined,
    );
    await until('shares at the own pool', async () => pair.stage.pool.stats.shares > 0 || undefined);
    await pair.stop();
  }, 240_000);
});

/** Adds an option to `[contract]`. */
function asksFor(configFile: string, option: string): void {
  const text = readFileSync(configFile, 'utf8');
  writeFileSync(configFile, text.replace(/^binding_script = .*$/m, `$&\n${option}`));
}
