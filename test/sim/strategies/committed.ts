import { concat, equal } from '../../../src/base/bytes.ts';
import { buildCoinbase, type CoinbaseOutput, coinbaseOutputs } from '../../../src/bitcoin/coinbase.ts';
import type { BindingV3 } from '../../../src/contract/binding.ts';
import {
  COMMITMENT_PLACEHOLDER,
  commitmentIn,
  commitmentOf,
  encodeMetadata,
} from '../../../src/jobs/bead-metadata.ts';
import type { UpstreamJob } from '../../../src/jobs/job.ts';
import type { AcceptedShare } from '../../../src/shares/share.ts';
import { commitmentScript, metadataTo, OWN } from '../../upstream/metadata-samples.ts';
import { BOUND_SCRIPT_HEX, SELF_SCRIPT_HEX } from '../farm.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_BEADS } from '../terms.ts';
import type { SimWorld } from '../world.ts';
import type { WorldOptions } from '../world-options.ts';
import { paid, paidForNothing, paidInFull } from './tools.ts';

const BY_COMMITMENT: BindingV3 = { ...BY_BEADS, profile: 'spec', maxLossSat: 0n };
const EXTRANONCE_BYTES = 12;

const boundByCommitment = (): WorldOptions => ({
  termsV3: { binding: BY_COMMITMENT },
  policy: (usual) => ({ ...usual, bead: { ...usual.bead!, profiles: ['spec'] } }),
});

/** What a job commits to, and what the seller says of it. */
type Shown = { readonly commitment: Uint8Array; readonly metadata: Uint8Array | undefined };

function metadataOf(scriptHex: string, startTimestamp: number, weakTarget: number): Uint8Array {
  return encodeMetadata(metadataTo(scriptHex, { startTimestamp, weakTarget }));
}

/** A job of the seller's node on the tip. */
function jobOn({ chain, farm }: SimWorld, shownAs: (bits: number) => Shown): UpstreamJob {
  const usual = farm.upstreamJob();
  const { commitment, metadata } = shownAs(usual.bits);
  const whole = coinbaseOutputs(concat(usual.coinb1, new Uint8Array(EXTRANONCE_BYTES), usual.coinb2));
  const outputs = [...whole.slice(0, 2), { script: commitmentScript(commitment, OWN), valueSat: 0n }];
  const { height } = chain.template();
  const split = buildCoinbase({
    height,
    extranonceSize: EXTRANONCE_BYTES,
    tag: new Uint8Array(4),
    outputs,
  });
  return { ...usual, ...split, ...(metadata === undefined ? {} : { metadata }) };
}

/** The farm finds shares of such jobs, a new one for each block. */
function serve(world: SimWorld, make: (world: SimWorld) => UpstreamJob): void {
  let last: { readonly tip: string; readonly job: UpstreamJob } | undefined;
  world.farm.given = () => {
    const tip = world.chain.tip().hash;
    if (last?.tip !== tip) last = { tip, job: make(world) };
    return last.job;
  };
}

const honest = (bits: number): Shown => {
  const metadata = metadataOf(BOUND_SCRIPT_HEX, 1, bits);
  return { commitment: commitmentOf(metadata), metadata };
};

const commits = (what: string, shownAs: (bits: number) => Shown): Strategy => ({
  what,
  row: 'F5',
  hostile: ['miner'],
  options: boundByCommitment,
  begin: ({ world }) => serve(world, (each) => jobOn(each, shownAs)),
  play: sell,
  judge: paidForNothing,
});

async function sell(stage: Stage): Promise<void> {
  await paid(stage, 2 + stage.random.below(3));
  await stage.liveOut();
}

/**
 * A job whose extranonce lies over the length of the script before the commitment: with zeros there the
 * coinbase commits to the buyer's bead, and with the extranonce of the shares to none.
 */
