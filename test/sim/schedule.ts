import type { Side } from './network.ts';
import { checkEnd, checkMoney, checkProof, isSettled } from './outcome.ts';
import { Violation } from './rules.ts';
import type { SimWorld } from './world.ts';

/** One thing that happens; `byte` is its choice among variants. True when something could happen. */
type Action = (world: SimWorld, byte: number) => boolean | Promise<boolean>;

const done = (): boolean => true;

async function repeat(count: number, step: () => boolean | Promise<boolean>): Promise<boolean> {
  let any = false;
  for (let left = count; left > 0 && (await step()); left -= 1) any = true;
  return any;
}

/** Mostly one, sometimes many. */
const some = (byte: number): number => (byte % 4 === 0 ? 8 : 1);

async function write(world: SimWorld, side: Side, byte: number): Promise<boolean> {
  const disk = world.disks[side];
  const wrote = await repeat(some(byte), () => disk.write());
  // Durable is one thing, answered another: the process may die between.
  if (byte % 8 !== 7) return (await repeat(64, () => disk.answer())) || wrote;
  return wrote;
}

function deliver(world: SimWorld, to: Side, byte: number): Promise<boolean> {
  return repeat(some(byte), async () => {
    if (!world.network.deliver(to, byte >> 2)) return false;
    await world.time.settle();
    return true;
  });
}

const TOLD: readonly (readonly Side[])[] = [['miner', 'maker'], ['miner'], ['maker'], []];
/** Enough for reconnects; enough for batches and pings; enough to lose patience. */
const PAUSES_MS = [120, 120, 300, 2_100, 2_100, 16_000, 50_000];
const MAX_BLOCKS = 30;

/** Everything a schedule is made of, with how often. */
const ACTIONS: readonly (readonly [name: string, weight: number, run: Action])[] = [
  ['deliver to maker', 6, (world, byte) => deliver(world, 'maker', byte)],
  ['deliver to miner', 6, (world, byte) => deliver(world, 'miner', byte)],
  ['write at miner', 5, (world, byte) => write(world, 'miner', byte)],
  ['write at maker', 5, (world, byte) => write(world, 'maker', byte)],
  ['find shares', 5, (world, byte) => world.work(1 + (byte % 4))],
  ['time passes', 4, (world, byte) => world.time.advance(PAUSES_MS[byte % PAUSES_MS.length]!).then(done)],
  ['kill miner', 1, (world, byte) => world.kill('miner', byte % 4).then(done)],
  ['kill maker', 1, (world, byte) => world.kill('maker', byte % 4).then(done)],
  ['start', 3, (world) => startDown(world)],
  ['cut', 1, (world, byte) => cut(world, byte)],
  ['block', 2, (world, byte) => mine(world, byte % 16 === 15 ? 8 : 1)],
  ['reorg', 1, (world, byte) => byte % 2 === 0 && reorg(world)],
  ['disk fails', 1, (world, byte) => byte % 4 === 0 && fail(world, byte >> 2)],
  ['ledger refuses', 1, (world, byte) => refuse(world, byte)],
  ['resell', 1, (world, byte) => byte % 4 === 0 && world.resell()],
  ['end', 1, (world, byte) => end(world, byte)],
  ['clock is set', 1, (world, byte) => setClock(world, byte)],
];
const TABLE = ACTIONS.flatMap(([name, weight, run]) =>
  Array.from({ length: weight }, () => ({ name, run })),
);

function cut(world: SimWorld, byte: number): boolean {
  world.network.cut(byte >> 2, TOLD[byte % TOLD.length]!);
  return true;
}

export function startDown(world: SimWorld): boolean {
  const down = (['miner', 'maker'] as const).filter((side) => !world.isUp(side));
  for (const side of down) world.start(side);
  return down.length > 0;
}

function mine(world: SimWorld, count: number): boolean {
  if (world.chain.height + count > world.startHeight + MAX_BLOCKS) return false;
  world.chain.generate(count);
  return true;
}

