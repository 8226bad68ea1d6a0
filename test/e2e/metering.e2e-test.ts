import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ProxyStatusAnswer } from '../../src/daemon/status-client.ts';
import { DEVNET_PRICE_MSAT_PER_EH } from '../../src/devnet/devnet.ts';
import type { StageRole } from '../../src/devnet/stage.ts';
import { requestAction } from '../../src/operator/daemon-action.ts';
import type { MakerStatusAnswer } from '../api/all-operations.ts';
import { answer } from '../cli/program.ts';
import { until as untilSeen } from './evidence.ts';
import { TwoDaemons } from './two-daemons.ts';

const two = new TwoDaemons('metering');

const until = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
  untilSeen(what, async () => look().catch(() => undefined), 90_000);

/** Neither side has a bitcoin node, and nothing has a price. */
function withoutMoney({ configFile }: StageRole, binding: string): void {
  const text = readFileSync(configFile, 'utf8')
    .replace(/^price = .*\n/m, '')
    .replace(/^binding_script = .*$/m, binding)
    .replace(/\[payout\][\s\S]*?(?=\[chain\])/, '')
    .replace(/\[chain\][\s\S]*?(?=\[metrics\])/, '');
  writeFileSync(configFile, text);
}

type Row = MakerStatusAnswer['metering'][number];

it('work is metered between two daemons that have no bitcoin node, over restarts, to the end', async () => {
  const free = { isPlain: true, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH };
  const stage = await two.start({ blockIntervalMs: 60_000, ...free }, (written) => {
    withoutMoney(written.proxy, 'binding = "none"');
    withoutMoney(written.maker, 'bindings = ["none"]');
  });
  const { maker, proxy, directory } = two;
  await two.asics([{ worker: 'farm.rig1', hashesPerSecond: 300_000 }]);

  const ofProxy = async (): Promise<ProxyStatusAnswer['metering']> =>
    (await two.proxyStatus())?.metering ?? null;
  const ofMaker = async (): Promise<Row | undefined> => (await two.makerStatus()).metering[0];
  const signed = async (totals: number): Promise<void> => {
    await until(`${totals} totals at both`, async () => {
      const [miner, row] = [await ofProxy(), await ofMaker()];
      return miner !== null && miner.totals >= totals && (row?.totals ?? 0) >= totals ? true : undefined;
    });
  };
  await signed(2);
  await maker.kill();
  await maker.start();
  await signed(((await ofProxy())?.totals ?? 0) + 2);
  await proxy.kill();
  await proxy.start();
  await signed(((await ofMaker())?.totals ?? 0) + 2);
  await requestAction(stage.proxy.metricsUrl, stage.proxy.dataDir, 'metering/end');
  const [miner, row] = await until('ended at both, by the same total', async () => {
    const both = [await ofProxy(), await ofMaker()] as const;
    return both.every((each) => each?.status === 'ended') ? both : undefined;
  });
  expect(String(miner?.signed_work_hashes)).toBe(row?.signed_work_hashes);
  expect(miner).toMatchObject({ end_reason: 'asked', refused: {} });

  const files = ['proxy', 'maker'].map((side) => join(directory, `${side}.evidence`));
  for (const [index, { dataDir }] of [stage.proxy, stage.maker].entries())
    await answer([
      ...['evidence', 'export', '--ledger', join(dataDir, 'ledger.sqlite')],
      ...['--out', files[index]!],
    ]);
  for (const named of [files, files.slice(0, 1), files.slice(1)]) {
    const report = await answer(['audit', ...named]);
    expect(report).toMatchObject({ verdict: 'agreed', finding: null });
    for (const each of report['files'] as { work_hashes: string; countersigned: number }[])
      expect(each).toMatchObject({ work_hashes: row!.signed_work_hashes, countersigned: row!.totals });
  }
}, 300_000);
