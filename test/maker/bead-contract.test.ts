import { address as addresses } from 'bitcoinjs-lib';
import { afterEach, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import type { BeadSource } from '../../src/maker/bead-binding.ts';
import { BEAD_DOUBT } from '../../src/maker/bead-credit.ts';
import type { MakerOptions } from '../../src/maker/maker-options.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { MAKER_SCRIPT_HEX, SHARE, until, World } from './world.ts';

const addressOf = (scriptHex: string): string =>
  addresses.fromOutputScript(fromHex(scriptHex), NETWORKS.regtest.params);
const MAKER = addressOf(MAKER_SCRIPT_HEX);
const THIEF = addressOf(`0014${'cd'.repeat(20)}`);
const MAX_LOSS_SAT = 10_000n;

/** A node in audit mode that has a bead of each share, which pays whoever is named now. */
class AuditNode implements BeadSource {
  payee = MAKER;
  isAway = false;
  async getBead(hash: string): Promise<Bead | undefined> {
    if (this.isAway) throw new CodedError('braidpool_unreachable');
    return { hash, payoutAddress: `${this.payee}.rig` } as Bead;
  }
  onBead(): () => void {
    return () => {};
  }
}

/** A contract whose every share has to be a bead that pays the maker. */
class BeadWorld extends World {
  readonly node = new AuditNode();

  constructor() {
    super({
      policy: {
        bindings: ['bead'],
        bead: {
          scriptHex: MAKER_SCRIPT_HEX,
          profiles: ['weak'],
          minStopPpb: 1000,
          maxLossSat: MAX_LOSS_SAT,
        },
      },
    });
    const proposed = termsV3From(this.terms, 500, {
      ...{ type: 'bead', scriptHex: MAKER_SCRIPT_HEX, profile: 'weak', stopPpb: 1000 },
      maxLossSat: MAX_LOSS_SAT,
    });
    Object.assign(this, { proposed, contractId: contractIdOf(proposed) });
  }

  override startMaker(changes: Partial<MakerOptions> = {}): Promise<void> {
    return super.startMaker(changes, { beads: this.node });
  }

  get credited(): number {
    return Number(this.maker.status[0]!.verifiedWorkHashes / SHARE.workHashes);
  }

  refused(code: string): number {
    return this.maker.status[0]!.refused[code] ?? 0;
  }

  async closes(): Promise<void> {
    const closed = this.miner.close();
    await until('close broadcast', () => this.chain.mempoolEntries().length > 0);
    this.chain.generate(3);
    await closed;
    expect(this.miner.status.channel).toBe('closed');
  }
}

let world: BeadWorld;
afterEach(() => world.stop());

describe('a contract bound by beads, from terms to close', () => {
  it('pays for shares whose beads pay the maker', async () => {
    world = new BeadWorld();
    await world.open();
    for (let batch = 0; batch < 8; batch += 1) await world.work(4);
    await until('all is credited', () => world.credited === 32);
    await until('all of it is signed', () => {
      const { n, ackedN, unsignedWorkHashes } = world.maker.status[0]!;
      return unsignedWorkHashes === 0n && ackedN === n;
    });
    expect(world.maker.status[0]!.refused).toEqual({});
    await world.closes();
  });

  it('F5: pays for none after the first share whose bead pays the thief', async () => {
    world = new BeadWorld();
    await world.open();
    await world.work(8);
    await until('honest shares are credited', () => world.credited === 8);
    world.node.payee = THIEF;
    await world.work(1);
    await until('the bead is seen', () => world.maker.status[0]!.beads?.stolen !== undefined);
    expect(world.maker.status[0]!.beads?.stolen).toContain(THIEF);
    const before = world.credited;
    expect(before).toBe(9);
    world.node.payee = MAKER;
    await world.work(4);
    await until('the rest is refused', () => world.refused('share_unbound') === 4);
    expect(world.credited).toBe(before);
    // No honest miner goes on with a maker that refuses: its hashrate is elsewhere.
    await world.work(20);
    await until('the miner stops', () => !world.miner.status.live);
    await world.closes();
  });

  it('stops credit, and nothing else, while the node does not answer', async () => {
    world = new BeadWorld();
    await world.open();
    world.node.isAway = true;
    const most = BEAD_DOUBT.doubtBeads + 60;
    for (let share = 0; share < most && world.refused('share_beads') === 0; share += 1) {
      await world.work(1);
      await until('it is judged', () => world.credited + world.refused('share_beads') === share + 1);
    }
    expect(world.refused('share_beads')).toBe(1);
    expect(world.credited).toBeGreaterThan(BEAD_DOUBT.doubtBeads);
    await until('what was credited is signed', () => {
      return world.maker.status[0]!.unsignedWorkHashes < world.terms.stepHashes;
    });
    // A close waits for no bead.
    await world.closes();
  }, 30_000);
});