function reorg(world: SimWorld): boolean {
  if (world.chain.height <= world.startHeight + 1) return false;
  world.chain.invalidateTip(1);
  world.chain.generate(2);
  return true;
}

async function fail(world: SimWorld, byte: number): Promise<boolean> {
  await world.disks[byte % 2 === 0 ? 'miner' : 'maker'].fail(byte % 4 > 1);
  return true;
}

function refuse(world: SimWorld, byte: number): boolean {
  world.disks[byte % 2 === 0 ? 'miner' : 'maker'].refuseNext = true;
  return true;
}

const SETTINGS_MS = [1_200_000, -1_200_000, 86_400_000];

function setClock(world: SimWorld, byte: number): boolean {
  world.time.setWall(SETTINGS_MS[byte % SETTINGS_MS.length]!);
  return true;
}

/** The miner has had enough: together, and rarely alone. */
function end(world: SimWorld, byte: number): boolean {
  if (byte % 8 > 1 || world.miner === undefined || world.miner.status.channel === 'none') return false;
  if (byte % 8 === 0) void world.miner.close();
  else void world.miner.closeAlone().catch(() => {});
  return true;
}

/**
 * Plays one schedule. The first byte says from where: from nothing, or with the channel open and some work
 * paid; the last how it ends. Throws `Violation`, or what broke.
 */
export async function playSchedule(
  world: SimWorld,
  bytes: Uint8Array,
  held: Held,
  onGone: (side: Side) => void = () => {},
): Promise<void> {
  const from = bytes[0] ?? 0;
  if (from % 8 !== 0) await prelude(world, from % 8 > 3 ? 2 : 0, held);
  for (let at = 1; at + 2 < bytes.length; at += 2) {
    const { name, run } = TABLE[bytes[at]! % TABLE.length]!;
    if (await run(world, bytes[at + 1]!)) await held(name);
  }
  await checkProof(world);
  await converge(world, held);
  await checkMoney(world);
  await finish(world, bytes.at(-1) ?? 0, held, onGone);
  await checkEnd(world);
}

/** One random action. */
export async function act(world: SimWorld, [which, byte]: readonly [number, number]): Promise<string> {
  const { name, run } = TABLE[which % TABLE.length]!;
  return (await run(world, byte)) ? name : '';
}

export type Held = (name: string) => Promise<void>;

/** A quiet day until the channel is open and so many steps are paid. */
export async function prelude(world: SimWorld, steps: number, held: Held): Promise<void> {
  const isOpen = (): boolean =>
    world.miner?.status.live === true && world.maker?.status[0]?.channel === 'open';
  await calm(world, held, 'opening', isOpen);
  for (let step = 1; step <= steps; step += 1) {
    world.work(4);
    await calm(world, held, 'a paid step', () => {
      // What was found in a process that died is found again.
      const own = world.miner?.status.ownWorkHashes ?? 0n;
      const missing = 4 * step - Number(own / world.shareWorkHashes);
      if (missing > 0) world.work(missing);
      return world.maker?.status[0]?.ackedN === step;
    });
  }
}

/** Whatever happened, everything heals: processes start, disks write, lines arrive, blocks come. */
async function converge(world: SimWorld, held: Held): Promise<void> {
  await calm(world, held, 'to converge', () => isSettled(world));
}

const CALM_ROUNDS = 400;
const BLOCKS_PER_CALM = 24;

export async function calm(world: SimWorld, held: Held, what: string, holds: () => boolean): Promise<void> {
  let blocks = 0;
  for (let round = 0; round < CALM_ROUNDS; round += 1) {
    await flow(world);
    await held('calm');
    if (holds()) return;
    await reviveStuck(world, ['miner', 'maker']);
    startDown(world);
    world.network.breakHalfOpen();
    const needsBlock = round % 4 === 3 && blocks < BLOCKS_PER_CALM && isWaitingForBlocks(world);
    if (needsBlock) {
      world.chain.generate(1);
      blocks += 1;
    }
    await world.time.advance(round % 8 === 7 ? 2_500 : 250);
  }
  throw new Violation('did not happen', `${what}: ${describe(world)}`);
}

