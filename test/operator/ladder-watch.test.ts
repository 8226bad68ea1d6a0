import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { stateAmounts } from '../../src/channel/amounts.ts';
import { type Ladder, makeRefundLadder, parseLadder } from '../../src/channel/ladder-file.ts';
import { startWatch } from '../../src/daemon/watch.ts';
import { startChainRpcServer } from '../../src/devnet/chain/chain-rpc-server.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { LadderWatch } from '../../src/operator/ladder-watch.ts';
import { LadderWriter, ladderPath } from '../../src/settlement/ladder-writer.ts';
import { sharestream } from '../cli/program.ts';
import { MirrorNode } from '../devnet/mirror.ts';
import { SHARE, until, World } from '../maker/world.ts';

const EXPIRY = 600;
const BROADCAST = EXPIRY - 144;

const log = silentLogger;
let folder: string;
let world: World;
let own: MirrorNode;

/** A miner whose only node stands still, with two acked states, and a maker that says nothing any more. */
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ladders-'));
  const ladders = new LadderWriter(folder, { clock: systemClock, timers: systemTimers, log });
  const terms = { expiryHeight: EXPIRY, minerReserveSat: 100_000n };
  world = new World({ terms, policy: { minExpiryBlocks: 300 }, ladders });
  own = new MirrorNode(world.chain, world.premine);
  world.minerDeps = { chain: own.source };
  await world.open();
  for (const n of [1, 2]) {
    await world.work(4);
    await until(`state ${n}`, () => world.maker.status[0]!.ackedN === n);
  }
  await ladders.idle();
  await world.maker.close();
  own.isFrozen = true;
});
afterEach(async () => {
  await world.stop();
  rmSync(folder, { recursive: true, force: true });
});

const readLadder = (): Ladder => parseLadder(readFileSync(ladderPath(folder, world.contractId), 'utf8'));

function mineTo(height: number): void {
  world.chain.generate(height - world.chain.height);
}

/** A block holds the miner's close by state 2, to the satoshi. */
function expectClosed(): void {
  const [entry, ...others] = world.chain.mempoolEntries();
  expect(others).toEqual([]);
  const { minerSat } = stateAmounts(world.terms, 8n * SHARE.workHashes);
  const script = toHex(p2wpkhScript(world.minerSigner.publicKey('wallet')));
  const balance = (): bigint => world.chain.utxos(script).reduce((sum, coin) => sum + coin.valueSat, 0n);
  const before = balance();
  world.chain.generate(1);
  expect(balance() - before).toBe(minerSat - entry!.feeSat);
}

