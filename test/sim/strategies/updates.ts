import { CodedError } from '../../../src/base/errors.ts';
import { owedSat } from '../../../src/base/units.ts';
import { signState } from '../../../src/channel/states.ts';
import { signUpdate } from '../../../src/channel/update-signatures.ts';
import { type AgreedUpdate, agreedUpdateField, updateField } from '../../../src/contract/update.ts';
import { updatesOf } from '../../../src/contract/updated-terms.ts';
import { codecsOf } from '../../../src/peer/messages.ts';
import type { ContractUpdates, WantedUpdate } from '../../../src/settlement/contract-updates.ts';
import { SHARE } from '../farm.ts';
import type { Side } from '../network.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { SIGNERS } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { due } from './terms.ts';
import { alterHeard, alterLines, channelKeys, paid, paramsOf, rob, silentOn } from './tools.ts';

/** Prices that change while the contract runs; it begins at 500 sat a hash. */

const LOW = 300_000n * 10n ** 18n;
const HIGH = 600_000n * 10n ** 18n;

export const updatesAt = ({ world }: Stage, side: Side): ContractUpdates | undefined => {
  if (!world.isUp(side)) return undefined;
  if (side === 'miner') return world.miner?.updates;
  return world.maker?.status.length === 1 ? world.maker.updatesOf(world.contractId) : undefined;
};

/** A maker that pays more than at the beginning. */
const dearer = (): WorldOptions => ({ policy: (usual) => ({ ...usual, maxPriceMsatPerEh: HIGH }) });

/** Of the least hashrate, with the step of always. */
const promised = (): WorldOptions => ({ termsV3: due().termsV3! });

/** Begins it; what becomes of it is told by the lines. */
function begin(task: Promise<unknown> | undefined): void {
  task?.catch((error: unknown) => {
    if (!(error instanceof CodedError)) throw error;
  });
}

export async function propose(stage: Stage, side: Side, wanted: WantedUpdate): Promise<void> {
  begin(updatesAt(stage, side)?.propose(wanted));
  await stage.rounds(2);
}

export async function confirm(stage: Stage, side: Side): Promise<void> {
  begin(updatesAt(stage, side)?.confirm());
  await stage.rounds(2);
}

export async function revoke(stage: Stage, side: Side): Promise<void> {
  begin(updatesAt(stage, side)?.revoke());
  await stage.rounds(1);
}

/** No update holds at this side. */
function assertNone(stage: Stage, side: Side): void {
  const updates = updatesAt(stage, side);
  if (updates !== undefined && updatesOf(updates.state.terms).length > 0)
    stage.find('an update holds that was not agreed', side);
}

async function random(stage: Stage): Promise<void> {
  const { random: dice } = stage;
  const side = dice.pick(['miner', 'maker'] as const);
  const act = dice.below(4);
  if (act < 2) {
    const priceMsatPerEh = LOW + BigInt(dice.below(4)) * 100_000n * 10n ** 18n;
    const own = stage.world.miner?.status.ownWorkHashes ?? 0n;
    const fromHashes = own + BigInt(dice.below(6)) * SHARE.workHashes;
    await propose(stage, side, { priceMsatPerEh, fromHashes });
  } else if (act === 2) await confirm(stage, side);
  else await revoke(stage, side);
}

/** What both signed says the same at both: no commitment of an honest maker is disputed. */
function assertUndisputed(stage: Stage): void {
  const { world } = stage;
  const disputed = world.isUp('miner') ? world.miner?.status.disputed : undefined;
  if (disputed !== undefined) stage.find('a commitment of the honest is disputed', disputed.why);
}