/** What a supervisor or an operator does with a process that can do nothing more. */
export async function reviveStuck(world: SimWorld, sides: readonly Side[]): Promise<void> {
  for (const side of sides) {
    if (!world.isStuck(side)) continue;
    await world.kill(side, 0);
    world.start(side);
  }
}

function isWaitingForBlocks({ chain, miner, maker }: SimWorld): boolean {
  const statuses = [miner?.status.channel, maker?.status[0]?.channel];
  return chain.mempoolSize > 0 || statuses.includes('funding') || statuses.includes('closing');
}

/** All that can happen without time passing: lines and writes, in turn. */
export async function flow(world: SimWorld): Promise<void> {
  for (let round = 0; round < 1_000; round += 1) {
    await world.time.settle();
    let any = false;
    for (const side of ['miner', 'maker'] as const) {
      if (world.network.deliver(side, 0)) any = true;
      await world.time.settle();
      if (await world.disks[side].write()) any = true;
      if (world.disks[side].answer()) any = true;
      await world.time.settle();
    }
    if (!any || world.problem !== undefined) return;
  }
  throw new Violation('did not happen', 'the two never stop talking');
}

/** How the contract ends, by the last byte; what is asserted of each end is in `outcome.ts`. */
async function finish(
  world: SimWorld,
  byte: number,
  held: Held,
  onGone: (side: Side) => void,
): Promise<void> {
  const isClosed = (side: Side): boolean =>
    (side === 'miner' ? world.miner?.status.channel : world.maker?.status[0]?.channel) === 'closed';
  switch (byte % 4) {
    case 0:
      void world.miner!.close();
      await calm(world, held, 'a close together', () => isClosed('miner') && isClosed('maker'));
      break;
    case 1:
      onGone('maker');
      await world.kill('maker', 0);
      await lonely(world, 'miner', held, () => isClosed('miner'));
      break;
    case 2:
      onGone('miner');
      await world.kill('miner', 0);
      await lonely(world, 'maker', held, () => isClosed('maker'));
      break;
    default:
  }
}

/** One side is gone for good; the other lives through the expiry. */
async function lonely(world: SimWorld, side: Side, held: Held, holds: () => boolean): Promise<void> {
  const lastHeight = world.terms.expiryHeight + 12;
  while (!holds()) {
    if (world.chain.height > lastHeight) {
      throw new Violation('did not happen', `the ${side} ends alone: ${describe(world)}`);
    }
    world.chain.generate(1);
    await flow(world);
    await reviveStuck(world, [side]);
    world.start(side);
    await world.time.advance(250);
    await flow(world);
    await held(`${side} alone`);
  }
}

/** One line on where both stand. */
export function describe(world: SimWorld): string {
  const { miner, maker, disks, chain } = world;
  const theirs = maker?.status[0];
  const left =
    miner === undefined
      ? 'miner down'
      : `miner ${miner.status.channel} n=${miner.status.signed?.n ?? '-'} own=${miner.status.ownWorkHashes}${
          miner.status.connected ? ' connected' : ''
        }${miner.status.live ? ' live' : ''}${miner.status.frozen === undefined ? '' : ' frozen'}`;
  const right =
    theirs === undefined
      ? `maker ${maker === undefined ? 'down' : 'up'}`
      : `maker ${theirs.channel} n=${theirs.n} acked=${theirs.ackedN} work=${theirs.verifiedWorkHashes}`;
  const refused = JSON.stringify(theirs?.refused ?? {});
  return `${left} | ${right} ${refused} | disks ${disks.miner.waiting}/${disks.maker.waiting} | height ${chain.height}`;
}
