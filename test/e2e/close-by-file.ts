import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Transaction } from 'bitcoinjs-lib';
import { expect } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { type Ladder, parseLadder } from '../../src/channel/ladder-file.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import { ladderPath } from '../../src/settlement/ladder-writer.ts';
import { CrashLife, type Daemon } from './crash-life.ts';
import { until } from './evidence.ts';

const BROADCAST_BLOCKS = 144;
const EXPIRY_BLOCKS = 460;

/** A life with a paid state and a contract so short that its expiry can be mined. */
export async function paidLife(
  directory: string,
  undo: (step: () => Promise<unknown>) => void,
  edit: (toml: string) => string = (toml) => toml,
): Promise<{ readonly life: CrashLife; readonly contract: string }> {
  const life = await CrashLife.start(directory, undo, (toml) =>
    edit(toml.replace('expiry_blocks = 20000', `expiry_blocks = ${EXPIRY_BLOCKS}`)),
  );
  await life.strikeAll({ proxy: [], maker: [] });
  await life.earn();
  const contract = (await readStatus(life.stage.proxy.metricsUrl))!.contract!.id;
  return { life, contract };
}

export function ladderOf(life: CrashLife, contract: string, daemon: Daemon = 'proxy'): Ladder {
  const path = ladderPath(join(life.stage[daemon].dataDir, 'close'), contract);
  return parseLadder(readFileSync(path, 'utf8'));
}

/** Mines to the time to broadcast: the channel is closed then by a rung of this ladder, to the sat. */
export async function expectClosedBy(life: CrashLife, ladder: Ladder): Promise<void> {
  const { chain } = life.stage;
  const { expiryHeight } = ladder.deadlines;
  while (chain.height < expiryHeight - BROADCAST_BLOCKS) {
    // The node of this life is in this process: it answers between two blocks.
    chain.generate(1);
    await sleep(10);
  }
  const { txid, vout } = ladder.funding;
  const spend = await until('the close', async () => {
    const waiting = chain.mempoolSpender(txid, vout);
    return waiting === undefined ? spenderInBlocks(life, txid) : chain.transaction(waiting)?.transaction;
  });
  expect(chain.height).toBeLessThan(expiryHeight);
  const rung = ladder.rungs.find((each) => each.txid === spend.getId());
  expect(rung).toBeDefined();
  expect(spend.outs[0]!.value).toBe(ladder.minerSat - rung!.feeSat);
  expect(ladder.paidSat).toBeGreaterThan(0n);
}

/** Mines to the expiry: the channel is the maker's then, by a refund of this file and no block before. */
export async function expectTakenBackBy(life: CrashLife, ladder: Ladder): Promise<void> {
  const { chain } = life.stage;
  const { txid, vout } = ladder.funding;
  while (chain.height < ladder.deadlines.expiryHeight) {
    expect(chain.mempoolSpender(txid, vout)).toBeUndefined();
    chain.generate(1);
    await sleep(10);
  }
  const spend = await until('the refund', async () => {
    const waiting = chain.mempoolSpender(txid, vout);
    return waiting === undefined ? spenderInBlocks(life, txid) : chain.transaction(waiting)?.transaction;
  });
  const rung = ladder.rungs.find((each) => each.txid === spend.getId());
  expect(rung).toBeDefined();
  expect(spend.outs.map(({ value }) => value)).toEqual([ladder.funding.valueSat - rung!.feeSat]);
}

function spenderInBlocks({ stage: { chain } }: CrashLife, fundingTxid: string): Transaction | undefined {
  const heights = Array.from({ length: 20 }, (_, index) => chain.height - index);
  return heights
    .flatMap((height) => chain.blockAt(height)?.transactions ?? [])
    .find(({ ins }) => ins.some(({ hash }) => toHex(hash.toReversed()) === fundingTxid));
}