export const BY_UPDATES: Readonly<Record<string, Strategy>> = {
  'updates-come-and-go': {
    what: 'prices are proposed, confirmed and taken back by both, in the middle of everything else',
    row: 'chance',
    options: dearer,
    hostile: [],
    step: (stage) => assertUndisputed(stage),
    play: async (stage) => {
      await paid(stage, 1);
      for (let round = 0; round < 6; round += 1) {
        await random(stage);
        await confirm(stage, stage.random.pick(['miner', 'maker'] as const));
        await stage.noise(stage.random.below(4));
        await stage.pay(1);
      }
      await stage.liveOut();
    },
  },
  'old-price-again': {
    what: 'the maker signs states at the price of before an update that it had asked for',
    row: 'chance',
    options: dearer,
    hostile: ['maker'],
    step: (stage) => rob(stage),
    play: async (stage) => {
      await paid(stage, 1);
      const { world } = stage;
      const params = await paramsOf(world);
      const signer = await channelKeys(world, 'maker');
      await propose(stage, 'maker', { priceMsatPerEh: HIGH });
      await confirm(stage, 'miner');
      const { params: codec } = codecsOf('state.sign');
      alterLines(world, ({ about, message }) => {
        if (about !== 'state.sign' || message.method === undefined || !params || !signer) return [message];
        const { contractId, state } = codec.parse(message.params);
        // The commitment would show the same work.
        const old = signState(params, state.n, state.workHashes, signer);
        return [{ ...message, params: codec.print({ contractId, state: old }) as Record<string, unknown> }];
      });
      await stage.pay(4);
      await stage.liveOut();
    },
  },
  'update-heard-by-one': {
    what: 'the maker hears nothing of it that the miner confirmed a price, and goes on at the old one',
    row: 'chance',
    options: dearer,
    hostile: ['maker'],
    step: (stage) => rob(stage),
    play: async (stage) => {
      await paid(stage, 1);
      alterHeard(stage.world, ({ about, message }) => {
        if (about === 'contract.confirm' && message.method !== undefined) return [];
        if (about !== 'channel.reestablish' || message.params === undefined) return [message];
        const { updates: _updates, ...params } = message.params;
        return [{ ...message, params }];
      });
      await propose(stage, 'maker', { priceMsatPerEh: HIGH });
      await confirm(stage, 'miner');
      await stage.pay(4);
      await stage.liveOut();
    },
  },
  'raises-beyond-policy': {
    what: 'the miner asks for a price and a step beyond the policy, and the maker confirms whatever waits',
    row: 'chance',
    hostile: ['miner'],
    step: (stage) => assertNone(stage, 'maker'),
    play: async (stage) => {
      await paid(stage, 1);
      for (const wanted of [{ priceMsatPerEh: HIGH }, { stepHashes: 5n * SHARE.workHashes }]) {
        await propose(stage, 'miner', wanted);
        await confirm(stage, 'maker');
      }
      await stage.pay(2);
      await stage.liveOut();
    },
  },
  'raises-and-signs-no-more': {
    what: 'the maker asks for a step of twice the work, which the miner confirms, and signs no more',
    row: 'F10',
    hostile: ['maker'],
    options: () => ({
      // What two steps of now earn, to the sat.
      sale: { maxExposureSat: owedSat(8n * SHARE.workHashes, 500_000n * 10n ** 18n) },
      policy: (usual) => ({ ...usual, maxStepHashes: 2n * usual.maxStepHashes }),
    }),
    step: (stage) => rob(stage),
    play: async (stage) => {
      await paid(stage, 1);
      await propose(stage, 'maker', { stepHashes: 8n * SHARE.workHashes });
      await confirm(stage, 'miner');
      silentOn(stage, ['state.sign', 'channel.reestablish']);
      await stage.pay(6);
      await stage.liveOut();
    },
  },
  'changes-what-is-promised': {
    what: 'the miner asks for another step where delivery is promised, and the maker confirms whatever waits',
    row: 'chance',
    hostile: ['miner'],
    options: promised,
    step: (stage) => assertNone(stage, 'maker'),
    play: async (stage) => {
      await paid(stage, 1);
      const { world } = stage;
      const update = {
        ...{ contractIdHex: world.contractId, previousHex: world.contractId, number: 1 },
        ...{
          fromHashes: 30n * SHARE.workHashes,
          stepHashes: 2n * SHARE.workHashes,
          nonceHex: '5b'.repeat(16),
        },
      };
      // Its own program would not sign it.
      const words = { contract_id: world.contractId, update: updateField.print(update) };
      const params = { ...words, signature: signUpdate(update, SIGNERS.miner) };
      const line = { jsonrpc: '2.0', id: 77_778, method: 'contract.update', params };
      world.network.inject('miner', JSON.stringify(line));
      await stage.rounds(2);
      await confirm(stage, 'maker');
      await stage.pay(2);
      await stage.liveOut();
    },
  },
  'revoked-update-again': {
    what: 'the maker shows an update as agreed that the miner took back before it was',
    row: 'chance',
    hostile: ['maker'],
    step: (stage) => {
      assertNone(stage, 'miner');
      return rob(stage);
    },
    play: async (stage) => {
      await paid(stage, 1);
      const { world } = stage;
      await propose(stage, 'miner', { priceMsatPerEh: LOW, fromHashes: 30n * SHARE.workHashes });
      const waiting = updatesAt(stage, 'miner')?.state.pending;
      begin(updatesAt(stage, 'miner')?.revoke());
      await stage.rounds(3);
      if (waiting !== undefined && updatesAt(stage, 'miner')?.state.pending === undefined) {
        const { update, signature: minerSignature } = waiting;
        const shown = { update, minerSignature, makerSignature: signUpdate(update, SIGNERS.maker) };
        showAfterBreaks(stage, shown);
        const words = { contract_id: world.contractId, update: updateField.print(update) };
        const params = { ...words, signature: shown.makerSignature };
        const line = { jsonrpc: '2.0', id: 77_777, method: 'contract.confirm', params };
        world.network.inject('maker', JSON.stringify(line));
        await stage.rounds(3);
        await world.kill('miner', 0);
        await stage.rounds(6);
      }
      await stage.pay(2);
      await stage.liveOut();
    },
  },
  'unsigned-update-shown': {
    what: 'the miner shows a higher price as agreed that the maker never signed',
    row: 'chance',
    hostile: ['miner'],
    step: (stage) => assertNone(stage, 'maker'),
    play: async (stage) => {
      await paid(stage, 1);
      const { world } = stage;
      const update = {
        ...{ contractIdHex: world.contractId, previousHex: world.contractId, number: 1 },
        ...{ fromHashes: 30n * SHARE.workHashes, priceMsatPerEh: HIGH, nonceHex: '5a'.repeat(16) },
      };
      const signature = signUpdate(update, SIGNERS.miner);
      const shown = agreedUpdateField.print({
        ...{ update, minerSignature: signature, makerSignature: signature },
      });
      alterLines(world, ({ about, message }) =>
        about === 'channel.reestablish' && message.params !== undefined && stage.random.below(2) === 0
          ? [{ ...message, params: { ...message.params, updates: [shown] } }]
          : [message],
      );
      for (let time = 0; time < 3; time += 1) {
        await world.kill('miner', 0);
        await stage.rounds(4);
      }
      await stage.pay(2);
      await stage.liveOut();
    },
  },
};

/** Each answer to `channel.reestablish` has it among the agreed. */
function showAfterBreaks({ world }: Stage, shown: AgreedUpdate): void {
  const updates = [agreedUpdateField.print(shown)];
  alterLines(world, ({ about, message }) =>
    about === 'channel.reestablish' && message.result !== undefined
      ? [{ ...message, result: { ...message.result, updates } }]
      : [message],
  );
}