function straddled(world: SimWorld): UpstreamJob {
  const { coinb1, coinb2, ...job } = jobOn(world, honest);
  const whole = concat(coinb1, new Uint8Array(EXTRANONCE_BYTES), coinb2);
  const [reward, , commitment] = coinbaseOutputs(whole) as [CoinbaseOutput, CoinbaseOutput, CoinbaseOutput];
  const bytes = (value: bigint): Uint8Array => {
    const out = new Uint8Array(8);
    new DataView(out.buffer).setBigUint64(0, value, true);
    return out;
  };
  // Up to the number of outputs it stays as it was.
  const at = whole.length - coinb2.length + 4 + 4;
  const head = concat(whole.subarray(0, at), Uint8Array.of(3));
  const first = concat(bytes(reward.valueSat), Uint8Array.of(reward.script.length), reward.script);
  // An output of no value and no script, and the value of the next.
  const between = new Uint8Array(8 + 1 + 8);
  const last = concat(Uint8Array.of(commitment.script.length), commitment.script, new Uint8Array(4));
  const moved = concat(head, first, between, last);
  // The fourth byte of what the farm fills in is not zero.
  const from = head.length + first.length + 8 - 3;
  const given = { ...job, coinb1: moved.subarray(0, from), coinb2: moved.subarray(from + 8) };
  return { ...given, extranonce1: new Uint8Array(0), extranonce2Size: 8 };
}

/** A seller whose Braidpool node commits to whom its beads pay, or says so. */
export const COMMITTED: Readonly<Record<string, Strategy>> = {
  'commits-to-buyer': {
    what: 'both are honest, and each job commits to a bead that pays the buyer',
    row: 'F5',
    hostile: [],
    options: boundByCommitment,
    begin: ({ world }) => serve(world, (each) => jobOn(each, honest)),
    play: sell,
    judge: (stage, books) => [
      ...paidInFull(stage, books),
      ...(stage.world.rules.ackedN > 0 ? [] : [{ rule: 'honest work is paid', seen: 'no state' }]),
    ],
  },
  'commits-to-seller': commits('the work commits to beads that pay the seller, and it says so', (bits) => {
    const metadata = metadataOf(SELF_SCRIPT_HEX, 1, bits);
    return { commitment: commitmentOf(metadata), metadata };
  }),
  'commits-to-nothing': commits(
    'the work has the placeholder, and metadata that pays the buyer',
    (bits) => ({
      commitment: new TextEncoder().encode(COMMITMENT_PLACEHOLDER),
      metadata: honest(bits).metadata,
    }),
  ),
  'shows-metadata-of-buyer': commits(
    'the work commits to beads that pay the seller, and is shown with metadata that pays the buyer',
    (bits) => ({
      commitment: commitmentOf(metadataOf(SELF_SCRIPT_HEX, 1, bits)),
      metadata: honest(bits).metadata,
    }),
  ),
  'shows-metadata-of-before': commits('the work is shown with metadata of another job', (bits) => ({
    commitment: commitmentOf(metadataOf(BOUND_SCRIPT_HEX, 2, bits)),
    metadata: honest(bits).metadata,
  })),
  'shows-no-metadata': commits('what the work commits to is not shown', (bits) => ({
    commitment: commitmentOf(metadataOf(SELF_SCRIPT_HEX, 1, bits)),
    metadata: undefined,
  })),
  'moves-commitment': {
    what: 'the extranonce of the work moves the output that commits to the buyer',
    row: 'F5',
    hostile: ['miner'],
    options: boundByCommitment,
    begin: ({ world }) => serve(world, straddled),
    play: sell,
    judge: (stage, books) => {
      const found = stage.world.farm.found.at(-1)?.submission;
      const isOurs = found !== undefined && commitsToItsOwn(found);
      if (isOurs) return [{ rule: 'the extranonce moves the commitment', seen: 'it does not' }];
      return paidForNothing(stage, books);
    },
  },
};

/** True where a share commits to the metadata that is shown of its job. */
function commitsToItsOwn({ job, extranonce }: AcceptedShare['submission']): boolean {
  const outputs = coinbaseOutputsOf(concat(job.coinb1, extranonce, job.coinb2));
  const commitment = outputs && commitmentIn(outputs);
  return commitment !== undefined && equal(commitment, commitmentOf(job.upstream.metadata!));
}

function coinbaseOutputsOf(coinbase: Uint8Array): CoinbaseOutput[] | undefined {
  try {
    return coinbaseOutputs(coinbase);
  } catch {
    return undefined;
  }
}
