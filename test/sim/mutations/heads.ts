import { type Mutations, without } from './mutation.ts';

/** Each check of what was said of a contract, and of what its prices are of, undone. */
export const OF_HEADS: Mutations = {
  'other-events-signed': without('miner/miner-commitments.ts')(
    'a head of other events is no matter',
    'signs-other-events',
    '&& !equal(record.eventsHead, offer.eventsHead!))',
    '&& equal(record.eventsHead, Buffer.of()))',
  ),
  'notice-ends-nothing': without('channel/lifecycle.ts')(
    'work after the end by notice is credited',
    'hides-a-notice',
    'notices.curtailedBlocks, noticedEnd(notices));',
    'notices.curtailedBlocks);',
  ),
  'gone-blocks-priced': without('settlement/hash-values.ts')(
    'a value stays where the blocks that it is of go',
    'price-blocks-go',
    'this.#forgetValues(height);',
    '',
    2,
  ),
  'price-lies-believed': without('audit/price-audit.ts')(
    'any blocks do for a price that both signed',
    'lies-about-prices',
    'if (computed === signed) {',
    'if (computed === signed || computed !== signed) {',
  ),
  'price-blocks-anywhere': without('audit/price-audit.ts')(
    'the blocks of a price need not follow each other',
    'lies-about-prices',
    'if (before !== undefined && displayHash(prevHash) !== before)',
    'if (before !== undefined && displayHash(prevHash) === before && bytes.length === 0)',
  ),
};
