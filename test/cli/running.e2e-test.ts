import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { requestAction } from '../../src/operator/daemon-action.ts';
import { until } from '../e2e/evidence.ts';
import { answer, refusal } from './program.ts';

/** Processes that start and blocks that are mined: slow on a machine that does other things too. */
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

type Closed = { by: string; close_txid: string; confirmations: number };
type Row = { contract: string; role: string; status: string; state_number: number };

const directory = mkdtempSync(join(tmpdir(), 'sharestream-running-'));
let stage: Stage;
let proxy: DaemonProcess;
let maker: DaemonProcess;
let fleet: AsicFleet | undefined;

const on = (role: 'proxy' | 'maker'): string[] => ['--config', stage[role].configFile];
const daemon = (role: 'proxy' | 'maker'): DaemonProcess => {
  const { configFile } = stage[role];
  return new DaemonProcess(
    { role, configFile, logFile: join(directory, `${role}.log`) },
    { timers: systemTimers },
  );
};

beforeAll(async () => {
  stage = await startStage(
    {
      directory,
      stratum: { host: '127.0.0.1', port: 0 },
      bits: compactOfTarget((1n << 256n) / 2n ** 18n),
      blockIntervalMs: 1_000,
      shareDifficulty: 2 ** -18,
      stepHashes: 2n ** 16n,
      workTotalHashes: 2n ** 16n * 100_000n,
      priceMsatPerEh: 2n * 10n ** 18n,
    },
    {
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
    },
  );
  maker = daemon('maker');
  await maker.start();
  proxy = daemon('proxy');
  await proxy.start();
  await untilLive();
  const { host, port } = stage.stratum;
  fleet = await startAsics([{ host, port, worker: 'farm.rig', hashesPerSecond: 60_000 }]);
});

afterAll(async () => {
  await fleet?.stop();
  await proxy.stop();
  await maker.stop();
  await stage.close();
  rmSync(directory, { recursive: true });
});

function untilLive(): Promise<true> {
  return until('a live contract', async () => {
    const status = await readStatus(stage.proxy.metricsUrl);
    return status?.contract?.live === true ? true : undefined;
  });
}

async function rowsOf(role: 'proxy' | 'maker'): Promise<Row[]> {
  return (await answer<{ channels: Row[] }>(['channel', 'list', ...on(role)])).channels;
}

/** Waits for states of the contract that is open. */
function untilState(n: number): Promise<Row> {
  return until(`state ${n}`, async () =>
    (await rowsOf('proxy')).find((row) => row.status === 'open' && row.state_number >= n),
  );
}

describe('beside running daemons', () => {
  it('channels are listed and shown, and ledgers are backed up and verified', async () => {
    const row = await untilState(2);
    const [makerRow] = await rowsOf('maker');
    expect(makerRow).toMatchObject({ contract: row.contract, role: 'maker', status: 'open' });
    const shown = await answer(['channel', 'show', ...on('maker')]);
    expect(shown).toMatchObject({ contract: row.contract, chain: { funding: 'unspent' } });
    for (const role of ['proxy', 'maker'] as const) {
      const path = join(stage[role].dataDir, 'ledger.sqlite');
      const out = join(directory, `${role}-backup.sqlite`);
      const { headHash } = await answer(['ledger', 'backup', '--path', path, '--out', out]);
      expect(await answer(['ledger', 'verify', '--path', out])).toMatchObject({ ok: true, headHash });
      expect(statSync(out).mode & 0o777).toBe(0o600);
      expect(await refusal(['ledger', 'backup', '--path', path, '--out', out])).toBe('1 output_refused');
      const { channels } = await answer<{ channels: Row[] }>(['channel', 'list', '--ledger', out]);
      expect(channels[0]).toMatchObject({ contract: row.contract });
    }
    expect(await refusal(['ledger', 'backup', '--path', 'x'])).toBe('2 usage');
  });

  it('what takes the ledger for itself is refused, and so is what is not asked of the right daemon', async () => {
    expect(await refusal(['channel', 'recover', ...on('proxy'), '--yes'])).toBe('1 ledger_locked');
    expect(await refusal(['channel', 'force-close', ...on('maker'), '--yes'])).toBe('1 not_expired');
    const post = (body: unknown, role: 'proxy' | 'maker' = 'maker'): Promise<Response> =>
      fetch(`${stage[role].metricsUrl}/api/v1/channel/close`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    expect((await post({ contract: 'ab'.repeat(32) })).status).toBe(401);
    const { metricsUrl, dataDir } = stage.proxy;
    for (const [contract, code] of [
      ['ab'.repeat(32), 'unknown_channel'],
      [5, 'usage'],
    ]) {
      const asked = requestAction(metricsUrl, dataDir, 'channel/force-close', { contract });
      await expect(asked).rejects.toMatchObject({ code });
    }
    const unnamed = requestAction(stage.maker.metricsUrl, stage.maker.dataDir, 'channel/close');
    await expect(unnamed).rejects.toMatchObject({ code: 'unknown_channel' });
    const early = { contract: (await rowsOf('maker'))[0]!.contract };
    const idle = requestAction(stage.maker.metricsUrl, stage.maker.dataDir, 'channel/force-close', early);
    await expect(idle).rejects.toMatchObject({ code: 'not_expired' });
  });

  it('the market maker asks for a close, and both sides sign it', async () => {
    const [row] = await rowsOf('maker');
    const closed = await answer<Closed>(['channel', 'close', ...on('maker'), '--yes', '--wait', '60']);
    expect(closed.by).toBe('daemon');
    expect(closed.confirmations).toBeGreaterThan(0);
    const [after] = await rowsOf('proxy');
    expect(after).toMatchObject({ contract: row!.contract, reason: 'cooperative' });
    expect(stage.chain.transaction(closed.close_txid)?.transaction.outs).toHaveLength(2);
    await until('the end', async () =>
      (await rowsOf('proxy'))[0]!.status === 'closed' ? true : undefined,
    );
  });

  it('the proxy closes alone when it is told to, and goes on watching', async () => {
    await proxy.stop();
    proxy = daemon('proxy');
    await proxy.start();
    // A finished contract is not opened once more by a restart.
    const status = await readStatus(stage.proxy.metricsUrl);
    expect(status).toMatchObject({ contract: null, finished_contracts: [{ name: 'first' }] });
    expect(await rowsOf('maker')).toHaveLength(1);
    await proxy.stop();
    const { configFile } = stage.proxy;
    const text = readFileSync(configFile, 'utf8');
    writeFileSync(configFile, text.replace('[contract]\n', '[contract]\nname = "second"\n'));
    proxy = daemon('proxy');
    await proxy.start();
    await untilLive();
    const row = await untilState(1);
    const words = ['channel', 'force-close', row.contract, ...on('proxy'), '--yes', '--wait', '60'];
    const closed = await answer<Closed>(words);
    expect(closed.by).toBe('daemon');
    const found = stage.chain.transaction(closed.close_txid)!;
    expect(found.transaction.version).toBe(3);
    const after = (await rowsOf('proxy')).find(({ contract }) => contract === row.contract);
    expect(after).toMatchObject({ reason: 'alone' });
    const again = await refusal(['channel', 'close', 'abcd0123', ...on('proxy'), '--yes']);
    expect(again).toBe('1 unknown_channel');
  });
});