describe('a ladder on another machine, while the own node stands still (F7)', () => {
  it('closes the channel in time, by the newest acked state, not a block before (I54)', async () => {
    const watch = new LadderWatch({ chain: world.source, log });
    const look = (): Promise<void> => watch.look(readLadder(), world.chain.tip());
    await look();
    expect(watch.status).toBe('waiting');
    mineTo(BROADCAST - 1);
    await look();
    expect(world.chain.mempoolEntries()).toEqual([]);
    mineTo(BROADCAST);
    // By itself the miner does nothing: for it no block came.
    await world.rest();
    expect(world.chain.mempoolEntries()).toEqual([]);
    await look();
    expect(watch).toMatchObject({ status: 'closing', lastBroadcast: { result: 'taken' } });
    expectClosed();
    world.chain.generate(5);
    await look();
    expect(watch.status).toBe('closed');
    world.chain.generate(94);
    await look();
    expect(watch.isOver).toBe(true);
  });

  it('finds a close that became deep between two looks', async () => {
    const watch = new LadderWatch({ chain: world.source, log });
    await watch.look(readLadder(), world.chain.tip());
    mineTo(BROADCAST);
    await watch.look(readLadder(), world.chain.tip());
    // It waits.
    await watch.look(readLadder(), world.chain.tip());
    expectClosed();
    world.chain.generate(40);
    await watch.look(readLadder(), world.chain.tip());
    expect(watch.status).toBe('closed');
    world.chain.generate(1);
    await watch.look(readLadder(), world.chain.tip());
    expect(watch.status).toBe('closed');
    world.chain.generate(58);
    await watch.look(readLadder(), world.chain.tip());
    expect(watch.isOver).toBe(true);
  });

  it('climbs with what blocks ask for, and a rung more where no block takes it', async () => {
    let satPerKvb = 1_100;
    const estimate = { feeRateSatPerKvb: (): Promise<number> => Promise.resolve(satPerKvb) };
    const watch = new LadderWatch({ chain: { ...world.source, ...estimate }, log });
    const { rungs } = readLadder();
    const waiting = async (height: number): Promise<number> => {
      // Blocks come, and none holds it: it pays too little.
      await watch.look(readLadder(), { ...world.chain.tip(), height });
      return rungs.findIndex(({ txid }) => txid === world.chain.mempoolEntries()[0]?.txid);
    };
    expect(await waiting(BROADCAST)).toBe(0);
    satPerKvb = rungs[2]!.satPerKvb;
    expect(await waiting(BROADCAST + 1)).toBe(2);
    satPerKvb = 1_100;
    expect(await waiting(BROADCAST + 2)).toBe(2);
    expect(await waiting(BROADCAST + 3)).toBe(2);
    expect(await waiting(EXPIRY - 36)).toBe(3);
    expectClosed();
  });

  it('climbs too where each look is a process of its own, as a timer runs it', async () => {
    const anew = { feeRateSatPerKvb: (): Promise<number> => Promise.resolve(1_100) };
    const { rungs } = readLadder();
    mineTo(BROADCAST);
    const seen: number[] = [];
    for (let height = BROADCAST; height < BROADCAST + 4; height += 1) {
      // Blocks come, and none holds it: it waits in the mempool since the first.
      const watch = new LadderWatch({ chain: { ...world.source, ...anew }, log });
      await watch.look(readLadder(), { ...world.chain.tip(), height });
      const [entry] = world.chain.mempoolEntries();
      seen.push(rungs.findIndex(({ txid }) => txid === entry?.txid));
    }
    expect(seen).toEqual([0, 0, 1, 2]);
    expectClosed();
  });

  it('is used at once where the file says that the proxy closes alone', async () => {
    const watch = new LadderWatch({ chain: world.source, log });
    await watch.look({ ...readLadder(), isClosing: true }, world.chain.tip());
    expectClosed();
  });

  it('is not used where something else spends the channel', async () => {
    const { rungs } = readLadder();
    const watch = new LadderWatch({ chain: world.source, log });
    await watch.look(readLadder(), world.chain.tip());
    await world.source.broadcast(rungs[1]!.hex);
    world.chain.generate(6);
    await watch.look(readLadder(), world.chain.tip());
    expect(watch.status).toBe('closed');
    expect(watch.lastBroadcast).toBeUndefined();
  });
});

