/** Where an invariant is held: a test file and the titles in it, or why there is none yet. */
export type Proof =
  | { readonly file: string; readonly titles: readonly string[] }
  | { readonly absent: string };

const stream = (...titles: string[]): Proof => ({ file: 'test/contract/stream.test.ts', titles });
const states = (...titles: string[]): Proof => ({ file: 'test/channel/states.test.ts', titles });
const here = (...titles: string[]): Proof => ({ file: 'test/property/streams.test.ts', titles });
const updates = (...titles: string[]): Proof => ({ file: 'test/maker/updates.test.ts', titles });
const lives = (...titles: string[]): Proof => ({ file: 'test/sim/sim.test.ts', titles });
const deposits = (...titles: string[]): Proof => ({ file: 'test/maker/deposits.test.ts', titles });
const absent = (why: string): Proof => ({ absent: why });

const POSITIONS = 'of positions and groups, which are not built: one stream has two parties';

const ACCOUNTS = 'keeps the accounts: D = P + F + covered + refundable, none negative';
const SOUND = 'finds nothing wrong with miner and maker';

/** The invariants of a stream by number, each once, with the tests that hold it first. */
export const INVARIANTS: Readonly<Record<number, Proof>> = {
  1: {
    file: 'test/contract/terms.test.ts',
    titles: ['survive the round trip through JSON and keep their id'],
  },
  2: stream('needs state 0, the depth and both sides, in any order'),
  3: stream('is before all work: pending means W = 0 and no debt'),
  4: stream('takes legal transitions only, and never back to pending'),
  5: {
    file: 'test/maker/batch-terms.test.ts',
    titles: ['work credited is that of distinct hashes, in whatever batches they come again (I5)'],
  },
  6: stream('never lowers W or P, and credits no more than the contract'),
  7: stream(ACCOUNTS),
  8: {
    file: 'test/work/meters.test.ts',
    titles: ['is the sum over the shares, whatever the batches and their order'],
  },
  9: stream('leaves the maker at rest owing less than a step, and nothing at the end'),
  10: here('signs no more states than the work has steps, and one at the end'),
  11: stream(ACCOUNTS),
  12: stream(ACCOUNTS),
  13: { file: 'test/contract/accounting.test.ts', titles: ['conserves the deposit, also beyond it'] },
  14: states('conserve the value of the channel, at every rung'),
  15: stream('never lowers W or P, and credits no more than the contract'),
  16: lives(SOUND),
  17: states('never fall as work rises, so no older state pays the miner more'),
  18: {
    file: 'test/daemon/succession-commands.test.ts',
    titles: [
      'close the channel for what is signed, and refuse where there is nothing; the maker cannot (I18)',
    ],
  },
  19: {
    file: 'test/channel/endings.test.ts',
    titles: ['pays exactly the last state, less the fee of the miner'],
  },
  20: {
    file: 'test/channel/endings.test.ts',
    titles: ['is invalid one block early, without a locktime, with a time, and with a final sequence'],
  },
  21: updates('change by two signatures alone, and no work of before is worth another price'),
  22: updates('that were taken back never hold, and a revocation after the second signature is refused'),
  23: {
    file: 'test/contract/update-course.test.ts',
    titles: [
      'hold one for each number, the same ones, never one taken back, and no work of before is repriced',
    ],
  },
  24: updates('of two that are proposed at once hold once at the most'),
  25: {
    file: 'test/maker/index-price.test.ts',
    titles: [
      'is signed by both before any work, and anew for each epoch, once it is buried (I25, I26)',
      'that a node does not tell stands in for a while, then delivery pauses, and goes on once it does',
      'of a maker that reckons with another is refused, and nothing is delivered (hostile maker)',
    ],
  },
  26: {
    file: 'test/contract/index-price.test.ts',
    titles: ['is one for all tips from its beginning to the next (I26)'],
  },
  27: here('moves no money while it is paused, and asks for no work'),
  28: {
    file: 'test/contract/notices.test.ts',
    titles: ['of a miner that promised a rate is by notice, ahead, and within what the terms allow'],
  },
  29: {
    file: 'test/contract/delivery-state.test.ts',
    titles: ['owes everything later by exactly the blocks of a curtailment (I29)'],
  },
  30: stream('takes legal transitions only, and never back to pending'),
  31: stream('never delivers with the limit of unsigned steps reached'),
  32: {
    file: 'test/contract/accounting.test.ts',
    titles: ['forecasts depletion to the hash, for exact and inexact division'],
  },
  33: deposits('is topped up by a second on the same terms: less is uncovered, neither debt nor pay moves'),
  34: { file: 'test/maker/hostile-miner.test.ts', titles: ['cannot reach the contract of another node'] },
  35: deposits(
    'gives back what is refundable, lowers no pay, and nothing before the end without the miner',
  ),
  36: {
    file: 'test/contract/notices.test.ts',
    titles: ['never let the allowance be passed, an end be taken back, or what was given up come back'],
  },
  37: {
    file: 'test/maker/stakes.test.ts',
    titles: ['auditor: a ruling for the %s moves both bonds'],
  },
  38: lives(SOUND),
  39: {
    file: 'test/channel/bonds.test.ts',
    titles: [
      'is refused by the interpreter with one key twice, keys out of order, a spare item or a stranger',
    ],
  },
  40: {
    file: 'test/channel/bonded-states.test.ts',
    titles: ['conserve the value of the channel, at every rung and in every mode'],
  },
  41: {
    file: 'test/operator/replay.test.ts',
    titles: ['hold both sides with the bonds that were needed, and a side leaves with less'],
  },
  42: {
    file: 'test/contract/shortfall-test.test.ts',
    titles: ['takes what the tolerance allows for no shortfall'],
  },
  43: {
    file: 'test/contract/shortfall-test.test.ts',
    titles: ['finds honest miners short in no more contract-weeks than alpha says'],
  },
  44: here('counts every hash reported, credited or beyond the contract'),
  45: stream('signs the last partial step once the contract is complete, and caps the credit'),
  46: stream('comes back to where it was from what the ledger holds'),
  47: here('adds up to the work of all shares, each in one stream'),
  48: {
    file: 'test/contract/splits.test.ts',
    titles: ['is all of it, to the sat, with nothing negative, and at most 900,000 ppm of it to payees'],
  },
  49: absent(POSITIONS),
  50: absent(POSITIONS),
  51: absent(POSITIONS),
  52: updates('are a chain of events, the same at both sides, of which none can be removed or edited'),
  53: absent(POSITIONS),
  54: absent(POSITIONS),
  55: here('takes the fee of a state from the miner alone, at every rung'),
  56: states('are within one satoshi of the exact rational, in the favour of the payer'),
  57: stream('can be settled at any earlier point, and twice, without changing a later balance'),
  58: stream('can be settled at any earlier point, and twice, without changing a later balance'),
  59: here('takes the fee of a state from the miner alone, at every rung'),
  60: {
    file: 'test/chain/delivery-styles.test.ts',
    titles: ['blocks delivered in eleven ways come to the same end'],
  },
};
