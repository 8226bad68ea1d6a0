import type { Finding } from './audit.ts';
import { otherSide, type Side } from './network.ts';
import type { SeededRandom } from './random.ts';
import { act, calm, describe, flow, reviveStuck } from './schedule.ts';
import type { Strategy } from './strategy.ts';
import { BOND_CSV_BLOCKS, MARGINS } from './terms.ts';
import type { SimWorld } from './world.ts';

const SIDES = ['miner', 'maker'] as const;
const OPENING_ROUNDS = 60;

/** One run: what a strategy and the general course of things work with. */
export class Stage {
  readonly world: SimWorld;
  readonly random: SeededRandom;
  readonly strategy: Strategy;
  /** Sides that are not started again. */
  readonly gone = new Set<Side>();
  /** Sides whose process nobody starts anew while it runs, whatever it says. */
  readonly unattended = new Set<Side>();
  /** What was found on the way. */
  readonly findings: Finding[] = [];
  /** What a strategy remembers. */
  readonly marks = new Map<string, number>();
  /** Statuses of the contract that both went through: what the strategy was tried against. */
  readonly statuses = new Set<string>();
  #said = '';
  #isStepping = false;

  constructor(world: SimWorld, random: SeededRandom, strategy: Strategy) {
    this.world = world;
    this.random = random;
    this.strategy = strategy;
  }

  get height(): number {
    return this.world.chain.height;
  }

  /** Blocks left before the channel is the maker's. */
  get left(): number {
    return this.world.terms.expiryHeight - this.height;
  }

  /** The process of this side dies, or its disk fails, at a write of this life. */
  dies(side: Side): boolean {
    return this.world.disks[side].crashPoint !== undefined;
  }

  /** Settles what happened, holds the rules against it, and lets the strategy act. */
  readonly held = async (name: string): Promise<void> => {
    const { world } = this;
    await world.time.settle();
    if (!this.#isStepping) {
      this.#isStepping = true;
      await this.strategy.step?.(this);
      this.#isStepping = false;
      await world.time.settle();
    }
    this.#note(name);
    if (world.problem === undefined) world.check();
    if (world.problem !== undefined) throw world.problem;
  };

  async start(): Promise<void> {
    this.world.start('maker');
    await this.world.time.settle();
    this.world.start('miner');
    await this.held('both start');
  }

  /** Until the channel is open and work may come; false where it does not come to that. */
  async open(): Promise<boolean> {
    const { world } = this;
    for (let round = 0; round < OPENING_ROUNDS; round += 1) {
      if (world.miner?.status.live === true && world.maker?.status[0]?.channel === 'open') return true;
      await this.round();
      const isFunding = world.chain.mempoolSize > 0 || world.miner?.status.channel === 'funding';
      if (round % 4 === 3 && isFunding) await this.block();
    }
    return false;
  }

  /** So many steps of work, each with the time to be paid. */
  async pay(steps: number): Promise<void> {
    for (let step = 0; step < steps; step += 1) {
      this.world.work(4);
      await this.rounds(3);
    }
  }

  /** Random actions, with some work and some blocks among them. */
  async noise(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) {
      if (this.left <= MARGINS.askBlocks) return;
      const name = await act(this.world, [this.random.below(256), this.random.below(256)]);
      if (name !== '') await this.held(name);
    }
  }

  async blocks(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) await this.block();
  }

  async block(): Promise<void> {
    this.world.chain.generate(1);
    // Who waits for a block is faster than who lives by it.
    await this.strategy.step?.(this);
    await this.held('a block');
    await this.rounds(2);
  }

  async rounds(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) await this.round();
  }

  /** Lines and writes; who can go no further starts anew. */
  async round(): Promise<void> {
    const { world } = this;
    await flow(world);
    await reviveStuck(
      world,
      SIDES.filter((side) => !this.gone.has(side) && !this.unattended.has(side)),
    );
    for (const side of SIDES) if (!this.gone.has(side)) world.start(side);
    world.network.breakHalfOpen();
    await world.time.advance(this.random.below(4) === 0 ? 2_500 : 300);
    await flow(world);
    await this.held('time passes');
  }

  async until(left: number): Promise<void> {
    while (this.left > left) await this.block();
  }

  /** Through the expiry, until all that was locked by it must be free. */
  async liveOut(): Promise<void> {
    const after = MARGINS.finalDepth + 6 + (this.world.isStaked ? BOND_CSV_BLOCKS + 2 : 0);
    while (this.left > -after) {
      if (this.#isOver) this.world.chain.generate(1);
      else await this.block();
    }
    await this.rounds(1);
    // A side whose disk hangs waits a while for each record, and the last blocks came faster than that.
    const isHanging = SIDES.some((side) => this.world.disks[side].isHanging);
    if (isHanging && !this.#isOver) await this.rounds(8);
  }

  /** Nothing is left to happen: both that live have seen the end. */
  get #isOver(): boolean {
    const { miner, maker } = this.world;
    const isDone =
      (miner === undefined ? this.gone.has('miner') : miner.status.channel === 'closed') &&
      (maker === undefined ? this.gone.has('maker') : maker.status[0]?.channel === 'closed');
    return isDone && !this.world.isStaked && (miner ?? maker) !== undefined;
  }

  /** A side dies and does not come back. */
  async vanish(side: Side): Promise<void> {
    this.gone.add(side);
    await this.world.kill(side, 0);
    await this.held(`the ${side} vanishes`);
  }

  isHonest(side: Side): boolean {
    return !this.world.isHostile(side);
  }

  find(rule: string, seen: string): void {
    if (!this.findings.some((each) => each.rule === rule)) this.findings.push({ rule, seen });
  }

  /** As in the quiet prelude of a schedule; throws where it does not happen. */
  async calmly(what: string, holds: () => boolean): Promise<void> {
    await calm(this.world, this.held, what, holds);
  }

  #note(name: string): void {
    const { world } = this;
    for (const side of SIDES) {
      if (!this.isHonest(side) && this.isHonest(otherSide(side))) continue;
      const status = side === 'miner' ? world.miner?.status.channel : world.maker?.status[0]?.channel;
      if (status !== undefined) this.statuses.add(status);
    }
    if (world.onEvent === undefined) return;
    const line = describe(world).replace(/ \| height \d+$/, '');
    if (line === this.#said) return;
    this.#said = line;
    world.say(`${name.padEnd(16)} ${line}`);
  }
}