describe('a refund on another machine', () => {
  async function refundOf(): Promise<Ladder> {
    const { assembled, contract } = (await MakerStore.load(world.contractId, {
      ...{
        ledger: world.makerStore,
        signer: world.makerSigner,
        clock: systemClock,
        timers: systemTimers,
        log,
      },
    }))!;
    const keys = world.makerSigner.forChannel(contract.channelIndex);
    return makeRefundLadder(assembled!.params, keys, systemClock.nowMs());
  }

  it('takes the channel back at the expiry, and climbs where no block takes it', async () => {
    const refund = await refundOf();
    const watch = new LadderWatch({ chain: world.source, log });
    const rungAt = async (height: number): Promise<number> => {
      await watch.look(refund, { ...world.chain.tip(), height });
      return refund.rungs.findIndex(({ txid }) => txid === world.chain.mempoolEntries()[0]?.txid);
    };
    mineTo(EXPIRY - 1);
    expect(await rungAt(EXPIRY - 1)).toBe(-1);
    mineTo(EXPIRY);
    expect(await rungAt(EXPIRY)).toBe(1);
    expect(await rungAt(EXPIRY + 1)).toBe(1);
    expect(await rungAt(EXPIRY + 2)).toBe(2);
    expect(await rungAt(EXPIRY + 3)).toBe(3);
    world.chain.generate(6);
    await watch.look(refund, world.chain.tip());
    expect(watch.status).toBe('closed');
  });

  it('leaves a state of the miner alone that waits, whatever that pays', async () => {
    const refund = await refundOf();
    const watch = new LadderWatch({ chain: world.source, log });
    mineTo(EXPIRY);
    await world.source.broadcast(readLadder().rungs[0]!.hex);
    for (let height = EXPIRY; height < EXPIRY + 5; height += 1)
      await watch.look(refund, { ...world.chain.tip(), height });
    expect(watch.lastBroadcast).toBeUndefined();
    expectClosed();
  });
});

describe('sharestream watch --once', () => {
  it('closes a channel from a file alone, and says by its exit code whether somebody must look', async () => {
    const node = await startChainRpcServer({}, { chain: world.chain, log });
    const once = async (...words: string[]) => {
      const node_ = ['--network', 'regtest', '--rpc-url', node.url, '--once', '--json'];
      return sharestream(['watch', folder, ...node_, ...words]);
    };
    const early = await once();
    expect(early.code).toBe(0);
    expect(early.json()).toMatchObject({ troubles: [], channels: [{ state: 'waiting', n: 2 }] });
    expect(await once('--max-age', '0')).toMatchObject({ code: 1 });
    mineTo(BROADCAST);
    const due = await once();
    expect(due.code).toBe(0);
    expect(due.json()).toMatchObject({
      channels: [{ state: 'closing', last_broadcast: { result: 'taken' } }],
    });
    expectClosed();
    world.chain.generate(6);
    expect((await once()).json()).toMatchObject({ channels: [{ state: 'closed' }] });
    await node.close();
    const dead = await once();
    expect(dead.code).toBe(1);
    expect(dead.json()).toMatchObject({ last_error: { code: 'chain_unreachable' } });
    expect((await sharestream(['watch', '--once', '--rpc-url', node.url])).code).toBe(2);
  });
});

describe('a running watch', () => {
  it('closes by itself when the time has come, with a page of its own', async () => {
    const node = await startChainRpcServer({}, { chain: world.chain, log });
    const shared = { otherNodes: [], pollMs: 10, feeRateSatPerKvb: 2_000, blockIntervalMs: 0 };
    const chain = { rpcUrl: node.url, auth: { type: 'none' as const }, ...shared };
    const watch = await startWatch(
      { network: 'regtest', chain, paths: [folder], readMs: 50, maxAgeMs: 3_600_000 },
      { host: '127.0.0.1', port: 0 },
      log,
    );
    const page = async (path: string): Promise<string> =>
      (await fetch(`http://${String(watch.ready['http'])}${path}`)).text();
    const isThere = async (line: string): Promise<boolean> => (await page('/metrics')).includes(line);
    expect(await isThere('sharestream_watch_ladders{state="waiting"} 1')).toBe(true);
    expect(await isThere('sharestream_watch_ladder_age_seconds{contract="')).toBe(true);
    expect(await page('/readyz')).toBe('ready\n');
    mineTo(BROADCAST);
    await until('the close', () => world.chain.mempoolEntries().length === 1);
    await until('counted', () => isThere('sharestream_watch_broadcasts_total{result="taken"} 1'));
    expectClosed();
    world.chain.generate(6);
    await until('closed', () => isThere('sharestream_watch_ladders{state="closed"} 1'));
    expect(await isThere('sharestream_watch_ladder_age_seconds{')).toBe(false);
    await watch.close();
    await node.close();
  });
});
