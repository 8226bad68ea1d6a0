import { afterEach, describe, expect, it } from 'vitest';
import { contractClock, contractConfirm, contractUpdate } from '../../src/cli/contract-updates.ts';
import { clockActions } from '../../src/daemon/clock-actions.ts';
import { CommandStand } from './command-stand.ts';

const DURATION = 500;

let stand: CommandStand;
afterEach(() => stand.end());

async function begun(durationBlocks?: number): Promise<CommandStand> {
  stand = new CommandStand({
    version3: (height) => ({
      expiryHeight: height + 2_000,
      ...(durationBlocks === undefined ? {} : { durationBlocks }),
    }),
  });
  await stand.begin();
  return stand;
}

describe('the block clock of a contract', () => {
  it('is shown, and corrected by an update that the other side confirms', async () => {
    const { world } = await begun(DURATION);
    const from = world.chain.height;
    world.chain.generate(60);
    const shown = await stand.say('miner', contractClock);
    expect(shown).toMatchObject({
      ...{ height: from + 60, from_height: from, duration_blocks: DURATION, stop_height: from + DURATION },
    });
    // Sixty blocks in no time: ten hours ahead, and so much longer until the time is over.
    const { drift_seconds: drift, block_interval_seconds: interval, timed_stop_height: timed } = shown;
    expect(Number(drift)).toBeGreaterThan(9 * 3600);
    expect(Number(interval)).toBeLessThan(600);
    expect(Number(timed)).toBeGreaterThan(from + DURATION);
    const dry = await stand.say('miner', contractUpdate, '--drift', '--dry-run');
    expect(dry).toMatchObject({ dry_run: true, pending: null });
    const proposed = await stand.say('miner', contractUpdate, '--drift', '--yes');
    expect(proposed).toMatchObject({ pending: { by: 'own', stop_height: timed } });
    expect(await stand.say('maker', contractConfirm, '--yes')).toMatchObject({ stop_height: timed });
    expect(await stand.say('maker', contractClock)).toMatchObject({ stop_height: timed });
    const both = await stand.say('miner', contractUpdate, '--drift', '--stop', '5', '--yes');
    expect(both['refused']).toContain('usage: --stop or --drift');
  });

  it('is none of a contract without a duration, nor where no time between blocks is meant', async () => {
    const { world } = await begun();
    const none = { drift_seconds: null, timed_stop_height: null };
    expect(await stand.say('maker', contractClock)).toMatchObject({ duration_blocks: null, ...none });
    const refused = await stand.say('miner', contractUpdate, '--drift', '--yes');
    expect(refused['refused']).toContain('no block can be named: it has no duration in blocks');
    const updates = { blockClock: { span: { fromHeight: 1, durationBlocks: 9 }, stopHeight: 10 } } as never;
    const find = () => ({ contract: world.contractId, updates });
    const untimed = { chain: world.source, chainClock: { blockIntervalMs: 0 } };
    for (const part of [untimed, undefined])
      expect(await clockActions(find, part)['contract/clock']!({})).toMatchObject({
        ...{ duration_blocks: 9, stop_height: 10, ...none },
      });
  });
});
