import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { AuditorStage, SLOWER } from './auditor-stage.ts';
import { Orders } from './hostile/orders.ts';

const directory = mkdtempSync(join(tmpdir(), 'auditor-'));
const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
const undo = (step: () => Promise<unknown>): void => void cleanups.push(step);
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** Of a spend with two signatures, and of one of the owner, at the fee rate of the devnet, 5 sat/vB. */
const AWARD_FEE_SAT = 785n;
const RETURN_FEE_SAT = 695n;
const NOBODY = /^nobody is in default$/;
/** As the miner stopped for want of pay within a minute, or delivered in some that were not counted. */
const NOT_SAID =
  /^the logs do not say whose fault it was$|that the maker did not credit: the shares decide$/;
const HOOK = new URL('./hostile/hook.ts', import.meta.url).href;

describe.concurrent('a proxy, a maker and an auditor', () => {
  it(
    'that was killed on the way gives both bonds to the maker, of a miner that left',
    async () => {
      const life = await AuditorStage.start({ directory: join(directory, 'miner'), csvBlocks: 2016 }, undo);
      await life.untilRuled('none', NOBODY);
      life.fleet.setRate(0, 0);
      await life.kill('auditor');
      await life.cureEnds('agreed');
      await life.begin('auditor');
      await life.untilRuled('miner', /^too little was delivered: in default by minute \d+$/);
      const bonds = await life.settled(1);
      expect(bonds.map(({ owner }) => owner)).toEqual(['miner', 'maker']);
      for (const { valueSat, paid } of bonds) {
        expect(paid).toEqual([{ sat: valueSat - AWARD_FEE_SAT, scriptHex: life.scripts.maker }]);
      }
      expect(life.log('auditor').match(/signed a bond away/g)).toHaveLength(2);
    },
    480_000 * SLOWER,
  );

  it(
    'leaves each its own bond where a maker refuses work without a reason, and the logs do not say who lies',
    async () => {
      const socket = join(directory, 'orders');
      const life = await AuditorStage.start(
        {
          ...{ directory: join(directory, 'undecided'), csvBlocks: 12, makerHooks: [HOOK] },
          makerEnv: { HOSTILE_SIDE: 'buyer', HOSTILE_SOCKET: socket },
        },
        undo,
      );
      const maker = await Orders.connect(socket);
      undo(async () => maker.end());
      await life.untilRuled('none', NOBODY);
      await maker.give({ do: 'play', trick: 'refuses without a reason' });
      await life.cureEnds('own');
      await life.untilRuled('undecided', NOT_SAID);
      const bonds = await life.settled(12);
      for (const { owner, valueSat, paid } of bonds) {
        expect(paid).toEqual([{ sat: valueSat - RETURN_FEE_SAT, scriptHex: life.scripts[owner] }]);
      }
      expect(life.log('auditor')).not.toContain('signed a bond away');
    },
    480_000 * SLOWER,
  );
});
