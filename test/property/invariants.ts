/** Where an invariant is held: a test file and the titles in it, or why there is none yet. */
export type Proof =
  | { readonly file: string; readonly titles: readonly string[] }
  | { readonly absent: string };

const stream = (...titles: string[]): Proof => ({ file: 'test/contract/stream.test.ts', titles });
const states = (...titles: string[]): Proof => ({ file: 'test/channel/states.test.ts', titles });
const here = (...titles: string[]): Proof => ({ file: 'test/property/streams.test.ts', titles });
const lives = (...titles: string[]): Proof => ({ file: 'test/sim/sim.test.ts', titles });
const absent = (why: string): Proof => ({ absent: why });

const NO_UPDATES = 'terms are signed once: there are no updates of a running contract';
const FIXED_PRICE = 'the price is fixed: there is no index';
const NO_TOP_UP = 'the deposit is the budget: no top-ups, partial refunds or write-offs';
const NO_SPLITS = 'one stream, two parties: no splits, assignments, rights given up or operators';

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
  5: lives(SOUND, 'finds a fault: %s'),
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
  18: lives(SOUND),
  19: {
    file: 'test/channel/endings.test.ts',
    titles: ['pays exactly the last state, less the fee of the miner'],
  },
  20: {
    file: 'test/channel/endings.test.ts',
    titles: ['is invalid one block early, without a locktime, with a time, and with a final sequence'],
  },
  21: absent(NO_UPDATES),
  22: absent(NO_UPDATES),
  23: absent(NO_UPDATES),
  24: absent(NO_UPDATES),
  25: absent(FIXED_PRICE),
  26: absent(FIXED_PRICE),
  27: here('moves no money while it is paused, and asks for no work'),
  28: absent('a pause is not limited: the buyer pays only for what it gets'),
  29: absent('a contract has an amount of work and an expiry, and no rate to shift'),
  30: stream('takes legal transitions only, and never back to pending'),
  31: stream('never delivers with the limit of unsigned steps reached'),
  32: {
    file: 'test/contract/accounting.test.ts',
    titles: ['forecasts depletion to the hash, for exact and inexact division'],
  },
  33: absent(NO_TOP_UP),
  34: { file: 'test/maker/hostile-miner.test.ts', titles: ['cannot reach the contract of another node'] },
  35: absent(NO_TOP_UP),
  36: absent(NO_TOP_UP),
  37: {
    file: 'test/maker/endings.test.ts',
    titles: ['the maker takes everything back at the expiry when the miner is gone'],
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
  41: absent('bonds are not sized by prices yet: no price series is replayed'),
  42: absent('there is no automatic default: silence stops the signing, and the bond is for the auditor'),
  43: absent('as 42'),
  44: here('counts every hash reported, credited or beyond the contract'),
  45: stream('signs the last partial step once the contract is complete, and caps the credit'),
  46: stream('comes back to where it was from what the ledger holds'),
  47: here('adds up to the work of all shares, each in one stream'),
  48: absent(NO_SPLITS),
  49: absent(NO_SPLITS),
  50: absent(NO_SPLITS),
  51: absent(NO_SPLITS),
  52: {
    file: 'test/ledger/damage.test.ts',
    titles: ['is never taken for another content, whichever bit is flipped'],
  },
  53: absent(NO_SPLITS),
  54: absent('there are no appointments of third parties yet'),
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
